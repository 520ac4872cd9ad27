"""Commands for scans of one's own: their features, their classes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from lidistill.cli.boxes import NO_OBJECTS, Objects
from lidistill.cli.output import OUT, one_process
from lidistill.cli.scan_options import ManyScans, PredictOptions, ScanOptions
from lidistill.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from lidistill.apps.feature_files import Colour, Failed, ScanWork, Written
    from lidistill.apps.features import FeatureModel
    from lidistill.apps.scan_jobs import Jobs


_Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
_Scans = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SCAN...")]


_Head = Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="[NAME]")]
_Options = Annotated[ScanOptions, tyro.conf.arg(name="")]
_PredictOptions = Annotated[PredictOptions, tyro.conf.arg(name="")]
_Many = Annotated[ManyScans, tyro.conf.arg(name="")]
_DEFAULT, _PREDICT, _ONE = ScanOptions(), PredictOptions(), ManyScans()
_COMPONENTS = 3


def features(
    run: _Run,
    scans: _Scans,
    /,
    *,
    output: Path,
    head: _Head = None,
    components: int | None = None,
    many: _Many = _ONE,
    options: _Options = _DEFAULT,
    json: bool = False,
) -> None:
    """Distilled features of scans of your own: one .npy a scan, one row for every point.

    Example: lidistill features runs/pretrain/pandaset-002 /data/mine --ply --output features

    Rows of points outside the field of view or not finite are NaN. Scans are in the sensor's own
    frame, z up. Formats: bin, pcd.bin, npy, npz, pcd, ply, las, laz, e57. Under torchrun several
    processes share the scans.

    Args:
        run: Run folder of a distillation, a probe or a fine-tuning, or one of its checkpoints.
        scans: Scan files, folders of scans, drives with a folder scans, and folders of drives; or
            a ROS bag or mcap; or - for mcap from standard input.
        output: Folder for the outputs, which have the names (and drives) of their scans; of a bag
            an .mcap file.
        head: Write the head's output, to compare with features of the teacher; --head NAME of a run
            with several teachers.
        components: Of a bag: principal components of the features that every point gets, 3.
        many: What features are written into, and how many scans are dealt out.
        options: How scans are read.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.recordings import ComponentFields
    from lidistill.cli.many_scans import write_features
    from lidistill.cli.recordings import run_recording
    from lidistill.cli.scan_report import report

    plan = options.recording(scans, output, name="features")
    if plan is not None:
        if head is not None or many != _ONE:
            msg = (
                "--head, --dtype, --format and --part are for scan files; a bag gets principal "
                "components of the features."
            )
            raise ConfigError(msg)
        model = options.load(run)
        fields = ComponentFields(model, _COMPONENTS if components is None else components)
        run_recording(options.for_model(plan, model), fields, as_json=json)
        return
    if components is not None:
        msg = "--components is for bags; scan files get the features themselves. Leave it out."
        raise ConfigError(msg)
    about, results = write_features(run, scans, output, options, many, head=head, quiet=json)
    what = f"features of {about['channels']} channels in {about['precision']}"
    report(results, output, what, about, as_json=json)


def predict(
    run: _Run,
    scans: _Scans,
    /,
    *,
    output: Path,
    format: Literal["npy", "label"] | None = None,  # noqa: A002  the option's name
    objects: Objects = NO_OBJECTS,
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
        scans: Scan files, folders of scans, drives with a folder scans, and folders of drives; or
            a ROS bag or mcap; or - for mcap from standard input.
        output: Folder for the outputs, which have the names (and drives) of their scans; of a bag
            an .mcap file.
        format: npy: uint8; label: uint32 without a header, as in SemanticKITTI. Default: npy, or
            label with --instances.
        objects: How objects are told apart.
        options: How scans are read.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.feature_files import Colour, Compute
    from lidistill.apps.folder_precision import settle_folder
    from lidistill.apps.instances import WithObjects, object_colour
    from lidistill.apps.recordings import ClassFields
    from lidistill.apps.scan_jobs import check_free, plan_jobs
    from lidistill.cli.recordings import run_recording
    from lidistill.cli.scan_report import report
    from lidistill.datasets.own.label_files import (
        CLASS_TABLE,
        check_class_table,
        write_class_table,
    )
    from lidistill.figures.colors import label_colors

    one_process("predict")
    if not objects.instances:
        objects.refuse_unused("--instances")
    plan = options.recording(scans, output, name="classes")
    if plan is not None:
        if format is not None:
            msg = f"--format {format} is for scan files; a recording is written as .mcap."
            raise ConfigError(msg)
        model = options.load(run)
        _check_classes(model, run)
        fields = ClassFields(model=model, finder=objects.finder(model.class_names))
        run_recording(options.for_model(plan, model), fields, as_json=json)
        return
    jobs = plan_jobs(
        scans,
        output,
        suffix=f".{_label_format(format, instances=objects.instances)}",
        existing=options.existing,
    )
    check_free([output / CLASS_TABLE], existing=options.existing)
    model = options.load(run)
    _check_classes(model, run)
    names = model.class_names
    if jobs.done:
        check_class_table(names, output / CLASS_TABLE)
    palette = label_colors(names)
    compute: Compute = model.predict
    colour: Colour = lambda ids: palette[ids]  # noqa: E731
    about: dict[str, object] = {"classes": list(names)}
    if (finder := objects.finder(names)) is not None:
        compute = WithObjects(classes=compute, finder=finder)
        colour = object_colour(names)
        about["instances"] = finder.config.model_dump(mode="json")
    work = options.work(model, compute)
    about["precision"] = settle_folder(
        model,
        "classes",
        sorted((*jobs.to_do, *jobs.done), key=lambda job: job.file),
        output,
        work,
        existing=options.existing,
        done=bool(jobs.done),
    )
    written = _write_all(work, jobs, colour if options.ply else None, quiet=json)
    if output.is_dir():  # else no scan could be used, which the report says
        write_class_table(names, output / CLASS_TABLE)
    what = f"{len(names)} classes, computed in {about['precision']}"
    report(written, output, what, about, as_json=json)


def _check_classes(model: "FeatureModel", run: Path) -> None:
    if not model.class_names:
        msg = (
            f"{run} has learned no classes; give a run of `lidistill probe` or `finetune`, or "
            "classes of your own: --head FILE, from `lidistill view`."
        )
        raise CheckpointError(msg)


def _label_format(chosen: str | None, *, instances: bool) -> str:
    """Ending of the files of classes."""
    if instances and chosen == "npy":
        msg = "--format npy holds classes alone; leave it out, or give --format label."
        raise ConfigError(msg)
    return chosen or ("label" if instances else "npy")


def _write_all(
    work: "ScanWork", jobs: "Jobs", colour: "Colour | None", *, quiet: bool
) -> "list[Written | Failed]":
    from lidistill.apps.feature_files import write_outputs
    from lidistill.training.progress import track

    if jobs.done and not quiet:
        OUT.print(f"skipped     {len(jobs.done)} scans whose outputs are there already")
    return list(
        track(write_outputs(work, jobs.to_do, colour=colour), "scans", total=len(jobs.to_do))
    )
