"""Commands for scans of one's own: their features, their classes."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lidistill.apps.feature_files import (
    NO_INTENSITY,
    Colour,
    Compute,
    Failed,
    FeatureColours,
    Written,
    write_outputs,
)
from lidistill.apps.features import FeatureModel
from lidistill.apps.few_shot import with_few_shot_head
from lidistill.apps.instances import WithObjects, object_colour
from lidistill.apps.load_features import load
from lidistill.apps.scan_jobs import Existing, Jobs, check_free, plan_jobs
from lidistill.cli.boxes import DEFAULT_BOXES, Boxes
from lidistill.cli.output import OUT, print_json
from lidistill.config import FrozenPrecision
from lidistill.datasets.own.files import read_statistics
from lidistill.datasets.own.label_files import CLASS_TABLE, write_class_table
from lidistill.errors import CheckpointError, ConfigError, FileFormatError
from lidistill.figures.colors import label_colors
from lidistill.instances.find import InstanceFinder
from lidistill.training.progress import track

_Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
_Scans = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SCAN...")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """How scans are read and where they are computed; the same for every output."""

    sensor: str | None = None
    """Lidar that the scans come from; needed where the run was trained on several."""
    statistics: Path | None = None
    """File of `lidistill data stats` with the intensity statistics of another lidar."""
    intensity: str | None = None
    """Column to take as intensity; none: there is none. Default: the usual names."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    precision: FrozenPrecision = "fp32"
    """bf16: matrix products in 16 bits."""
    overwrite: bool = False
    """Replace outputs that are there already; scans are never replaced."""
    skip_existing: bool = False
    """Leave outputs that are there as they are, and write only what is missing."""
    ply: bool = False
    """Write a coloured .ply beside every output, for any viewer of point clouds."""

    @property
    def existing(self) -> Existing:
        """What happens to outputs that are there already."""
        if self.overwrite and self.skip_existing:
            msg = "--overwrite and --skip-existing contradict each other; give one of them."
            raise ConfigError(msg)
        return "overwrite" if self.overwrite else "skip" if self.skip_existing else "refuse"

    def load(self, run: Path) -> FeatureModel:
        """The network of a run."""
        mean, std = (None, None) if self.statistics is None else read_statistics(self.statistics)
        return load(
            run,
            self.device,
            sensor=self.sensor,
            intensity_mean=mean,
            intensity_std=std,
            precision=self.precision,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions(ScanOptions):
    """The same, and classes that somebody has marked in the viewer."""

    head: Path | None = None
    """File NAME.head.json with classes that were marked in `lidistill view` of the same run."""

    def load(self, run: Path) -> FeatureModel:
        """See ``ScanOptions.load``."""
        model = ScanOptions.load(self, run)
        return model if self.head is None else with_few_shot_head(model, self.head)


_Options = Annotated[ScanOptions, tyro.conf.arg(name="")]
_PredictOptions = Annotated[PredictOptions, tyro.conf.arg(name="")]
_DEFAULT, _PREDICT = ScanOptions(), PredictOptions()


def features(
    run: _Run,
    scans: _Scans,
    /,
    *,
    output: Path,
    head: bool = False,
    dtype: Literal["float16", "float32"] = "float16",
    options: _Options = _DEFAULT,
    json: bool = False,
) -> None:
    """Distilled features of scans of your own: one .npy a scan, one row for every point.

    Example: lidistill features runs/pretrain/pandaset-002 /data/mine --ply --output features

    Rows of points outside the field of view or not finite are NaN. Scans are in the sensor's own
    frame, z up. Formats: bin, pcd.bin, npy, npz, pcd, ply, las, laz, e57.

    Args:
        run: Run folder of a distillation, a probe or a fine-tuning, or one of its checkpoints.
        scans: Scan files, folders of scans, drives with a folder scans, and folders of drives.
        output: Folder for the outputs, which have the names (and drives) of their scans.
        head: Write the head's output, to compare with features of the teacher.
        dtype: Number format of the files.
        options: How scans are read.
        json: Print one JSON object instead of text.
    """
    jobs = plan_jobs(scans, output, suffix=".npy", existing=options.existing)
    model = options.load(run)
    extract = model.project if head else model.features
    compute: Compute = partial(extract, dtype=dtype)
    colour = FeatureColours(jobs.done) if options.ply else None
    written = _write_all(model, compute, jobs, options, colour)
    channels = sum(model.head_widths) if head else model.num_channels
    _report(
        written, output, f"features of {channels} channels", {"channels": channels}, as_json=json
    )


def predict(
    run: _Run,
    scans: _Scans,
    /,
    *,
    output: Path,
    format: Literal["npy", "label"] | None = None,  # noqa: A002  the option's name
    instances: bool = False,
    boxes: Boxes = DEFAULT_BOXES,
    options: _PredictOptions = _PREDICT,
    json: bool = False,
) -> None:
    """Classes of scans of your own: one file a scan, one id for every point.

    Example: lidistill predict runs/finetune/pandaset-002 /data/mine/scans --output labels

    Ids count the run's classes from 0, labels.yaml beside the files names them; 255 stands for
    points outside the field of view or not finite. Scans are in the frame of the run's own data.

    Args:
        run: Run folder of a probe or a fine-tuning, or one of its checkpoints; of a distillation,
            too, with --head.
        scans: Scan files, folders of scans, drives with a folder scans, and folders of drives.
        output: Folder for the outputs, which have the names (and drives) of their scans.
        format: npy: uint8; label: uint32 without a header, as in SemanticKITTI. Default: npy, or
            label with --instances.
        instances: Tell objects apart, and write their numbers in the upper 16 bits of each label.
        boxes: How objects are told apart.
        options: How scans are read.
        json: Print one JSON object instead of text.
    """
    jobs = plan_jobs(
        scans,
        output,
        suffix=f".{_label_format(format, instances=instances)}",
        existing=options.existing,
    )
    check_free([output / CLASS_TABLE], existing=options.existing)
    model = options.load(run)
    if not model.class_names:
        msg = (
            f"{run} has learned no classes; give a run of `lidistill probe` or `finetune`, or "
            "classes of your own: --head FILE, from `lidistill view`."
        )
        raise CheckpointError(msg)
    names = model.class_names
    palette = label_colors(names)
    compute: Compute = model.predict
    colour: Colour = lambda ids: palette[ids]  # noqa: E731
    about: dict[str, object] = {"classes": list(names)}
    if instances:
        config = boxes.config(names)
        compute = WithObjects(classes=compute, finder=InstanceFinder(config, names))
        colour = object_colour(names)
        about["instances"] = config.model_dump(mode="json")
    written = _write_all(model, compute, jobs, options, colour if options.ply else None)
    write_class_table(names, output / CLASS_TABLE)
    _report(written, output, f"{len(names)} classes", about, as_json=json)


def _label_format(chosen: str | None, *, instances: bool) -> str:
    """Ending of the files of classes."""
    if instances and chosen == "npy":
        msg = "--format npy holds classes alone; leave it out, or give --format label."
        raise ConfigError(msg)
    return chosen or ("label" if instances else "npy")


def _write_all(
    model: FeatureModel, compute: Compute, jobs: Jobs, options: ScanOptions, colour: Colour | None
) -> list[Written | Failed]:
    if jobs.done:
        OUT.print(f"skipped     {len(jobs.done)} scans whose outputs are there already")
    intensity = options.intensity if model.takes_intensity else NO_INTENSITY
    steps = write_outputs(compute, jobs.to_do, intensity=intensity, colour=colour)
    return list(track(steps, "scans", total=len(jobs.to_do)))


def _report(
    results: Sequence[Written | Failed],
    output: Path,
    what: str,
    about: dict[str, object],
    *,
    as_json: bool,
) -> None:
    """Say what was written, and end with an error where a scan could not be used."""
    written = [one for one in results if isinstance(one, Written)]
    failed = [one for one in results if isinstance(one, Failed)]
    if as_json:
        files = [
            dataclasses.asdict(one) | {"scan": str(one.scan), "file": str(one.file)}
            for one in written
        ]
        reasons = [{"scan": str(one.scan), "reason": one.reason} for one in failed]
        print_json({"output": str(output)} | about | {"scans": files, "failed": reasons})
    elif written or not failed:
        points = sum(one.num_points for one in written)
        without = sum(one.num_without for one in written)
        OUT.print(f"{len(written)} scans, {points:,} points, {what}")
        if without:
            lost = sum(one.num_missing for one in written)
            OUT.print(
                f"without     {without:,} points, outside the field of view, or without return "
                f"({lost:,}: at (0, 0, 0) or not finite)"
            )
        OUT.print(f"output      {output}")
    if failed:
        msg = failed[0].reason
        if len(results) > 1:
            msg = f"{len(failed)} of {len(results)} scans could not be used, first: {msg}"
        raise FileFormatError(msg)
