"""Recipes as checked models: a named or own one is read, overridden and validated."""

import logging
from collections.abc import Iterable
from typing import Annotated, Any, Final, TypeAlias, TypeVar, overload

from pydantic import Field, TypeAdapter, ValidationError

from lidistill.config import former_keys
from lidistill.distill.recipe import PretrainRecipe
from lidistill.errors import ConfigError
from lidistill.reading.names import shown
from lidistill.reading.yaml_text import parse_yaml
from lidistill.recipes.explain import explain
from lidistill.recipes.kinds import change_kind
from lidistill.recipes.texts import (
    copied,
    merge_value,
    recipe_names,
    recipe_values,
    set_value,
)
from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe
from lidistill.training.config import RunRecipe

Recipe: TypeAlias = PretrainRecipe | ProbeRecipe | FinetuneRecipe
R = TypeVar("R", PretrainRecipe, ProbeRecipe, FinetuneRecipe)
logger = logging.getLogger(__name__)
MAX_KEYS: Final = 20
"""Keys below one another; the recipes' own have at most six."""
_RECIPES: dict[str, type[RunRecipe]] = {
    "pretrain": PretrainRecipe,
    "probe": ProbeRecipe,
    "finetune": FinetuneRecipe,
}
_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Annotated[Recipe, Field(discriminator="kind")])


@overload
def load_recipe(name: str, overrides: tuple[str, ...] = ...) -> Recipe: ...


@overload
def load_recipe(name: str, overrides: tuple[str, ...] = ..., *, kind: type[R]) -> R: ...


def load_recipe(
    name: str, overrides: tuple[str, ...] = (), *, kind: type[R] | None = None
) -> Recipe | R:
    """Read, override and check a recipe.

    Args:
        name: Name of a shipped recipe, or path of a YAML file.
        overrides: ``key=value`` with dots between keys, for example ``train.steps=100`` or
            ``data.sets.0.root=/data/pandaset``; values are YAML.
        kind: What the recipe must be; any where None.

    Raises:
        ConfigError: If anything in it is unknown or of the wrong type, or if it is another kind.
    """
    values = recipe_values(name)
    wanted = None if kind is None else next(k for k, model in _RECIPES.items() if model is kind)
    if wanted not in {None, values.get("kind")}:
        raise _other_kind(name, values.get("kind"), wanted)
    recipe = apply_overrides(values, overrides, source=f"recipe {name}")
    _say_former(name, overridden(values, overrides), recipe.kind)
    if kind is None or isinstance(recipe, kind):
        return recipe
    raise _other_kind(name, recipe.kind, wanted)  # an override may change that too


def _other_kind(name: str, found: object, wanted: str | None) -> ConfigError:
    fitting = [n for n in recipe_names() if n.startswith(f"{wanted}/")]
    return ConfigError(
        f"recipe {name} is a {found!r} recipe, this command runs {wanted!r} "
        f"recipes: {', '.join(fitting)}."
    )


def apply_overrides(values: dict[str, Any], overrides: tuple[str, ...], *, source: str) -> Recipe:
    """Override and check the values of a recipe.

    Raises:
        ConfigError: One line about the first thing that is wrong.
    """
    changes: list[str] = []
    changed = overridden(values, overrides, changes)
    try:
        recipe = _ADAPTER.validate_python(changed)
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error, _RECIPES, values=changed)}") from error
    for change in changes:
        logger.info("%s", change)
    return recipe


def overridden(
    values: dict[str, Any], overrides: tuple[str, ...], changes: list[str] | None = None
) -> dict[str, Any]:
    """A copy of a recipe's values with overrides, not checked.

    What these leave out beside a changed ``kind`` is noted in ``changes``.
    """
    values = copied(values)
    given = [override.partition("=")[0] for override in overrides]
    for override in overrides:
        key, value = _parsed(override)
        if key.endswith(".kind"):
            change = change_kind(values, key, value, kinds=_RECIPES, given=given)
            if change and changes is not None:
                changes.append(change)
        set_value(values, key, value)
    return values


def changed_values(values: dict[str, Any], changes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A copy of a recipe's values with those of dotted keys merged in, as over a ``base``."""
    values, changes = copied(values), list(changes)
    for key, value in changes:
        if key.endswith(".kind"):
            change_kind(values, key, value, kinds=_RECIPES, given=[k for k, _ in changes])
        merge_value(values, key, copied(value))
    return values


def _say_former(name: str, values: dict[str, Any], kind: str) -> None:
    """Say once which keys of a recipe have other names by now."""
    moves = _RECIPES[kind].former
    found = [f"{key} is now {moves[key]}" for key in former_keys(values, moves)]
    if found:
        logger.warning("recipe %s: %s; the former names still work", name, ", ".join(found))


def _parsed(override: str) -> tuple[str, Any]:
    """Key and value of an override."""
    key, equals, text = override.partition("=")
    if key.count(".") > MAX_KEYS:
        msg = f"{shown(override)} names {key.count('.') + 1} keys below one another."
        raise ConfigError(msg)
    if not equals or not key:
        msg = f"{shown(override)} is not an override; write key=value, for example train.steps=100."
        raise ConfigError(msg)
    try:
        value = parse_yaml(text)
    except ValueError as error:
        msg = f"the value of {shown(override)} is not valid YAML: {error}."
        raise ConfigError(msg) from error
    return key, value
