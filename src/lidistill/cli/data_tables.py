"""How the findings of a data check and the statistics of sensors look in a terminal."""

from rich.table import Table

from lidistill.cli.output import OUT, print_figures
from lidistill.cli.terminal import command, grouped, override
from lidistill.data_check.findings import CameraFit
from lidistill.data_check.report import CheckReport, DatasetReport
from lidistill.data_check.statistics import SensorStatistics


def statistics_table(statistics: tuple[SensorStatistics, ...]) -> Table:
    """Number of points and intensity of every sensor."""
    table = Table("", *[one.sensor for one in statistics])
    rows = {
        "frames": [f"{one.num_frames:,}" for one in statistics],
        "points": [f"{one.num_points:,}" for one in statistics],
        "without return, left out": [f"{one.num_missing:,}" for one in statistics],
        "intensity, mean": [_number(one.intensity_mean, 6) for one in statistics],
        "intensity, deviation": [_number(one.intensity_std, 6) for one in statistics],
        "intensity, range": [
            f"{_number(one.intensity_min, 4)} to {_number(one.intensity_max, 4)}"
            for one in statistics
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


def print_check(report: CheckReport) -> None:
    """Print what is on disk and what looks wrong with it."""
    OUT.print(f"{report.format} at {report.root}: {', '.join(report.parts)}")
    table = Table(report.format, *[dataset.title for dataset in report.datasets])
    rows: list[tuple[str, list[str]]] = [
        ("frames", [str(d.num_frames) for d in report.datasets]),
        ("with labels", [str(d.num_labelled) for d in report.datasets]),
        ("labels seen from", [_places(d.num_places) for d in report.datasets]),
        ("points a frame", [_range(d.num_points) for d in report.datasets]),
        (
            "without return, left out",
            [f"{d.num_missing / max(1, sum(d.num_points)):.2%}" for d in report.datasets],
        ),
        (
            "intensity, mean ± std",
            [
                f"{_number(d.intensity_mean, 4)} ± {_number(d.intensity_std, 4)}"
                for d in report.datasets
            ],
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


def _places(count: int | None) -> str:
    """Labels of a vehicle that stands are those of one frame over and over."""
    if count is None:
        return "–"
    return "1 place" if count == 1 else f"{count} places"


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


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}g}"
