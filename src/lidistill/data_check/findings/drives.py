"""Drives of one sensor next to each other: what they share is said once, what differs is said."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from lidistill.data_check.findings.finding import Finding

_SCALE_RATIO: Final = 4.0  # means of real drives lie within a factor 2 of each other
_MAX_NAMES: Final = 6


def merged(findings: Mapping[str, Sequence[Finding]]) -> tuple[Finding, ...]:
    """The findings of all drives, those of one fault and the same cameras as one.

    Args:
        findings: By drive.
    """
    found: dict[tuple[str, tuple[str, ...]], list[tuple[str, Finding]]] = {}
    for drive, those in findings.items():
        for finding in those:
            found.setdefault((finding.fault, finding.cameras), []).append((drive, finding))
    return tuple(_one(alike, len(findings)) for alike in found.values())


def merged_limits(limits: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What cannot be told, each line once with the drives that it is about."""
    drives: dict[str, list[str]] = {}
    for drive, lines in limits.items():
        for line in lines:
            drives.setdefault(line, []).append(drive)
    return tuple(line + _where(names, len(limits)) for line, names in drives.items())


def intensity_differs(means: Mapping[str, float]) -> Finding | None:
    """Drives of one sensor whose intensities have another scale than the others'.

    Args:
        means: Mean intensity of each drive; drives without any are left out.
    """
    means = {drive: mean for drive, mean in means.items() if mean > 0}
    if len(means) < 2:
        return None
    low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    ratio = means[high] / means[low]
    if ratio < _SCALE_RATIO:
        return None
    text = (
        f"the mean intensity is {means[low]:.4g} in drive {low} and {means[high]:.4g} in drive "
        f"{high}, {ratio:.3g} times as much; one lidar has one scale. Bring all drives to the same "
        "(0 to 1, 0 to 255, …), or keep them apart as two sensors."
    )
    return Finding(
        fault="intensity_differs",
        severity="warning",
        text=text,
        evidence={"ratio": ratio, "low": means[low], "high": means[high]},
        drives=(low, high),
    )


def no_class(num_labelled: int, counts: Sequence[int]) -> Finding | None:
    """Labels of which not one stands for a class.

    Args:
        num_labelled: Frames with labels.
        counts: Points of every class; the last number is that of the ignored.
    """
    if not num_labelled or any(counts[:-1]):
        return None
    text = (
        f"all {counts[-1]} labels of {num_labelled} frames are ignored, so there is nothing to "
        "learn from or to score. Are the ids those that the table of classes names?"
    )
    evidence: dict[str, float] = {"frames": num_labelled, "ignored": counts[-1]}
    return Finding(fault="no_class", severity="warning", text=text, evidence=evidence)


def _one(alike: Sequence[tuple[str, Finding]], num_drives: int) -> Finding:
    first = alike[0][1]
    names = [drive for drive, _ in alike]
    return replace(first, text=first.text + _where(names, num_drives), drives=tuple(names))


def _where(names: Sequence[str], num_drives: int) -> str:
    if num_drives == 1:
        return ""
    if len(names) == num_drives:
        return f" (in all {num_drives} drives)"
    few = ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
    return f" (in {len(names)} of {num_drives} drives: {few})"
