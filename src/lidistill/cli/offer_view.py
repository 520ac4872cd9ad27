"""How to look at finished runs: the command that a report ends with."""

from collections.abc import Sequence
from pathlib import Path

from lidistill.cli.output import OUT
from lidistill.cli.terminal import command
from lidistill.training.checkpoint import load_checkpoint


def offer_view(runs: Sequence[Path]) -> None:
    """Name the command that shows two runs side by side, on the frames where they differ most.

    Args:
        runs: The first two that have a 3D network are named; a single one is shown alone, and
            nothing is said where there is none.
    """
    pair = [run for run in runs if _has_network(run)][:2]
    side_by_side = ("--most-different",) if len(pair) == 2 else ()
    if pair:
        OUT.print(f"look        {command('lidistill', 'view', *pair, *side_by_side)}")


def _has_network(run: Path) -> bool:
    """Whether a run learned on features of a 3D network, which can be looked at."""
    return load_checkpoint(run).recipe.get("features") not in {"input", "teacher"}
