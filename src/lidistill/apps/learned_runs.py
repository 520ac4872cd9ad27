"""Finished probes and fine-tunings for jobs over several: loaded, named, led to their data."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lidistill.errors import ConfigError
from lidistill.recipes import apply_overrides
from lidistill.segment.recipe import FinetuneRecipe, LabelRecipe, ProbeRecipe
from lidistill.segment.report import check_learned, restored
from lidistill.segment.run import Segmentation
from lidistill.training.checkpoint import Checkpoint, load_checkpoint

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedRun:
    """A run that learned from labels."""

    name: str
    """Of its recipe; where two are called alike, its folder."""
    folder: Path
    recipe: LabelRecipe
    checkpoint: Checkpoint

    def segmentation(self) -> Segmentation:
        """Its networks, ready to predict."""
        return restored(self.recipe, self.checkpoint)


def runs_and_overrides(words: Sequence[str]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Run folders, and after them overrides, as they stand on the command line.

    Args:
        words: What has a = and is no folder is an override.
    """
    overrides = tuple(w for w in words if "=" in w and not Path(w).exists())
    return tuple(Path(w) for w in words if w not in overrides), overrides


def load_runs(
    runs: Sequence[Path], overrides: Sequence[str], *, command: str
) -> tuple[LearnedRun, ...]:
    """Load runs with overrides of their recipes.

    Where the data of a run are not where its recipe says, and another one of the runs reads a set
    of the same kind, that one's folder is taken: an imported run does not know where data lie.

    Args:
        runs: Run folders.
        overrides: ``key=value`` for every run, ``2.key=value`` for the third.
        command: Who asks, for messages.

    Raises:
        CheckpointError: If a run is not one that learned from labels.
        ConfigError: If an override is of a run that is not there, or does not fit.
    """
    checkpoints = [load_checkpoint(run) for run in runs]
    for checkpoint, run in zip(checkpoints, runs, strict=True):
        check_learned(checkpoint, run, command=command)
    changes = _by_run(overrides, len(runs))
    recipes = [
        _recipe(checkpoint.recipe, changes[i], run)
        for i, (checkpoint, run) in enumerate(zip(checkpoints, runs, strict=True))
    ]
    recipes = [
        _recipe(checkpoint.recipe, (*changes[i], *_found_roots(recipe, recipes, str(run))), run)
        for i, (checkpoint, recipe, run) in enumerate(zip(checkpoints, recipes, runs, strict=True))
    ]
    names = [recipe.name for recipe in recipes]
    if len(set(names)) < len(names):
        names = [str(run) for run in runs]
    return tuple(
        LearnedRun(name=name, folder=run, recipe=recipe, checkpoint=checkpoint)
        for name, run, recipe, checkpoint in zip(names, runs, recipes, checkpoints, strict=True)
    )


def _recipe(stored: dict[str, Any], changes: Sequence[str], run: Path) -> LabelRecipe:
    recipe = apply_overrides(stored, tuple(changes), source=f"recipe of {run}")
    assert isinstance(recipe, ProbeRecipe | FinetuneRecipe)  # noqa: S101  checked before
    return recipe


def _by_run(overrides: Sequence[str], num_runs: int) -> list[list[str]]:
    """The overrides of each run."""
    changes: list[list[str]] = [[] for _ in range(num_runs)]
    for override in overrides:
        number, _, rest = override.partition(".")
        if not number.isdecimal():
            for own in changes:
                own.append(override)
        elif int(number) < num_runs:
            changes[int(number)].append(rest)
        else:
            msg = f"{override!r} changes run {number}, but there are {num_runs}, counted from 0."
            raise ConfigError(msg)
    return changes


def _found_roots(recipe: LabelRecipe, recipes: Sequence[LabelRecipe], run: str) -> list[str]:
    """Overrides that lead a recipe to data which another one has found."""
    found = []
    known = {
        config.kind: config.root
        for other in recipes
        for config in other.evaluation.sets
        if config.root.exists()
    }
    for number, config in enumerate(recipe.evaluation.sets):
        if not config.root.exists() and config.kind in known:
            root = known[config.kind]
            logger.info("%s: its %s is read from %s, as by another run.", run, config.kind, root)
            found.append(f"evaluation.sets.{number}.root={json.dumps(str(root))}")
    return found
