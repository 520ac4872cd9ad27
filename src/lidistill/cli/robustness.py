"""``lidistill robustness``: what bad conditions cost."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from lidistill.cli.output import OUT, print_figures, print_json

_RunsAndOverrides = Annotated[
    tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN ... [KEY=VALUE ...]")
]


def robustness(
    runs: _RunsAndOverrides,
    /,
    *,
    baseline: Path | None = None,
    shifts: bool = False,
    seed: int = 0,
    output: Path = Path("runs/robustness"),
    json: bool = False,
) -> None:
    """Score runs under Robo3D's 24 corruptions, made from clean frames as they are read.

    Example: lidistill robustness runs/finetune/distilled --baseline runs/finetune/scratch --shifts

    Each frame is read once. A second call, also with another number of processes under torchrun,
    goes on from what is counted.

    Args:
        runs: Run folders of probes or fine-tunings; then changes to their recipes, key=value for
            all or 1.key=value for the second run.
        baseline: A run whose errors are 100 %; nuScenes and SemanticKITTI are also compared with
            the benchmark's own baseline, MinkUNet-18.
        shifts: Score other mountings, beams, intensities and ranges of the lidar, too.
        seed: Another one gives another, equally likely corrupted set.
        output: Folder for tables, figures and what is counted so far.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.learned_runs import runs_and_overrides
    from lidistill.apps.robustness import measure_robustness, shift_rows, table_rows
    from lidistill.cli.offer_view import offer_view

    folders, overrides = runs_and_overrides(runs)
    result = measure_robustness(
        folders, output, overrides, baseline=baseline, shifts=shifts, seed=seed
    )
    if json:
        print_json(result.to_json())
        return
    for rows in filter(None, (table_rows(result), shift_rows(result))):
        table = Table()
        for header in rows[0]:
            table.add_column(header, overflow="fold")
        for row in rows[1:]:
            table.add_row(*row)
        OUT.print(table)
    OUT.print(f"results     {result.results}")
    print_figures(result.figures)
    offer_view([*folders, *(() if baseline is None else (baseline,))], overrides)
