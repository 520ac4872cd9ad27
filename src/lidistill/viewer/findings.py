"""What a data check has found, as a list that one can click through on the page."""

from collections.abc import Sequence

from lidistill.data_check.report import DatasetReport
from lidistill.datasets import FrameDataset
from lidistill.viewer.content import ShownFinding
from lidistill.viewer.shown_frames import ShownFrames
from lidistill.viewer.sources import choose_frames


def frames_to_show(dataset: FrameDataset, report: DatasetReport, *, most: int) -> list[int]:
    """Evenly spread frames, and the middle one of every drive that something was found in.

    Args:
        dataset: What was checked.
        report: What was found.
        most: At most so many that are spread.
    """
    chosen = set(choose_frames(dataset, most=most))
    drives = dataset.drive_ids
    shown = {drives[index] for index in chosen}
    named = {drive for finding in report.findings for drive in finding.drives} - shown
    for drive in sorted(named & set(drives)):
        own = [index for index, one in enumerate(drives) if one == drive]
        chosen.add(own[len(own) // 2])
    return sorted(chosen)


def shown_findings(report: DatasetReport, frames: ShownFrames) -> tuple[ShownFinding, ...]:
    """Each finding with the first frame, view and drive that shows it, where one is shown.

    Args:
        report: Of the data set that the page shows.
        frames: What it shows.
    """
    drives = [frames.dataset.drive_ids[index] for index in frames.indices]
    found = [
        ShownFinding(
            severity=finding.severity,
            text=finding.text,
            frame=_first(drives, finding.drives),
            view=next(iter(finding.cameras), None),
            drive=next(iter(finding.drives), None),
        )
        for finding in report.findings
    ]
    problems = [ShownFinding(severity="warning", text=text) for text in report.problems]
    limits = [ShownFinding(severity="note", text=f"not told: {text}") for text in report.limits]
    return (*found, *problems, *limits)


def _first(drives: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Position of the first frame of a drive; of any where none is named."""
    if not wanted:
        return 0 if drives else None
    return next((number for number, drive in enumerate(drives) if drive == wanted[0]), None)
