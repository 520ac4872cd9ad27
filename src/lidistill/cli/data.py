"""``lidistill data …``: look at what lies on disk."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from lidistill.cli.output import OUT, Folder, print_figures, print_json
from lidistill.cli.terminal import command, grouped, override
from lidistill.data_check.check import CheckReport, DatasetReport, check_root
from lidistill.data_check.contents import read_all
from lidistill.data_check.findings import CameraFit
from lidistill.data_check.statistics import SensorStatistics, sensor_statistics, write_statistics
from lidistill.datasets import SensorFrames
from lidistill.datasets.own.unpack import unpack_bag
from lidistill.recipes import load_recipe
from lidistill.training.progress import ProgressBar

_LEFT_OUT = "mean 0 and deviation 1, which the statistics file gets, leave it out"


def check(
    root: Folder,
    /,
    *,
    output: Path = Path("runs/data-check"),
    strict: bool = False,
    json: bool = False,
) -> None:
    """Look at a data set: what is there, what is missing, and does it fit together.

    Example: lidistill data check /data/pandaset --output runs/look

    Args:
        root: Folder of the data set, of any format that `lidistill` reads.
        output: Folder for the overlays: one of every camera and drive.
        strict: End with exit status 1 where something looks wrong, for scripts.
        json: Print one JSON object instead of text.

    Reads every frame, draws the points on one image of each camera and drive, and says in plain
    words what looks wrong and what cannot be told. Exit status 2: something could not be read;
    1: with --strict, something looks wrong.
    """
    with ProgressBar("reading", total=None) as bar:
        report = check_root(root, output, on_frame=bar.advance)
    if json:
        print_json(report.to_json())
    else:
        _print_check(report)
    if not report.sound:
        sys.exit(2)
    if strict and report.suspicious:
        sys.exit(1)


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
    """
    folder = Path(source)
    datasets = read_all(folder) if folder.is_dir() else _sets_of_recipe(source)
    with ProgressBar("reading", total=sum(len(dataset) for dataset in datasets)) as bar:
        statistics = sensor_statistics(datasets, on_frame=bar.advance)
    if output is not None:
        write_statistics(statistics, output)
    if json:
        print_json({"sensors": [asdict(one) for one in statistics]})
        return
    OUT.print(_statistics_table(statistics))
    for one in statistics:
        if one.without_intensity:
            OUT.print(f"intensity   {one.sensor} has none, as calibration.yaml says; {_LEFT_OUT}")
        for line in grouped(one.problems):
            OUT.print(f"problem     {line}")
    if output is not None:
        OUT.print(f"statistics  {output}")


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


def _sets_of_recipe(name: str) -> tuple[SensorFrames, ...]:
    return tuple(config.build() for config in load_recipe(name).data.sets)


def _statistics_table(statistics: tuple[SensorStatistics, ...]) -> Table:
    table = Table("", *[one.sensor for one in statistics])
    rows = {
        "frames": [f"{one.num_frames:,}" for one in statistics],
        "points": [f"{one.num_points:,}" for one in statistics],
        "without return, left out": [f"{one.num_missing:,}" for one in statistics],
        "intensity, mean": [f"{one.intensity_mean:.6g}" for one in statistics],
        "intensity, deviation": [f"{one.intensity_std:.6g}" for one in statistics],
        "intensity, range": [
            f"{one.intensity_min:.4g} to {one.intensity_max:.4g}" for one in statistics
        ],
        "distance, mean and most": [
            f"{one.range_mean:.1f} m, {one.range_max:.1f} m" for one in statistics
        ],
        "shipped with the package": [
            "–" if one.shipped_mean is None else f"{one.shipped_mean:.6g} ± {one.shipped_std:.6g}"
            for one in statistics
        ],
    }
    for name, values in rows.items():
        table.add_row(name, *values)
    return table


def _print_check(report: CheckReport) -> None:
    OUT.print(f"{report.format} at {report.root}: {', '.join(report.parts)}")
    table = Table(report.format, *[dataset.title for dataset in report.datasets])
    rows: list[tuple[str, list[str]]] = [
        ("frames", [str(d.num_frames) for d in report.datasets]),
        ("with labels", [str(d.num_labelled) for d in report.datasets]),
        ("points a frame", [_range(d.num_points) for d in report.datasets]),
        (
            "without return, left out",
            [f"{d.num_missing / max(1, sum(d.num_points)):.2%}" for d in report.datasets],
        ),
        (
            "intensity, mean ± std",
            [f"{d.intensity_mean:.4g} ± {d.intensity_std:.4g}" for d in report.datasets],
        ),
    ]
    for camera in sorted({c for d in report.datasets for c in d.camera_share}):
        shares = [d.camera_share.get(camera) for d in report.datasets]
        rows.append((f"in {camera}", ["–" if s is None else f"{s:.1%}" for s in shares]))
    rows += [
        (f"edges met, {camera}", [_contrast(d, camera) for d in report.datasets])
        for camera in sorted({fit.camera for d in report.datasets for fit in _fits(d)})
    ]
    for row_name, values in rows:
        table.add_row(row_name, *values)
    table.add_section()
    labelled = any(dataset.num_labelled for dataset in report.datasets)
    for class_name in report.datasets[0].class_counts if labelled else ():
        counts = [d.class_counts[class_name] for d in report.datasets]
        table.add_row(class_name, *[f"{count:,}" for count in counts])
    OUT.print(table)
    for line in report.missing:
        OUT.print(f"missing     {line}")
    for dataset in report.datasets:
        for line in dataset.conversions:
            OUT.print(f"converted   {line}")
        for line in grouped(dataset.problems):
            OUT.print(f"problem     {line}")
        for finding in dataset.findings:
            OUT.print(f"{finding.severity:<11} {dataset.sensor}: {finding.text}")
        for line in dataset.limits:
            OUT.print(f"not told    {dataset.sensor}: {line}")
        print_figures(dataset.figures)
    if report.sound and not any(dataset.findings for dataset in report.datasets):
        OUT.print("Everything could be read, and nothing looks wrong.")
    if report.sound and report.first_recipe is not None:
        root = report.root
        stats = ("lidistill", "data", "stats", root, "--output", root / "statistics.yaml")
        pretrain = (
            "lidistill",
            "pretrain",
            report.first_recipe,
            override("data.sets.0.root", root),
        )
        OUT.print(f"Next: {command(*stats)}\nand:  {command(*pretrain)}")


def _fits(dataset: DatasetReport) -> list[CameraFit]:
    return [fit for fits in dataset.camera_fits.values() for fit in fits]


def _contrast(dataset: DatasetReport, camera: str) -> str:
    """How well points meet the edges of a camera's images, least to most over the drives."""
    fits = [fit for fit in _fits(dataset) if fit.camera == camera]
    values = sorted(fit.contrast for fit in fits if fit.contrast is not None)
    if not values:
        return "too little to tell" if fits else "–"
    text = f"{values[0]:.2f}" + (f" to {values[-1]:.2f}" if len(values) > 1 else "")
    if any(fit.low for fit in fits):
        return f"{text}, low"
    return text if any(fit.tells for fit in fits) else f"{text}, few steps"


def _range(numbers: tuple[int, ...]) -> str:
    return f"{min(numbers):,} to {max(numbers):,}" if numbers else "–"
