"""``lidistill data …``: look at what lies on disk."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from lidistill.cli.output import OUT, Folder, print_json
from lidistill.cli.terminal import grouped
from lidistill.cli.view import Showing
from lidistill.errors import ConfigError, FileFormatError

if TYPE_CHECKING:
    from lidistill.data_check.report import CheckReport
    from lidistill.datasets import SensorFrames


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a data set that was checked is shown in a browser."""

    view: bool = False
    """Show it with `lidistill view`, until Ctrl-C."""
    export: Path | None = None
    """Write it as a page that opens without a server: a folder, or one file NAME.html."""
    overwrite: bool = False
    """Replace a page that is there."""
    open: bool = False
    """Open the page in this machine's browser."""
    sensor: str | None = None
    """Which lidar to show, where there are several."""

    @property
    def wanted(self) -> bool:
        """Whether there is to be a page.

        Raises:
            ConfigError: If two are wanted, or something is said about a page and none is wanted.
        """
        if self.view and self.export is not None:
            msg = "--view serves a page until Ctrl-C, --export writes one; give one of them."
            raise ConfigError(msg)
        is_wanted = self.view or self.export is not None
        if not is_wanted and (self.overwrite or self.open or self.sensor is not None):
            msg = "--overwrite, --open and --sensor are about a page; give --view or --export, too."
            raise ConfigError(msg)
        return is_wanted


_Look = Annotated[Look, tyro.conf.arg(name="")]


def check(
    root: Folder,
    /,
    *,
    output: Path = Path("runs/data-check"),
    strict: bool = False,
    look: _Look = Look(),
    json: bool = False,
) -> None:
    """Look at a data set: what is there, what is missing, and does it fit together.

    Example: lidistill data check /data/pandaset --output runs/look

    Args:
        root: Folder of the data set, of any format that `lidistill` reads.
        output: Folder for the overlays: one of every camera and drive.
        strict: End with exit status 1 where something looks wrong, for scripts.
        look: The same in a browser: points on images, labels, and the findings as a list.
        json: Print one JSON object instead of text.

    Reads every frame, draws the points on one image of each camera and drive, and says in plain
    words what looks wrong and what cannot be told. Exit status 2: something could not be read;
    1: with --strict, something looks wrong.
    """
    from lidistill.cli.data_tables import print_check
    from lidistill.data_check.check import check_root
    from lidistill.training.progress import ProgressBar

    with_page = look.wanted
    with ProgressBar("reading", total=None) as bar:
        report = check_root(root, output, on_frame=bar.advance)
    if not json:
        print_check(report)
    elif not with_page:
        print_json(report.to_json())
    if with_page:
        _look_at(report, look, beside=output, as_json=json)
    if not report.sound:
        sys.exit(2)
    if strict and report.suspicious:
        sys.exit(1)


def _look_at(report: "CheckReport", look: Look, *, beside: Path, as_json: bool) -> None:
    """Show a data set that was checked, with what was found; as JSON in one object with that."""
    from lidistill.cli.showing import show
    from lidistill.viewer.build import EXPORT_WIDTH, SERVER_WIDTH, build_content
    from lidistill.viewer.findings import frames_to_show, shown_findings
    from lidistill.viewer.sources import open_source

    source = open_source((report.root,), sensor=look.sensor)
    found = next(one for one in report.datasets if one.sensor == source.sensor_name)
    exported = look.export is not None
    indices = frames_to_show(source.dataset, found, most=10 if exported else 60)
    content = build_content(
        source.dataset,
        indices,
        title=f"{report.root.resolve().name}, {found.title}",
        image_width=EXPORT_WIDTH if exported else SERVER_WIDTH,
    )
    content.findings = shown_findings(found, content.frames)
    showing = Showing(export=look.export, overwrite=look.overwrite, open=look.open)
    also = report.to_json() if as_json else None
    show(content, showing, beside=beside, as_json=as_json, also=also)


def stats(
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER|RECIPE")],
    /,
    *,
    output: Path | None = None,
    json: bool = False,
) -> None:
    """Mean and deviation of the intensity of every sensor, which inputs are standardised with.

    Example: lidistill data stats /data/mine --output /data/mine/statistics.yaml

    Args:
        source: Folder of a data set, or a recipe whose training sets are read.
        output: File for the result of a single sensor; a folder of one's own recordings is read
            with the one that lies in it as statistics.yaml.
        json: Print one JSON object instead of text.

    Exit status 2: a frame could not be read; it counts nowhere.
    """
    from lidistill.cli.data_tables import statistics_table
    from lidistill.data_check.contents import read_all
    from lidistill.data_check.statistics import (
        check_one_file,
        sensor_statistics,
        write_statistics,
    )
    from lidistill.training.progress import ProgressBar

    folder = Path(source)
    datasets = read_all(folder) if folder.is_dir() else _sets_of_recipe(source)
    if output is not None:
        check_one_file(dict.fromkeys(dataset.sensor for dataset in datasets), output)
    with ProgressBar("reading", total=sum(len(dataset) for dataset in datasets)) as bar:
        statistics = sensor_statistics(datasets, on_frame=bar.advance)
    if output is not None:
        write_statistics(statistics, output)
    if json:
        print_json({"sensors": [asdict(one) for one in statistics]})
    else:
        OUT.print(statistics_table(statistics))
        for one in statistics:
            if one.without_intensity:
                OUT.print(f"intensity   {one.sensor} has none{_as_written(output)}")
            for line in grouped(one.problems):
                OUT.print(f"problem     {line}")
        if output is not None:
            OUT.print(f"statistics  {output}")
    problems = [line for one in statistics for line in one.problems]
    if problems:
        num_frames = len(problems) + sum(one.num_frames for one in statistics)
        msg = f"{len(problems)} of {num_frames} frames could not be read, first: {problems[0]}"
        raise FileFormatError(msg)


def unpack(
    bag: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="BAG")],
    output: Folder,
    /,
    *,
    points: str,
    images: tuple[str, ...] = (),
    json: bool = False,
) -> None:
    """Turn a ROS bag into a folder of recordings, which `check`, `stats` and recipes read.

    Example: lidistill data unpack drive.mcap mine/a --points /lidar --images /front/image_raw

    Args:
        bag: A .bag or .mcap file, or the folder of a ROS 2 bag.
        output: Folder to write; must not exist, or be empty.
        points: Topic of the lidar (sensor_msgs/PointCloud2).
        images: Topics of the cameras (sensor_msgs/Image or CompressedImage).
        json: Print one JSON object instead of text.

    Prints what the bag does not say about the cameras and calibration.yaml still needs.
    """
    from lidistill.datasets.own.unpack import unpack_bag
    from lidistill.training.progress import ProgressBar

    with ProgressBar("messages", total=None) as bar:
        report = unpack_bag(bag, output, points=points, images=images, on_message=bar.advance)
    if json:
        print_json(asdict(report) | {"root": str(report.root)})
        return
    OUT.print(f"scans       {report.num_scans}")
    for camera, count in report.num_images.items():
        OUT.print(f"images      {count} of {camera}")
    OUT.print(f"clock       {report.clock}")
    for line in report.notes:
        OUT.print(f"note        {line}")
    for line in report.to_do:
        OUT.print(f"to do       {line}")
    OUT.print(f"folder      {report.root}")


def _sets_of_recipe(name: str) -> "tuple[SensorFrames, ...]":
    from lidistill.recipes import load_recipe

    return tuple(config.build() for config in load_recipe(name).data.sets)


def _as_written(output: Path | None) -> str:
    return "" if output is None else "; mean 0 and deviation 1 in the file stand for that"
