"""What a data set on disk holds, what it lacks, and whether its points meet its images."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from lidistill.data_check.contents import configs_of
from lidistill.data_check.drive import DriveStatistics, NameOverlay
from lidistill.data_check.findings import Diagnosis, Finding, chosen_frames
from lidistill.data_check.findings.drives import intensity_differs, merged, merged_limits, no_class
from lidistill.data_check.other_intensity import other_intensity
from lidistill.data_check.report import CheckReport, DatasetReport
from lidistill.datasets import SensorFrames
from lidistill.errors import LidistillError
from lidistill.reading.names import path_part, shown

_MOST_BLOCKS: Final = 4  # of three frames, that are diagnosed in a drive
_ALL_BLOCKS: Final = 40  # in all drives; every drive has one
_MOST_DRAWN: Final = 20  # drives that are drawn though nothing looks wrong


def check_root(
    root: Path,
    output: Path | None = None,
    *,
    max_frames: int | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> CheckReport:
    """Read what lies under a folder, whatever data set it is.

    Args:
        root: Folder of the data set.
        output: Folder for the overlays, or None to write none.
        max_frames: Read at most this many frames of each sensor, spread evenly; None reads all.
        on_frame: Called after each frame, for a progress bar.

    Raises:
        DatasetNotFoundError: If there is no data set of a known format.
    """
    configs = configs_of(root)
    datasets = [config.build() for config in configs]
    return CheckReport(
        root=root,
        format=configs[0].kind,
        first_recipe=configs[0].FIRST_RECIPE,
        parts=tuple(dict.fromkeys(part for one in datasets for part in one.parts.drives)),
        datasets=tuple(
            check_dataset(
                dataset, output, title=config.title, max_frames=max_frames, on_frame=on_frame
            )
            for config, dataset in zip(configs, datasets, strict=True)
        ),
        missing=tuple(dict.fromkeys(line for one in datasets for line in one.missing())),
    )


def check_dataset(
    dataset: SensorFrames,
    output: Path | None = None,
    *,
    title: str = "",
    max_frames: int | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> DatasetReport:
    """Read the frames of one sensor, count, and draw points on one image per camera and drive.

    Args:
        dataset: What to read.
        output: See ``check_root``.
        title: What to call it; empty for the name of its sensor.
        max_frames: See ``check_root``.
        on_frame: See ``check_root``.
    """
    num = len(dataset) if max_frames is None else min(max_frames, len(dataset))
    chosen = np.linspace(0, len(dataset) - 1, num).round().astype(int).tolist()
    drives: dict[str, list[int]] = {}
    names = dataset.drive_ids
    for index in chosen:
        drives.setdefault(names[index], []).append(index)
    blocks = max(1, min(_MOST_BLOCKS, _ALL_BLOCKS // max(1, len(drives))))
    title = title or dataset.sensor
    tallies: dict[str, DriveStatistics] = {}
    diagnoses: dict[str, Diagnosis] = {}
    figures: list[Path] = []
    for drive, frames in drives.items():
        tally = DriveStatistics(label_map=dataset.label_map, middle=len(frames) // 2)
        wanted = set(chosen_frames(len(frames), num_blocks=blocks))
        for position, index in enumerate(frames):
            try:
                tally.add(dataset[index], position, keep=position in wanted)
            except LidistillError as error:
                tally.problems.append(str(error))
            on_frame()
        diagnosis = _with_column(tally.diagnose(), dataset, [frames[i] for i in tally.kept])
        if output is not None and (diagnosis.findings or len(tallies) < _MOST_DRAWN):
            name = _overlay_name(output, title, drive if len(drives) > 1 else "")
            drawn = tally.draw(name)
            figures += [path for paths in drawn.values() for path in paths]
            diagnosis = _with_overlays(diagnosis, drawn)
        tally.forget()
        tallies[drive], diagnoses[drive] = tally, diagnosis
    return _report(title, dataset, tallies, diagnoses, tuple(figures))


def _overlay_name(output: Path, title: str, drive: str) -> NameOverlay:
    output.mkdir(parents=True, exist_ok=True)
    prefix = f"{title}_{drive}" if drive else title
    return lambda camera, kind: output / path_part(f"{prefix}_{camera}_{kind}.png", "overlay")


def _with_column(diagnosis: Diagnosis, dataset: SensorFrames, kept: Sequence[int]) -> Diagnosis:
    """The diagnosis, with the column to take in place of an intensity that never varies."""

    def pointed(finding: Finding) -> Finding:
        other = finding.fault == "intensity_constant" and other_intensity(dataset, kept[0])
        if not other:
            return finding
        advice = f"The column {shown(other)} varies: write `intensity: {other}` into"
        return replace(finding, text=f"{finding.text} {advice} calibration.yaml.")

    return replace(diagnosis, findings=tuple(map(pointed, diagnosis.findings)))


def _with_overlays(diagnosis: Diagnosis, drawn: dict[str, tuple[Path, ...]]) -> Diagnosis:
    """The diagnosis, with the figure to look at behind every finding about a camera."""

    def pointed(finding: Finding) -> Finding:
        path = next((drawn[name][0] for name in finding.cameras if drawn.get(name)), None)
        return replace(finding, text=f"{finding.text} Look at {path}.") if path else finding

    return replace(diagnosis, findings=tuple(map(pointed, diagnosis.findings)))


def _report(
    title: str,
    dataset: SensorFrames,
    tallies: dict[str, DriveStatistics],
    diagnoses: dict[str, Diagnosis],
    figures: tuple[Path, ...],
) -> DatasetReport:
    total = DriveStatistics.total(dataset.label_map, tallies.values())
    counts = dict(zip((*dataset.label_map.class_names, "ignore"), total.counts(), strict=True))
    mean, std = total.intensity() or (None, None)
    findings = merged({drive: one.findings for drive, one in diagnoses.items()})
    found = {drive: one.intensity() for drive, one in tallies.items()}
    means = {drive: one[0] for drive, one in found.items() if one is not None}
    of_all = (no_class(total.num_labelled, total.counts()), intensity_differs(means))
    return DatasetReport(
        title=title,
        sensor=dataset.sensor,
        num_frames=len(total.num_points),
        num_labelled=total.num_labelled,
        num_places=total.num_places(),
        num_points=tuple(total.num_points),
        num_missing=total.num_missing,
        intensity_mean=mean,
        intensity_std=std,
        class_counts=counts,
        camera_share={name: float(np.mean(share)) for name, share in total.shares.items()},
        conversions=tuple(f"{name}: {text}" for name, text in total.converted.items()),
        problems=tuple(total.problems),
        findings=(*(one for one in of_all if one is not None), *findings),
        camera_fits={drive: one.cameras for drive, one in diagnoses.items()},
        limits=merged_limits({drive: one.limits for drive, one in diagnoses.items()}),
        figures=figures,
    )
