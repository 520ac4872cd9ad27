"""The runs of the demo: where they lie, and what each row of its table stands on."""

import json
from pathlib import Path
from typing import Final

from lidistill.config import Config
from lidistill.distill.recipe import PretrainRecipe
from lidistill.recipes import load_recipe
from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe

ROWS: Final = {
    "random": ("probe/debug", "random"),
    "teacher": ("probe/debug", "teacher"),
    "from scratch": ("finetune/debug", "random"),
    "distilled": ("probe/debug", "backbone"),
}
"""What is compared: the recipe, and the features it stands on."""
_CACHE: Final = "teacher-features"
"""Folder of what the teacher says about the images, for all runs."""


def student_recipe(output: Path, changes: tuple[str, ...]) -> PretrainRecipe:
    """The distillation, on the drives that were simulated."""
    return load_recipe(
        "pretrain/debug",
        (
            _path("output", output / "pretrain"),
            _path("data.sets.0.root", street_of(output)),
            _path("data.sets.1.root", street_of(output)),
            _path("teacher_cache", output / _CACHE),
            *changes,
        ),
        kind=PretrainRecipe,
    )


def row_recipe(
    student: PretrainRecipe, output: Path, row: str, changes: tuple[str, ...]
) -> ProbeRecipe | FinetuneRecipe:
    """What makes a row of the table; told its networks where it needs nothing that was learned."""
    name, features = ROWS[row]
    stands_on: tuple[str, ...] = (_path("checkpoint", output / "pretrain"),)
    if features != "backbone":
        stands_on = ("checkpoint=null", _networks("backbone", student.backbone))
    if features == "teacher":
        (teacher,) = student.teachers.values()
        cache = _path("teacher_cache", output / _CACHE)
        stands_on = (*stands_on, _networks("teacher", teacher), cache)
    overrides = (
        f"name={row}",
        f"features={features}",
        *stands_on,
        _path("output", output / row.replace(" ", "-")),
        _path("data.sets.0.root", street_of(output)),
        _path("evaluation.sets.0.root", street_of(output)),
        *changes,
    )
    if name.startswith("probe/"):
        return load_recipe(name, overrides, kind=ProbeRecipe)
    return load_recipe(name, overrides, kind=FinetuneRecipe)


def _networks(key: str, config: Config) -> str:
    """An override whose value is the whole configuration of a network."""
    return f"{key}={json.dumps(config.model_dump(mode='json'))}"


def street_of(output: Path) -> Path:
    """The folder of the simulated drives."""
    return output / "street"


def _path(key: str, path: Path) -> str:
    """An override whose value is a path, whatever characters it has."""
    return f"{key}={json.dumps(str(path))}"
