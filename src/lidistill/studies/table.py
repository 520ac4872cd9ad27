"""What a study found: a line for each value of each axis, beside the yardsticks of that value."""

import csv
import io
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from lidistill.studies.cells import result_of
from lidistill.studies.config import SCORES, Score
from lidistill.studies.names import MEAN
from lidistill.studies.plan import KINDS, Plan, Variant, What
from lidistill.studies.settings import Place

_ALL: Final = "combined"
YARDSTICKS: Final[dict[What, str]] = {
    "random": "random",
    "teacher": "teacher",
    "scratch": "from scratch",
}
"""What they are called; a table has the mean over the probes of each."""
Scores: TypeAlias = dict[int, float]
"""Percent by seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Scores of a setting of the axes on a benchmark."""

    variant: Variant
    probes: tuple[str, ...]
    """Of the benchmark; ``MEAN`` last, where there are several."""
    scores: dict[tuple[What, str, Score], Scores] = field(default_factory=dict)

    @property
    def axis(self) -> str:
        """Of its place, or that all of them are set at once."""
        places = self.variant.places
        return places[0].axis if len(places) == 1 else _ALL


def lines_of(plan: Plan) -> list[Line]:
    """All lines, in the order of the study, with the scores that are there so far.

    Raises:
        FileFormatError: If the scores of a cell are damaged.
    """
    results = {
        name: result.scores
        for name, cell in plan.cells.items()
        if (result := result_of(cell)) is not None
    }
    lines = []
    for variant in plan.variants:
        probes = tuple(plan.study.benchmarks[variant.benchmark].probes)
        line = Line(variant=variant, probes=(*probes, MEAN) if len(probes) > 1 else probes)
        for what, by_seed in variant.cells.items():
            found = {seed: results[name] for seed, name in by_seed.items() if name in results}
            for score in SCORES:
                for probe in line.probes:
                    line.scores[what, probe, score] = _by_seed(found, probes, probe, score)
        lines.append(line)
    return lines


def _by_seed(
    found: Mapping[int, dict[str, dict[str, float | None]]],
    probes: Sequence[str],
    probe: str,
    score: Score,
) -> Scores:
    wanted = probes if probe == MEAN and len(probes) > 1 else (probe,)
    scores: Scores = {}
    for seed, by_probe in found.items():
        values = [by_probe[one][score] for one in wanted if one in by_probe]
        known = [value for value in values if value is not None]
        if len(known) == len(wanted):
            scores[seed] = statistics.mean(known)
    return scores


def mean_of(scores: Scores) -> float | None:
    """Mean over seeds; None where there is none."""
    return statistics.mean(scores.values()) if scores else None


def spread_of(scores: Scores) -> float | None:
    """Standard deviation over seeds; None for fewer than two."""
    return statistics.stdev(scores.values()) if len(scores) > 1 else None


def tables(lines: Sequence[Line], score: Score) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """For each benchmark its name, and a header with one row for each line."""
    for benchmark in dict.fromkeys(line.variant.benchmark for line in lines):
        here = [line for line in lines if line.variant.benchmark == benchmark]
        probes = here[0].probes
        yardsticks = [w for w in KINDS[1:] if any(w in line.variant.cells for line in here)]
        last = probes[-1]
        header = ("axis", "value", "seeds", *probes, *(YARDSTICKS[what] for what in yardsticks))
        rows = [header]
        for line in here:
            own = [line.scores.get(("distilled", probe, score), {}) for probe in probes]
            beside = [line.scores.get((what, last, score), {}) for what in yardsticks]
            seeds = str(len(own[-1]))
            cells = [shown(one) for one in (*own, *beside)]
            rows.append((line.axis, str(line.variant), seeds, *cells))
        yield benchmark, rows


def shown(scores: Scores) -> str:
    """``31.4 ± 0.8``: mean and spread over seeds."""
    mean, spread = mean_of(scores), spread_of(scores)
    if mean is None:
        return "–"
    return f"{mean:.1f}" if spread is None else f"{mean:.1f} ± {spread:.1f}"


def markdown(lines: Sequence[Line], score: Score) -> str:
    """All tables in Markdown."""
    parts = []
    for benchmark, (header, *rows) in tables(lines, score):
        parts += [f"## {benchmark}", "", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
        lines_ = (" | ".join(cell.replace("|", r"\|") for cell in row) for row in rows)
        parts += [f"| {line} |" for line in lines_] + [""]
    return "\n".join(parts)


def records(lines: Sequence[Line]) -> Iterator[dict[str, object]]:
    """One flat record for each line, kind of run, probe and score, for JSON and CSV."""
    for line in lines:
        for (what, probe, score), scores in line.scores.items():
            yield {
                "benchmark": line.variant.benchmark,
                "axis": line.axis,
                "series": ", ".join(place.series for place in line.variant.places),
                "value": ", ".join(place.value for place in line.variant.places),
                "run": what,
                "probe": probe,
                "score": score,
                "num_seeds": len(scores),
                "mean": _rounded(mean_of(scores)),
                "std": _rounded(spread_of(scores)),
                "single": {str(seed): _rounded(value) for seed, value in scores.items()},
            }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def csv_text(lines: Sequence[Line]) -> str:
    """``records`` as CSV; single scores by seed, with a space between two."""
    text = io.StringIO()
    rows = list(records(lines))
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        single = row["single"]
        assert isinstance(single, dict)  # noqa: S101  made above
        joined = " ".join(f"{seed}:{value}" for seed, value in single.items())
        writer.writerow(row | {"single": joined})
    return text.getvalue()


def scores_at(
    lines: Sequence[Line], benchmark: str, place: Place, what: What, score: Score
) -> Scores:
    """Scores of a point of the figure: of each seed, the mean over all lines at that place."""
    here = [
        line.scores.get((what, line.probes[-1], score), {})
        for line in lines
        if line.variant.benchmark == benchmark and place in line.variant.places
    ]
    seeds = dict.fromkeys(seed for scores in here for seed in scores)
    return {
        seed: statistics.mean(scores[seed] for scores in here)
        for seed in seeds
        if all(seed in scores for scores in here)
    }
