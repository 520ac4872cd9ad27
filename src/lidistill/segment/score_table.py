"""Scores of one or several evaluations as rows of a table, and as Markdown."""

from collections.abc import Sequence

from lidistill.segment.breakdown import BREAKDOWNS
from lidistill.segment.evaluate import Evaluation
from lidistill.segment.metrics import Interval


def percent(value: float) -> str:
    """A fraction in percent, or a dash where there is nothing to score."""
    return "–" if value != value else f"{100 * value:.1f}"  # noqa: PLR0124  NaN


def class_rows(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[str]]]:
    """Name and IoU of every class, one column for each evaluation of the same classes."""
    columns = [evaluation.scores.iou for evaluation in evaluations]
    names = evaluations[0].class_names
    return [(name, [percent(iou[i]) for iou in columns]) for i, name in enumerate(names)]


def summary_rows(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[str]]]:
    """Means, confidence interval and accuracy."""
    scored = [evaluation.scores for evaluation in evaluations]
    return [
        ("mIoU", [percent(s.mean_iou) for s in scored]),
        ("95 % interval", [_interval(e.interval) for e in evaluations]),
        ("mIoU, classes in the truth", [percent(s.mean_iou_of_truth) for s in scored]),
        ("mIoU, absent classes as 0", [percent(s.mean_iou_of_all) for s in scored]),
        ("mIoU, points in an image", [percent(e.scores_seen.mean_iou) for e in evaluations]),
        ("accuracy", [percent(s.overall_accuracy) for s in scored]),
        ("mean accuracy", [percent(s.mean_accuracy) for s in scored]),
    ]


def group_rows(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[str]]]:
    """Mean IoU of every group of points: by distance, and by how many lie close together."""
    rows = []
    for key in BREAKDOWNS:
        groups = [evaluation.group_scores(key) for evaluation in evaluations]
        title = "within 1 m" if key == "points_in_1m" else "away"
        rows += [
            (f"mIoU, {name} {title}", [percent(group[name].mean_iou) for group in groups])
            for name in groups[0]
        ]
    return rows


def markdown_table(evaluation: Evaluation) -> str:
    """One evaluation: IoU, accuracy and number of points of every class, then the summary."""
    points, scored = evaluation.confusion.sum(axis=1), evaluation.scores
    lines = ["| class | IoU % | accuracy % | points |", "|---|---|---|---|"]
    for i, name in enumerate(evaluation.class_names):
        found = f"{percent(scored.iou[i])} | {percent(scored.accuracy[i])}"
        lines.append(f"| {name} | {found} | {points[i]:,} |")
    lines += ["", "| over all | % |", "|---|---|"]
    whole = [*summary_rows([evaluation]), *group_rows([evaluation])]
    lines += [f"| {name} | {column} |" for name, (column,) in whole]
    return "\n".join(lines) + "\n"


def _interval(interval: Interval | None) -> str:
    return "–" if interval is None else f"{percent(interval.low)} to {percent(interval.high)}"
