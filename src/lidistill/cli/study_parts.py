"""What ``lidistill study`` does: run cells, show where they stand, print what was found."""

import os
import signal
from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from lidistill.cli.offer_view import offer_view
from lidistill.cli.output import OUT, print_figures, print_json
from lidistill.cli.terminal import command
from lidistill.distributed.parent_process import end_with_parent
from lidistill.errors import TrainingError
from lidistill.studies.cells import STATES, State, failure_of, result_of, state_of
from lidistill.studies.names import LOG
from lidistill.studies.plan import Plan
from lidistill.studies.report import Report, write_report
from lidistill.studies.runner import PARENT, Outcome, run_all, run_one
from lidistill.studies.table import records, tables


def run_cells(plan: Plan, words: tuple[str, ...], *, jobs: int, as_json: bool) -> None:
    """Run what is not done, and report what there is.

    Args:
        plan: All cells.
        words: Study and overrides, as on the command line.
        jobs: Cells at a time; 0: run nothing.
        as_json: Print one JSON object.

    Raises:
        TrainingError: If a cell failed, after the report.
    """
    outcome = run_all(plan, words, jobs=jobs) if jobs else Outcome()
    _print_report(plan, write_report(plan), as_json=as_json)
    if outcome.failed:
        first = plan.cells[next(iter(outcome.failed))]
        msg = (
            f"{len(outcome.failed)} of {len(plan.cells)} cells failed, the first is {first.name} "
            f"({first.label}): {failure_of(first)} What it printed is in {first.folder / LOG}; "
            "the same command tries them again."
        )
        raise TrainingError(msg)


def end_with_study() -> None:
    """A cell ends with the study that has started it, however that ends."""
    parent = os.environ.get(PARENT, "")
    if parent.isdecimal() and not end_with_parent(signal.SIGTERM, int(parent)):
        os.kill(os.getpid(), signal.SIGTERM)


def run_chosen(plan: Plan, word: str, *, said_by: str, as_json: bool) -> None:
    """One cell; whoever runs the last one writes the report."""
    chosen = plan.cell(word, said_by)
    run_one(plan, chosen)
    result = result_of(chosen)
    if as_json:
        print_json({"cell": chosen.name, "scores": None if result is None else result.scores})
    else:
        OUT.print(f"cell        {chosen.folder}")
    if all(state_of(one) == "done" for one in plan.cells.values()):
        report = write_report(plan)
        if not as_json:
            OUT.print(f"results     {report.results}")


def print_cells(plan: Plan, words: tuple[str, ...], *, as_json: bool) -> None:
    """Every cell, where it stands, and how to run them as a Slurm array."""
    states = {one.name: state_of(one) for one in plan.cells.values()}
    if as_json:
        cells = [
            {"number": number, "name": one.name, "label": one.label, "state": states[one.name]}
            | {"why": failure_of(one), "folder": str(one.folder)}
            for number, one in enumerate(plan.cells.values())
        ]
        print_json({"study": plan.study.name, "cells": cells})
        return
    rows = [("no.", "cell", "for", "state", "seconds")]
    for number, one in enumerate(plan.cells.values()):
        state = states[one.name]
        result = result_of(one) if state == "done" else None
        why = failure_of(one) if state == "failed" else ""
        seconds = "" if result is None else f"{result.seconds:.0f}"
        stands = f"{state}: {why}" if why else state
        rows.append((str(number), one.name, one.label, stands, seconds))
    _print_table(rows)
    OUT.print(f"{len(plan.cells)} cells: {_counted([*states.values()])}")
    here = command("lidistill", "study", *words)
    OUT.print("as a Slurm array, with the options that your cluster wants:")
    array = command("sbatch", f"--array=0-{len(plan.cells) - 1}", f"--wrap={here}")
    OUT.print(f"            {array}")


def _counted(states: Sequence[State]) -> str:
    counts = Counter(states)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def _print_report(plan: Plan, report: Report, *, as_json: bool) -> None:
    if as_json:
        print_json({"study": plan.study.name, "lines": [*records(report.lines)]})
        return
    for benchmark, (header, *rows) in tables(report.lines, plan.study.score):
        OUT.print(f"{benchmark}: {plan.study.score}, percent")
        _print_table([header, *rows])
    states = [state_of(one) for one in plan.cells.values()]
    OUT.print(f"{len(states)} cells: {_counted(states)}")
    OUT.print(f"results     {report.results}")
    print_figures((report.figure,))
    offer_view(report.best)


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """A header and its rows; off a terminal as wide as they are, since a file holds any line."""
    width = 1 + sum(3 + max(map(len, cells)) for cells in zip(*rows, strict=True))
    table = Table(width=None if OUT.is_terminal else width)
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    OUT.print(table)
