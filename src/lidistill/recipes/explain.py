"""What is wrong with a recipe, in words of its own keys instead of pydantic's."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ValidationError

from lidistill.backbones import DEFAULT_KIND
from lidistill.config import reason_of
from lidistill.errors import suggestion
from lidistill.reading.names import shown
from lidistill.recipes.kinds import models_below, models_tagged

_FORM: Final = "form:"
"""Begins the tags of unions whose members have no ``kind`` to tell them apart."""


def explain(
    error: ValidationError,
    kinds: Mapping[str, type[BaseModel]],
    *,
    kind: str | None = None,
    values: object = None,
) -> str:
    """The first problem of a validation error, with the nearest known key.

    Args:
        error: What pydantic found.
        kinds: The models of a union told apart by ``kind``, by that word.
        kind: Which of them it is, where no union was asked.
        values: What was checked; their own ``kind`` tells which keys could have been meant.
    """
    problems = error.errors()
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    location = first["loc"] if kind is None else (kind, *first["loc"])
    where = ".".join(str(part) for part in _visible(location, kinds))
    before = f"{where}: " if where else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(location[:-1], kinds, values)
        if str(location[-1]) in known:  # nothing says which kind it is
            return f"unknown key {shown(where)}; only another kind has it, see `lidistill recipes`."
        return f"unknown key {shown(where)}; {suggestion(str(location[-1]), known)}"
    if first["type"] == "missing":
        return f"the key {where!r} is missing."
    if first["type"] == "union_tag_invalid":
        context = first["ctx"]
        names = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        return f"{before}unknown kind {shown(context['tag'])}; {suggestion(context['tag'], names)}"
    if first["type"] == "union_tag_not_found":
        return f"{before}no kind says what it is; found {shown(first['input'])}."
    message = reason_of(first["msg"])
    found = "" if first["type"] == "value_error" else f"; found {shown(first['input'])}"
    return f"{before}{message}{found}{'' if message.endswith('?') else '.'}"


def _visible(
    location: tuple[int | str, ...], kinds: Mapping[str, type[BaseModel]]
) -> Iterator[int | str]:
    """The keys of a location, without the tags of the unions it passes through."""
    models = [kinds[str(location[0])]] if location and location[0] in kinds else []
    for part in location[1:] if models else location:
        if part == "[key]" or str(part).startswith(_FORM):
            continue  # of a mapping, or of a value that has several forms
        following = models_below(models, part)
        if following is not None or isinstance(part, int):
            yield part
            models = following if following is not None else models
        elif models_tagged(models, part):
            models = models_tagged(models, part)
        else:
            yield part


def _known_keys(
    location: tuple[int | str, ...], kinds: Mapping[str, type[BaseModel]], values: object
) -> set[str]:
    models = [kinds[str(location[0])]] if location and location[0] in kinds else []
    for part in location[1:]:
        values = _below(values, part)
        if isinstance(part, str) and not part.startswith(_FORM):
            # A name that someone has given, such as a teacher's, leads to what it names.
            models = models_below(models, part) or models_tagged(models, part) or models
        if isinstance(values, Mapping):
            usual = DEFAULT_KIND if part == "backbone" else None
            models = models_tagged(models, str(values.get("kind", usual))) or models
    return {name for model in models for name in model.model_fields}


def _below(values: object, part: int | str) -> object:
    """What stands there; the same values where a part is only the tag of a union."""
    if isinstance(values, Mapping) and part in values:
        return values[part]
    if isinstance(values, Sequence) and isinstance(part, int) and part < len(values):
        return values[part]
    return values
