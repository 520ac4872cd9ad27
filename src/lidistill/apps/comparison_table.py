"""What a comparison found, as lines of a table."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Scores of one row of the table, over its seeds, in percent."""

    name: str
    scores: dict[str, list[float | None]] = field(default_factory=dict)
    """By ``mean_iou``, ``mean_iou_of_truth`` and ``seen``; one number for each seed,
    None where there is nothing to score."""

    def mean(self, score: str) -> float | None:
        """Mean over the seeds that have the score; None where none has."""
        values = self._values(score)
        return statistics.mean(values) if values else None

    def spread(self, score: str) -> float | None:
        """Standard deviation over the seeds; None for a single one."""
        values = self._values(score)
        return statistics.stdev(values) if len(values) > 1 else None

    def _values(self, score: str) -> list[float]:
        return [value for value in self.scores[score] if value is not None]


def supervised_minus_distilled(lines: Sequence[Line]) -> float | None:
    """What training from scratch with all labels has over a linear probe of distilled features.

    Points of mean IoU, as the paper counts it, between means over seeds; None where one is missing.

    References:
        Three Pillars (CVPR 2024), abstract: the gap to supervised training; 10.9 points on
        nuScenes.
    """
    means = {line.name: line.mean("mean_iou") for line in lines}
    supervised, distilled = means.get("scratch"), means.get("distilled")
    return None if supervised is None or distilled is None else supervised - distilled


def gap_sentence(lines: Sequence[Line]) -> str:
    """``supervised_minus_distilled`` in words; empty where there is none."""
    gap = supervised_minus_distilled(lines)
    if gap is None:
        return ""
    return f"From scratch with all labels, minus the probe of distilled features: {gap:+.1f} points"


def table_rows(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    """Name, mean IoU, its spread, mean IoU over classes in the truth, and over seen points."""
    return [
        (
            line.name,
            _shown(line.mean("mean_iou")),
            _shown(line.spread("mean_iou"), "± "),
            _shown(line.mean("mean_iou_of_truth")),
            _shown(line.mean("seen")),
        )
        for line in lines
    ]


def _shown(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{sign}{value:.1f}"


def markdown(lines: Sequence[Line]) -> str:
    """The comparison as a Markdown table."""
    rows = [
        "| run | mIoU % | spread | classes in the truth | points in an image |",
        "|---|---|---|---|---|",
    ]
    rows += [f"| {' | '.join(row)} |" for row in table_rows(lines)]
    gap = gap_sentence(lines)
    return "\n".join([*rows, "", f"{gap}."] if gap else rows) + "\n"
