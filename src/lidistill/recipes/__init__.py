"""Complete, named runs: one YAML file each, found by its path, and how they are loaded.

What runs, is printed and is saved with a run is the whole recipe. Names and texts are at hand at
once; the models that a recipe is checked against come when they are first asked for, since they
bring PyTorch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lidistill.recipes.texts import complete_text, recipe_names, recipe_text, recipe_values

if TYPE_CHECKING:
    from lidistill.recipes.loading import Recipe, apply_overrides, load_recipe

__all__ = [
    "Recipe",
    "apply_overrides",
    "complete_text",
    "load_recipe",
    "recipe_names",
    "recipe_text",
    "recipe_values",
]


def __getattr__(name: str) -> Any:
    """What is checked against models, imported when it is first asked for."""
    if name in __all__:
        return getattr(importlib.import_module("lidistill.recipes.loading"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
