"""Which model stands where in a recipe, and what an override of a ``kind`` makes of its neighbours.

A teacher, a backbone or a data set is told by its ``kind``, and each has keys of its own.
"""

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from lidistill.backbones import BACKBONES, BackboneSettings
from lidistill.reading.names import listed, shown


def change_kind(
    values: dict[str, Any],
    key: str,
    kind: object,
    *,
    kinds: Mapping[str, type[BaseModel]],
    given: Iterable[str],
) -> str | None:
    """Leave out the keys beside a ``kind`` that one of another kind does not have.

    A key stays where both have it for the same values, and where another override gives it.

    Args:
        values: Of a recipe; changed in place.
        key: With dots, the last part is ``kind``.
        kind: What it becomes.
        kinds: Models of whole recipes by their kind.
        given: The keys of all overrides.

    Returns:
        What was left out, for whoever asked for the change; None where nothing was.
    """
    *parents, _ = key.split(".")
    node, models = _there(values, parents, kinds)
    former = node.get("kind") if isinstance(node, dict) else None
    if not parents or not isinstance(kind, str) or former in (None, kind):
        return None
    before, after = (models_tagged(models, str(one)) for one in (former, kind))
    if not before or not after:
        return None  # a kind that is not known is told later
    place = key.removesuffix("kind")
    below = (name.removeprefix(place) for name in given if name.startswith(place))
    said = {name.partition(".")[0] for name in below}
    beside = [name for name in node if name != "kind" and name not in said]
    lost = [name for name in beside if not _shared(name, before[0], after[0])]
    for name in lost:
        del node[name]
    if not lost:
        return None
    kept = [name for name in beside if name not in lost]
    stays = f"; {listed(kept)} of the recipe stays" if kept else ""
    where = ".".join(parents)
    return f"{where} is now {shown(kind)}: {listed(lost)} of {shown(former)} left out{stays}"


def _there(
    values: dict[str, Any], parents: list[str], kinds: Mapping[str, type[BaseModel]]
) -> tuple[Any, list[type[BaseModel]]]:
    """What is under some keys, None where nothing is, and the models that may stand there."""
    node: Any = values
    models = [model for kind, model in kinds.items() if kind == values.get("kind")]
    for part in parents:
        if isinstance(node, list):
            inside = part.isascii() and part.isdigit() and int(part) < len(node)
            node = node[int(part)] if inside else None
        else:
            node = node.get(part) if isinstance(node, dict) else None
            # Below a name that someone has given, such as a teacher's, stands what it names.
            below = models_below(models, part)
            models = models if below is None and _named(node) else below or []
    return node, models


def _named(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("kind"), str)


def _shared(name: str, before: type[BaseModel], after: type[BaseModel]) -> bool:
    """Whether a key takes the same values in both."""
    fields = [model.model_fields.get(name) for model in (before, after)]
    return None not in fields and len({str(f.annotation) for f in fields if f is not None}) == 1


def models_below(models: list[type[BaseModel]], part: int | str) -> list[type[BaseModel]] | None:
    """What may stand under a key of any of these models; None if none has it."""
    found = [m.model_fields[str(part)].annotation for m in models if part in m.model_fields]
    if found and part == "network":  # keys of a backbone, of whichever the run has
        found = [BackboneSettings]
    return None if not found else [model for kind in found for model in _models_in(kind)]


def models_tagged(models: list[type[BaseModel]], tag: int | str) -> list[type[BaseModel]]:
    """Those of some models that have this name or ``kind``."""
    return [
        model
        for model in models
        if model.__name__ == tag
        or (
            "kind" in model.model_fields
            and tag in typing.get_args(model.model_fields["kind"].annotation)
        )
    ]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if annotation is BackboneSettings:  # its models stand in a table
            yield from BACKBONES.values()
        elif issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
