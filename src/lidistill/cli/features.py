"""Commands for scans of one's own: their features, their classes."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lidistill.cli.output import OUT, print_json
from lidistill.data.folder_files import read_statistics
from lidistill.engine.progress import track
from lidistill.errors import CheckpointError
from lidistill.feature_files import (
    CLASS_TABLE,
    NO_INTENSITY,
    Compute,
    Job,
    Written,
    as_half,
    check_free,
    plan_jobs,
    write_class_table,
    write_outputs,
)
from lidistill.features import FeatureModel, FeaturePrecision, load

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
    precision: FeaturePrecision = "fp32"
    """bf16: matrix products in 16 bits."""
    overwrite: bool = False
    """Replace outputs that are there already; scans are never replaced."""

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


_Options = Annotated[ScanOptions, tyro.conf.arg(name="")]
_DEFAULT = ScanOptions()


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

    Example: lidistill features runs/pretrain/pandaset-002 /data/mine/scans --output features

    Rows of points outside the field of view or not finite are NaN. Scans are in the sensor's own
    frame, z up. Formats: bin, pcd.bin, npy, npz, pcd, ply, las, laz, e57.

    Args:
        run: Run folder of a distillation, a probe or a fine-tuning, or one of its checkpoints.
        scans: Scan files, and folders of them.
        output: Folder for the outputs, which have the names of their scans.
        head: Write the head's output, to compare with features of the teacher.
        dtype: Number format of the files.
        options: How scans are read.
        json: Print one JSON object instead of text.
    """
    jobs = plan_jobs(scans, output, suffix=".npy", overwrite=options.overwrite)
    model = options.load(run)
    extract = model.project if head else model.features
    compute: Compute = extract if dtype == "float32" else lambda p, i: as_half(extract(p, i))
    written = _write_all(model, compute, jobs, options)
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
    format: Literal["npy", "label"] = "npy",  # noqa: A002  the option's name
    options: _Options = _DEFAULT,
    json: bool = False,
) -> None:
    """Classes of scans of your own: one file a scan, one id for every point.

    Example: lidistill predict runs/finetune/pandaset-002 /data/mine/scans --output labels

    Ids count the run's classes from 0, labels.yaml beside the files names them; 255 stands for
    points outside the field of view or not finite. Scans are in the frame of the run's own data.

    Args:
        run: Run folder of a probe or a fine-tuning, or one of its checkpoints.
        scans: Scan files, and folders of them.
        output: Folder for the outputs, which have the names of their scans.
        format: npy: uint8; label: uint32 without a header, as in SemanticKITTI.
        options: How scans are read.
        json: Print one JSON object instead of text.
    """
    jobs = plan_jobs(scans, output, suffix=f".{format}", overwrite=options.overwrite)
    check_free([output / CLASS_TABLE], overwrite=options.overwrite)
    model = options.load(run)
    if not model.class_names:
        msg = f"{run} has learned no classes; give a run of `lidistill probe` or `finetune`."
        raise CheckpointError(msg)
    written = _write_all(model, model.predict, jobs, options)
    write_class_table(model.class_names, output / CLASS_TABLE)
    names = model.class_names
    _report(written, output, f"{len(names)} classes", {"classes": list(names)}, as_json=json)


def _write_all(
    model: FeatureModel, compute: Compute, jobs: Sequence[Job], options: ScanOptions
) -> list[Written]:
    intensity = options.intensity if model.takes_intensity else NO_INTENSITY
    steps = write_outputs(compute, jobs, intensity=intensity)
    return list(track(steps, "scans", total=len(jobs)))


def _report(
    written: Sequence[Written], output: Path, what: str, about: dict[str, object], *, as_json: bool
) -> None:
    if as_json:
        files = [
            dataclasses.asdict(one) | {"scan": str(one.scan), "file": str(one.file)}
            for one in written
        ]
        print_json({"output": str(output)} | about | {"scans": files})
        return
    points, without = (
        sum(one.num_points for one in written),
        sum(one.num_without for one in written),
    )
    OUT.print(f"{len(written)} scans, {points:,} points, {what}")
    if without:
        OUT.print(f"without     {without:,} points, outside the field of view or not finite")
    OUT.print(f"output      {output}")
