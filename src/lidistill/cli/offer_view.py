"""How to look at finished runs: the command that a report ends with."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lidistill.cli.output import OUT
from lidistill.cli.terminal import command
from lidistill.training.checkpoint import load_checkpoint

_DATA: Final = re.compile(r"(?:[0-9]+\.)?evaluation\.sets\.[0-9]+\.root=(.+)", re.DOTALL)


def offer_view(runs: Sequence[Path], overrides: Sequence[str] = ()) -> None:
    """Name the command that shows two runs side by side, on the frames where they differ most.

    Args:
        runs: The first two that have a 3D network are named; a single one is shown alone, and
            nothing is said where there is none.
        overrides: Of the runs' recipes; where they say that data lie elsewhere, so does the
            command.
    """
    pair = [run for run in runs if _has_network(run)][:2]
    side_by_side = ("--most-different",) if len(pair) == 2 else ()
    data = dict.fromkeys(found[1] for one in overrides if (found := _DATA.fullmatch(one)))
    named = tuple(data) if len(data) == 1 else ()
    if pair:
        OUT.print(f"look        {command('lidistill', 'view', *pair, *named, *side_by_side)}")


def _has_network(run: Path) -> bool:
    """Whether a run learned on features of a 3D network, which can be looked at."""
    return load_checkpoint(run).recipe.get("features") not in {"input", "teacher"}
