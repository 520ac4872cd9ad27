"""The cells of a study: which runs there are, and which of them a table's line stands on."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from lidistill.config import with_moved_keys
from lidistill.datasets import DatasetConfig
from lidistill.distill.recipe import PretrainRecipe
from lidistill.errors import ConfigError
from lidistill.reading.names import shown
from lidistill.recipes.loading import Recipe, apply_overrides, changed_values
from lidistill.recipes.texts import recipe_values
from lidistill.studies.config import Benchmark, Study, changes_in
from lidistill.studies.names import STUDENT
from lidistill.studies.settings import Change, Place, settings
from lidistill.teachers import TEACHERS

What: TypeAlias = Literal["distilled", "random", "teacher", "scratch"]
KINDS: Final[tuple[What, ...]] = ("distilled", "random", "teacher", "scratch")
_RECIPE_OF: Final[dict[What, str]] = {
    "distilled": "probe",
    "random": "probe",
    "teacher": "probe",
    "scratch": "finetune",
}
_NUMBER: Final = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Runs that belong together: a distillation and its probes, or the probes of a yardstick."""

    name: str
    """Of its folder; changes with anything that its runs learn from."""
    label: str
    """The first line of the table that stands on it."""
    what: What
    seed: int
    runs: dict[str, Recipe]
    """In the order in which they run."""
    folder: Path

    def data_sets(self) -> Iterator[DatasetConfig]:
        """What its runs read, some several times."""
        for recipe in self.runs.values():
            yield from recipe.data.sets
            if not isinstance(recipe, PretrainRecipe):
                yield from recipe.evaluation.sets


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A setting of the axes on a benchmark, and the names of its cells by kind and seed."""

    benchmark: str
    places: tuple[Place, ...]
    cells: dict[What, dict[int, str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join(map(str, self.places))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All of a study."""

    study: Study
    variants: tuple[Variant, ...]
    cells: dict[str, Cell]
    """By name, in the order in which they run."""

    def cell(self, word: str, said_by: str = "--cell") -> Cell:
        """The cell of a name, or of a number from 0.

        Args:
            word: Name or number.
            said_by: Where it comes from.

        Raises:
            ConfigError: If there is none.
        """
        if word in self.cells:
            return self.cells[word]
        if _NUMBER.fullmatch(word) and int(word) < len(self.cells):
            return list(self.cells.values())[int(word)]
        msg = (
            f"there is no cell {shown(word)} ({said_by}): this study has {len(self.cells)}, "
            "counted from 0; --list names them."
        )
        raise ConfigError(msg)


def plan_study(study: Study) -> Plan:
    """All cells of a study; equal ones are one, whichever lines of the table they are for.

    Raises:
        ConfigError: If one of its recipes is not there, or a change does not fit.
    """
    cells: dict[str, Cell] = {}
    variants = []
    for name, benchmark in study.benchmarks.items():
        maker = _Maker(study, name, benchmark)
        for places, changes in settings(study, name):
            variant = Variant(benchmark=name, places=places)
            for cell in maker.cells(str(variant), changes):
                cells.setdefault(cell.name, cell)
                variant.cells.setdefault(cell.what, {})[cell.seed] = cell.name
            variants.append(variant)
        if not any(variant.benchmark == name for variant in variants):
            msg = (
                f"no value of any axis is for the benchmark {shown(name)}; "
                f"leave it out: benchmarks.{name}=null"
            )
            raise ConfigError(msg)
    by_seed = sorted(cells.values(), key=lambda cell: study.seeds.index(cell.seed))
    return Plan(study=study, variants=tuple(variants), cells={cell.name: cell for cell in by_seed})


class _Maker:
    """Makes the cells of a benchmark.

    Args:
        study: What is asked.
        name: Of the benchmark.
        benchmark: Its recipes.
    """

    def __init__(self, study: Study, name: str, benchmark: Benchmark) -> None:
        self._study, self._name, self._benchmark = study, name, benchmark
        self._recipes: dict[str, dict[str, Any]] = {}
        self._base = self._pretrain(())
        formats = [config.format for config in benchmark.simulate]
        made: dict[str, Path] = {kind: study.output / "data" / kind for kind in formats}
        self._roots = made | benchmark.roots

    def cells(self, label: str, changes: Sequence[Change]) -> Iterator[Cell]:
        """The cells of a setting of the axes: its distillations, then its yardsticks."""
        pretrain = self._pretrain(changes)
        base: Sequence[Change] = ()
        for seed in self._study.seeds:
            yield self._cell("distilled", label, seed, pretrain, changes)
        for what in KINDS[1:]:
            which = getattr(self._study.yardsticks, what)
            if which == "none":
                continue
            of_base = which == "base"
            source, own = (self._base, base) if of_base else (pretrain, changes)
            if what == "teacher" and not _is_one_of_images(source.get("teacher")):
                continue
            for seed in self._study.seeds if what != "teacher" else self._study.seeds[:1]:
                cell = self._cell(what, "base" if of_base else label, seed, source, own)
                if cell.runs:
                    yield cell

    def _pretrain(self, changes: Sequence[Change]) -> dict[str, Any]:
        """Values of a distillation without a seed and a place of its own."""
        values = self._recipe(self._benchmark.pretrain)
        values = self._changed(values, "pretrain", {}, changes)
        self._check_kind(values, "pretrain", self._benchmark.pretrain)
        return with_moved_keys(values, PretrainRecipe.former)

    def _check_kind(self, values: dict[str, Any], kind: str, name: str) -> None:
        if values.get("kind") != kind:
            msg = f"benchmark {shown(self._name)}: {name} is no {kind} recipe."
            raise ConfigError(msg)

    def _recipe(self, name: str) -> dict[str, Any]:
        """The values of a recipe, read once."""
        if name not in self._recipes:
            self._recipes[name] = recipe_values(name)
        return self._recipes[name]

    def _changed(
        self, values: dict[str, Any], recipe: str, scored: dict[str, Any], own: Sequence[Change]
    ) -> dict[str, Any]:
        """Values of a recipe with every change that is for it, from the study's to the value's."""
        said = (
            *changes_in(self._study.changes),
            *changes_in(self._benchmark.changes),
            *changes_in(scored),
            *own,
        )
        return changed_values(values, [(k, v) for to, k, v in said if to in {recipe, "all"}])

    def _cell(
        self,
        what: What,
        label: str,
        seed: int,
        pretrain: dict[str, Any],
        changes: Sequence[Change],
    ) -> Cell:
        """A cell, with its runs checked and given their places."""
        raw = {STUDENT: pretrain} if what == "distilled" else {}
        raw |= dict(self._probes(what, pretrain, changes))
        raw = {run: self._found(values) | {"seed": seed} for run, values in raw.items()}
        learned = {run: _without_places(values) for run, values in raw.items()}
        digest = hashlib.sha256(json.dumps(learned, sort_keys=True).encode()).hexdigest()[:8]
        slug = re.sub(r"[^a-z0-9.]+", "-", self._name.lower())[:60].strip("-.") or "benchmark"
        name = f"{slug}-{what}-{seed}-{digest}"
        folder = self._study.output / "cells" / name
        runs = {}
        for run, values in raw.items():
            places: list[tuple[str, Any]] = [("output", str(folder / run)), ("name", name)]
            if run != STUDENT and what == "distilled":
                places.append(("checkpoint", str(folder / STUDENT)))
            if values["kind"] != "finetune":
                places.append(("teacher_cache", str(self._study.cache)))
            source = f"{self._name}, {what}, {label}: {run}"
            runs[run] = apply_overrides(changed_values(values, places), (), source=source)
        return Cell(name=name, label=label, what=what, seed=seed, runs=runs, folder=folder)

    def _probes(
        self, what: What, pretrain: dict[str, Any], changes: Sequence[Change]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is scored in a cell, by the names that the study gives."""
        kind = _RECIPE_OF[what]
        for name, scored in self._benchmark.probes.items():
            recipe = scored.scratch if what == "scratch" else scored.probe
            if recipe is None:
                continue
            values = self._changed(self._recipe(recipe), kind, scored.changes, changes)
            self._check_kind(values, kind, recipe)
            values["checkpoint"] = None
            values["features"] = "backbone" if what == "distilled" else what
            if what == "scratch":
                values["features"] = "random"
            if what != "distilled":
                # The teacher is read at the points that the base's student sees.
                source = self._base if what == "teacher" else pretrain
                values["backbone"] = source.get("backbone")
            if what == "teacher":
                values["teacher"] = pretrain.get("teacher")
            yield name, values

    def _found(self, values: dict[str, Any]) -> dict[str, Any]:
        """Values with the study's places of data sets."""
        places = [
            (f"{part}.sets.{number}.root", str(self._roots[one["kind"]]))
            for part in ("data", "evaluation")
            for number, one in enumerate(_sets(values.get(part)))
            if one.get("kind") in self._roots
        ]
        return changed_values(values, places)


def _sets(part: Any) -> list[dict[str, Any]]:
    """The data sets of a part of a recipe that is not checked yet; none where these are none."""
    sets = part.get("sets") if isinstance(part, dict) else None
    if not isinstance(sets, list):
        return []
    known = all(isinstance(one, dict) and isinstance(one.get("kind"), str) for one in sets)
    return sets if known else []


def _is_one_of_images(teacher: Any) -> bool:
    """Whether a teacher can be probed: each of several is where it teaches alone."""
    return isinstance(teacher, dict) and teacher.get("kind") in TEACHERS


def _without_places(values: dict[str, Any]) -> dict[str, Any]:
    """What of a run's values makes it another run.

    Where the run lies, and with how many workers or on which device it is computed, does not. Where
    its data lie does: other data may be there.
    """
    kept = {k: v for k, v in values.items() if k not in {"name", "output", "device", "figures"}}
    kept.pop("teacher_cache", None)
    for part in ("data", "evaluation"):
        if isinstance(kept.get(part), dict):
            kept[part] = {k: v for k, v in kept[part].items() if k not in {"workers", "in_memory"}}
    return kept
