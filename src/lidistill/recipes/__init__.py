"""Complete, named runs: one YAML file each, found by its path, and how they are loaded.

A file is complete, or it begins with ``base: NAME`` and says what differs, with dots between keys
as on the command line (``train.epochs: 45``) or nested: mappings are merged key by key, anything
else, lists too, replaces what the base has. What runs, is printed and is saved with a run is the
whole recipe.
"""

import logging
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, overload

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from lidistill.config import former_keys
from lidistill.distill.recipe import PretrainRecipe
from lidistill.errors import ConfigError, LidistillError, unknown_name
from lidistill.reading.files import read_file
from lidistill.reading.names import shown
from lidistill.reading.yaml_text import MAX_BYTES, parse_yaml
from lidistill.recipes.explain import explain
from lidistill.recipes.kinds import change_kind
from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe
from lidistill.training.config import RunRecipe

Recipe: TypeAlias = PretrainRecipe | ProbeRecipe | FinetuneRecipe
R = TypeVar("R", PretrainRecipe, ProbeRecipe, FinetuneRecipe)
logger = logging.getLogger(__name__)
_MAX_KEYS = 20  # below one another; the recipes' own have at most six
_RECIPES: dict[str, type[RunRecipe]] = {
    "pretrain": PretrainRecipe,
    "probe": ProbeRecipe,
    "finetune": FinetuneRecipe,
}
_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Annotated[Recipe, Field(discriminator="kind")])


def recipe_names() -> list[str]:
    """Names of the recipes shipped with the package."""
    root = _folder()
    return sorted(str(f.relative_to(root).with_suffix("")) for f in root.rglob("*.yaml"))


def recipe_text(name: str) -> str:
    """The YAML of a recipe: a shipped one by its name, or a file.

    Raises:
        ConfigError: If there is no such recipe.
    """
    file = Path(name)
    if file.is_dir():
        msg = (
            f"{name} is a folder, expected a recipe: a name of `lidistill recipes`, or a YAML "
            "file. `lidistill data check` and `data stats` take folders."
        )
        raise ConfigError(msg)
    if file.suffix in {".yaml", ".yml"}:
        if not file.is_file():
            msg = f"no recipe file {name}; `lidistill recipes` lists those that are shipped."
            raise ConfigError(msg)
        try:
            return read_file(file, max_bytes=MAX_BYTES).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            msg = f"recipe file {name} is not UTF-8 text; save it as such."
            raise ConfigError(msg) from error
        except LidistillError as error:
            msg = f"recipe file {error}"
            raise ConfigError(msg) from error
    if name not in recipe_names() and (file.is_absolute() or name.startswith(".")):
        msg = f"there is neither file nor folder at {name}; `lidistill recipes` lists recipes."
        raise ConfigError(msg)
    if name not in recipe_names():
        raise unknown_name("recipe", name, recipe_names())
    return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def complete_text(name: str) -> str:
    """The YAML of a recipe as it is written; with its base filled in where it has one."""
    text = recipe_text(name)
    base = _read(name).get("base")
    if base is None:
        return text
    first, values = text.splitlines()[0], recipe_values(name)
    return f"{first}\n# ({base}, with its own changes)\n{yaml.safe_dump(values, sort_keys=False)}"


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
    _say_former(name, _overridden(values, overrides), recipe.kind)
    if kind is None or isinstance(recipe, kind):
        return recipe
    raise _other_kind(name, recipe.kind, wanted)  # an override may change that too


def _other_kind(name: str, found: object, wanted: str | None) -> ConfigError:
    fitting = [n for n in recipe_names() if n.startswith(f"{wanted}/")]
    return ConfigError(
        f"recipe {name} is a {found!r} recipe, this command runs {wanted!r} "
        f"recipes: {', '.join(fitting)}."
    )


def recipe_values(name: str) -> dict[str, Any]:
    """The keys and values of a recipe, not checked, with those of its base filled in.

    Raises:
        ConfigError: If it, or what it is based on, is not YAML of that form.
    """
    chain: list[tuple[str, dict[str, Any]]] = []
    wanted = name
    while wanted not in {seen for seen, _ in chain}:
        values = _read(wanted)
        chain.append((wanted, values))
        if "base" not in values:
            break
        wanted = str(values["base"])
    else:
        msg = f"recipe {name}: its bases lead in a circle to {wanted}; one must be complete."
        raise ConfigError(msg)
    _, merged = chain.pop()
    for _, changes in reversed(chain):
        for key, value in changes.items():
            if key != "base":
                _merge(merged, key, _copy(value))
    return merged


def _read(name: str) -> dict[str, Any]:
    try:
        values = parse_yaml(recipe_text(name))
    except ValueError as error:
        msg = f"recipe {name} is not valid YAML: {error}"
        raise ConfigError(msg) from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        msg = f"recipe {name} holds {_kind_of(values)}, expected keys and values."
        raise ConfigError(msg)
    return values


def _kind_of(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def apply_overrides(values: dict[str, Any], overrides: tuple[str, ...], *, source: str) -> Recipe:
    """Override and check the values of a recipe.

    Raises:
        ConfigError: One line about the first thing that is wrong.
    """
    changes: list[str] = []
    try:
        recipe = _ADAPTER.validate_python(_overridden(values, overrides, changes))
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error, _RECIPES)}") from error
    for change in changes:
        logger.info("%s", change)
    return recipe


def _overridden(
    values: dict[str, Any], overrides: tuple[str, ...], changes: list[str] | None = None
) -> dict[str, Any]:
    """The values with overrides; what these leave out beside a changed ``kind`` is noted."""
    values = _copy(values)
    given = [override.partition("=")[0] for override in overrides]
    for override in overrides:
        key, value = _parsed(override)
        if key.endswith(".kind"):
            change = change_kind(values, key, value, kinds=_RECIPES, given=given)
            if change and changes is not None:
                changes.append(change)
        _set(values, key, value)
    return values


def _say_former(name: str, values: dict[str, Any], kind: str) -> None:
    """Say once which keys of a recipe have other names by now."""
    moves = _RECIPES[kind].former
    found = [f"{key} is now {moves[key]}" for key in former_keys(values, moves)]
    if found:
        logger.warning("recipe %s: %s; the former names still work", name, ", ".join(found))


def _folder() -> Path:
    return Path(str(resources.files("lidistill.recipes")))


def _copy(node: Any) -> Any:
    """A deep copy in which no two places share a part, so that an override changes one of them."""
    if isinstance(node, dict):
        return {key: _copy(value) for key, value in node.items()}
    return [_copy(value) for value in node] if isinstance(node, list) else node


def _parsed(override: str) -> tuple[str, Any]:
    """Key and value of an override."""
    key, equals, text = override.partition("=")
    if key.count(".") > _MAX_KEYS:
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


def _merge(values: dict[str, Any], key: str, value: Any) -> None:
    """Put a value under a dotted key; what a mapping does not name stays as it is.

    A mapping of another ``kind`` is another thing and replaces what is there.
    """
    there = _get(values, key)
    same = isinstance(there, dict) and isinstance(value, dict)
    if same and value and value.get("kind", there.get("kind")) == there.get("kind"):
        for inner, part in value.items():
            _merge(values, f"{key}.{inner}", part)
    else:
        _set(values, key, value)


def _get(values: dict[str, Any], key: str) -> Any:
    """What is under a dotted key; None where nothing is."""
    node: Any = values
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Put a value under a dotted key."""
    *parents, last = key.split(".")
    node: Any = values
    for part in parents:
        node = _child(node, part, key)
    if isinstance(node, list):
        node[_position(node, last, key)] = value
    else:
        node[last] = value


def _child(node: Any, part: str, key: str) -> Any:
    if isinstance(node, list):
        return node[_position(node, part, key)]
    child = node.setdefault(part, {})
    if child is None:
        child = node[part] = {}
    if not isinstance(child, dict | list):
        msg = (
            f"override {shown(key)}: {shown(part)} is the value {shown(child)}, it has no keys "
            "below it."
        )
        raise ConfigError(msg)
    return child


def _position(node: list[Any], part: str, key: str) -> int:
    """An index of a list; the first one behind its end makes a new, empty entry."""
    if part == str(len(node)):
        node.append({})
    if not (part.isascii() and part.isdigit()) or int(part) >= len(node):
        msg = f"override {shown(key)}: {shown(part)} is not an index of a list of {len(node)}."
        raise ConfigError(msg)
    return int(part)
