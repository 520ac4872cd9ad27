"""``lidistill index``: a table of all objects of many drives."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from lidistill.cli.boxes import DEFAULT_BOXES, Boxes, BoxOptions
from lidistill.cli.output import OUT, one_process, print_json
from lidistill.cli.view import ViewOptions
from lidistill.errors import ConfigError, FileFormatError, require

if TYPE_CHECKING:
    from lidistill.apps.features import FeatureModel
    from lidistill.fleet.table import FleetIndex, IndexedFrame
    from lidistill.instances.find import InstanceFinder
    from lidistill.viewer.sources import Source


_Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
_Data = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DATA...")]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOptions:
    """What is read, and how it is computed."""

    objects: Literal["density", "class"] = "density"
    """density: what `lidistill discover` finds; class: objects of the run's classes of things."""
    no_head: bool = False
    """Leave out vectors in the teacher's space, which --image needs: less than half the size."""
    teacher: str | None = None
    """Of a run with several teachers: in whose space vectors are kept, beside the network's own."""
    sensor: str | None = None
    """Which lidar of a data set; of own scans: which of the run's lidars they are from."""
    statistics: Path | None = None
    """File of `lidistill data stats` with the intensity statistics of another lidar."""
    intensity: str | None = None
    """Column of own scans to take as intensity; none: there is none. Default: the usual names."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""

    def model(self, run: Path, source: "Source") -> "FeatureModel":
        """The network of a run, for the lidar of what is read."""
        from lidistill.cli.showing import load_for

        options = ViewOptions(
            sensor=self.sensor,
            statistics=self.statistics,
            no_teacher=True,
            teacher=self.teacher,
            device=self.device,
        )
        return load_for(run, source, options)

    def source(self, data: Sequence[Path]) -> "Source":
        """What is read."""
        from lidistill.viewer.sources import open_source

        return open_source(data, sensor=self.sensor, intensity=self.intensity)


_Options = Annotated[IndexOptions, tyro.conf.arg(name="")]


def index(
    run: _Run,
    data: _Data,
    /,
    *,
    output: str,
    boxes: Boxes = DEFAULT_BOXES,
    options: _Options = IndexOptions(),
    json: bool = False,
) -> None:
    """A table of all objects of many drives, to search: features, classes, boxes, image crops.

    Example: lidistill index runs/pretrain/pandaset-002 /data/pandaset --output index

    The same command goes on where it was stopped, and takes in frames that were added since.

    Args:
        run: Run folder of a distillation, a probe or a fine-tuning, a checkpoint or model folder.
        data: A data set; or scan files, folders of scans, drives.
        output: Folder of the index; or on an object store, s3://bucket/index.
        boxes: How objects of a class are told apart.
        options: What is read.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.fleet_index import (
        EncodeFrame,
        about_index,
        by_class,
        by_density,
        frames_to_do,
        has_teacher_head,
        index_frames,
    )
    from lidistill.fleet.table import FleetIndex
    from lidistill.training.progress import track
    from lidistill.training.run_lock import RunLock

    require("lancedb", extra="fleet")
    one_process("index")
    if options.objects == "density":
        boxes.refuse_unused("--objects class")
    source = options.source(data)
    source.check_column(options.intensity)
    model = options.model(run, source)
    finder = _finder(model, run, options, boxes)
    if not options.no_head:
        model.check_one_head()
    head = has_teacher_head(model) and not options.no_head
    about = about_index(
        model,
        run=run,
        data=data,
        head=head,
        objects=options.objects,
        boxes=None if finder is None else finder.config.model_dump(mode="json"),
        teacher=options.teacher if head else None,
        sensor=options.sensor,
        intensity=options.intensity,
        statistics=None if options.statistics is None else str(options.statistics.resolve()),
    )
    # On an object store there are no locks; there it is for the caller to write once at a time.
    with contextlib.nullcontext() if "://" in output else RunLock(Path(output)):
        table = FleetIndex.create(output, about)
        total = len(frames_to_do(source.dataset, table))
        find = by_density() if finder is None else by_class(finder)
        steps = index_frames(source.dataset, EncodeFrame(model=model, head=head), find, table)
        results = list(track(steps, "frames", total=total))
        table.build()
    _report(results, table, output, skipped=len(source.dataset) - total, as_json=json)


def _report(
    results: "Sequence[IndexedFrame]",
    table: "FleetIndex",
    output: str,
    *,
    skipped: int,
    as_json: bool,
) -> None:
    """Say what was written, and end with an error where a frame could not be used."""
    failed = [one for one in results if one.reason]
    objects = sum(len(one.objects) for one in results)
    if as_json:
        reasons = [{"frame": one.frame, "reason": one.reason} for one in failed]
        record = {"index": output, "frames": len(results), "objects": objects, "skipped": skipped}
        print_json(record | {"all_objects": table.num_objects, "failed": reasons})
    else:
        OUT.print(f"{len(results)} frames, {objects:,} objects; {skipped} frames were there before")
        OUT.print(f"index       {output} ({table.num_objects:,} objects)")
    if failed:
        msg = f"{len(failed)} of {len(results)} frames could not be used, first: {failed[0].reason}"
        raise FileFormatError(msg)


def _finder(
    model: "FeatureModel", run: Path, options: IndexOptions, boxes: BoxOptions
) -> "InstanceFinder | None":
    """What tells objects of a class apart; None where they are found by density.

    Raises:
        ConfigError: If the run has learned no classes, or there is no such table of boxes.
    """
    from lidistill.instances.find import InstanceFinder

    if options.objects == "density":
        return None
    if not model.class_names:
        msg = f"--objects class: {run} has learned no classes; give density, or another run."
        raise ConfigError(msg)
    names = model.class_names
    return InstanceFinder(boxes.config(names), names)
