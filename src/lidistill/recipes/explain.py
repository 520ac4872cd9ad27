"""What is wrong with a recipe, in words of its own keys instead of pydantic's."""

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from lidistill.backbones import BACKBONES, BackboneSettings
from lidistill.config import reason_of
from lidistill.errors import suggestion
from lidistill.reading.names import shown


def explain(error: ValidationError, kinds: Mapping[str, type[BaseModel]]) -> str:
    """The first problem of a validation error, with the nearest known key.

    Args:
        error: What pydantic found.
        kinds: The models of a union told apart by ``kind``, by that word.
    """
    problems = error.errors()
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    location = first["loc"]
    where = ".".join(str(part) for part in _visible(location, kinds))
    if first["type"] == "extra_forbidden":
        known = _known_keys(location[:-1], kinds)
        return f"unknown key {shown(where)}; {suggestion(str(location[-1]), known)}"
    if first["type"] == "missing":
        return f"the key {where!r} is missing."
    if first["type"] == "union_tag_invalid":
        context = first["ctx"]
        names = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        return f"{where}: unknown kind {shown(context['tag'])}; {suggestion(context['tag'], names)}"
    message = reason_of(first["msg"])
    found = "" if first["type"] == "value_error" else f"; found {shown(first['input'])}"
    return f"{where or 'it'}: {message}{found}."


def _visible(
    location: tuple[int | str, ...], kinds: Mapping[str, type[BaseModel]]
) -> Iterator[int | str]:
    """The keys of a location, without the tags of the unions it passes through."""
    models = [kinds[str(location[0])]] if location and location[0] in kinds else []
    for part in location[1:] if models else location:
        following = _below(models, part)
        if following is not None or isinstance(part, int):
            yield part
            models = following if following is not None else models
        elif _tagged(models, part):
            models = _tagged(models, part)
        else:
            yield part


def _known_keys(location: tuple[int | str, ...], kinds: Mapping[str, type[BaseModel]]) -> set[str]:
    models = [kinds[str(location[0])]] if location and location[0] in kinds else []
    for part in location[1:]:
        if isinstance(part, str):
            models = _below(models, part) or _tagged(models, part)
    return {name for model in models for name in model.model_fields}


def _below(models: list[type[BaseModel]], part: int | str) -> list[type[BaseModel]] | None:
    found = [m.model_fields[str(part)].annotation for m in models if part in m.model_fields]
    if found and part == "network":  # keys of a backbone, of whichever the run has
        found = [BackboneSettings]
    return None if not found else [model for kind in found for model in _models_in(kind)]


def _tagged(models: list[type[BaseModel]], tag: int | str) -> list[type[BaseModel]]:
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
