"""The YAML of recipes: where it is, its base filled in, keys changed; not checked against models.

A file is complete, or it begins with ``base: NAME`` and says what differs, with dots between keys
as on the command line (``train.epochs: 45``) or nested: mappings are merged key by key, anything
else, lists too, replaces what the base has.
"""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from lidistill.errors import ConfigError, LidistillError, unknown_name
from lidistill.reading.files import read_file
from lidistill.reading.names import shown
from lidistill.reading.yaml_text import MAX_BYTES, parse_yaml

_STUDIES = "study/"
_SAME = {"name": "model", "model": "name"}  # words of a teacher's recipe; the later one counts


def recipe_names() -> list[str]:
    """Names of the runs shipped with the package."""
    return [name for name in _shipped() if not name.startswith(_STUDIES)]


def study_names() -> list[str]:
    """Names of the studies of many runs shipped with the package."""
    return [name for name in _shipped() if name.startswith(_STUDIES)]


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
    if name not in _shipped() and (file.is_absolute() or name.startswith(".")):
        msg = f"there is neither file nor folder at {name}; `lidistill recipes` lists recipes."
        raise ConfigError(msg)
    if name not in _shipped():
        raise unknown_name("recipe", name, _shipped())
    return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def complete_text(name: str) -> str:
    """The YAML of a recipe as it is written; with its base filled in where it has one."""
    text = recipe_text(name)
    base = _read(name).get("base")
    if base is None:
        return text
    first, values = text.splitlines()[0], recipe_values(name)
    about = f"{first}\n" if first.startswith("#") else ""
    return f"{about}# ({base}, with its own changes)\n{yaml.safe_dump(values, sort_keys=False)}"


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
                merge_value(merged, key, copied(value))
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


def _folder() -> Path:
    return Path(str(resources.files("lidistill.recipes")))


def _shipped() -> list[str]:
    root = _folder()
    return sorted(str(f.relative_to(root).with_suffix("")) for f in root.rglob("*.yaml"))


def copied(node: Any) -> Any:
    """A deep copy in which no two places share a part, so that an override changes one of them."""
    if isinstance(node, dict):
        return {key: copied(value) for key, value in node.items()}
    return [copied(value) for value in node] if isinstance(node, list) else node


def merge_value(values: dict[str, Any], key: str, value: Any) -> None:
    """Put a value under a dotted key; what a mapping does not name stays as it is.

    A mapping of another ``kind`` is another thing and replaces what is there, and so are several
    things by their names, each with a ``kind`` of its own, where one was.
    """
    there = _get(values, key)
    if _is_change(value, there):
        for inner, part in value.items():
            merge_value(values, f"{key}.{inner}", part)
    else:
        set_value(values, key, value)


def _is_change(value: Any, there: Any) -> bool:
    """Whether a value says what changes in a mapping, not what takes its place."""
    if not (isinstance(there, dict) and isinstance(value, dict) and value):
        return False
    several = all(isinstance(part, dict) and "kind" in part for part in value.values())
    if several and "kind" in there and not value.keys() & there.keys():
        return False
    return bool(value.get("kind", there.get("kind")) == there.get("kind"))


def _get(values: dict[str, Any], key: str) -> Any:
    """What is under a dotted key; None where nothing is."""
    node: Any = values
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def set_value(values: dict[str, Any], key: str, value: Any) -> None:
    """Put a value under a dotted key."""
    *parents, last = key.split(".")
    node: Any = values
    for part in parents:
        node = _child(node, part, key)
    if isinstance(node, list):
        node[_position(node, last, key)] = value
    else:
        node.pop(_SAME.get(last), None)
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
