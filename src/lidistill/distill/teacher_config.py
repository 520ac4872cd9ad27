"""One teacher or several with a name each, as a recipe says them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag
from torch import nn

from lidistill.distill.lidar_teacher import LidarTeacherConfig
from lidistill.teachers import TeacherConfig

UNNAMED_TEACHER: Final = ""
"""The name of a teacher that is the only one and was given none."""
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_LONGEST: Final = 32
_MOST: Final = 16


def _named(names: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuse names that could be no part of a weight's name, of a path and of a table."""
    for name in names:
        plain = set(name) <= _LETTERS and name[:1].isalpha() and len(name) <= _LONGEST
        if not plain or hasattr(nn.ModuleDict, name):
            msg = (
                f"{name[:_LONGEST]!r} cannot be the name of a teacher; take a letter, then small "
                "letters, digits, - and _, and no word of PyTorch's own"
            )
            raise ValueError(msg)
    return names


def _form(value: Any) -> str:
    """Whether a value is one teacher, or several by their names."""
    several = isinstance(value, Mapping) and value and "kind" not in value
    inside = value.values() if several else ()
    return "form:several" if several and all(map(_is_teacher, inside)) else "form:one"


def _is_teacher(value: Any) -> bool:
    return isinstance(value, Mapping) or hasattr(value, "kind")


def _by_kind(value: Any) -> Any:
    """A list of teachers under the names of their kinds: vit, and vit-2 for the second of them."""
    if not isinstance(value, list | tuple):
        return value
    kinds = [one.get("kind") if isinstance(one, Mapping) else None for one in value]
    unknown = next((n for n, kind in enumerate(kinds) if not isinstance(kind, str)), None)
    if unknown is not None or not kinds:
        where = "an empty list" if unknown is None else f"number {unknown} of the list"
        msg = f"{where} names no kind of teacher, such as {{kind: vit, name: dinov2-large}}"
        raise ValueError(msg)
    return dict(zip(_numbered(map(str, kinds)), value, strict=True))


def _numbered(kinds: Iterator[str]) -> Iterator[str]:
    count: Counter[str] = Counter()
    for kind in kinds:
        count[kind] += 1
        yield kind if count[kind] == 1 else f"{kind}-{count[kind]}"


OneTeacherConfig: TypeAlias = Annotated[
    TeacherConfig | LidarTeacherConfig, Field(discriminator="kind")
]
"""A teacher of images, or a distilled network that teaches another."""
SeveralTeachers: TypeAlias = Annotated[
    dict[str, OneTeacherConfig], Field(max_length=_MOST), AfterValidator(_named)
]
TeachersConfig: TypeAlias = Annotated[
    Annotated[OneTeacherConfig, Tag("form:one")] | Annotated[SeveralTeachers, Tag("form:several")],
    Discriminator(_form),
    BeforeValidator(_by_kind),
]
"""One teacher; or several, as a mapping by name, or as a list, which names them by their kinds."""


def by_name(teachers: TeachersConfig) -> dict[str, OneTeacherConfig]:
    """All teachers of a recipe; one that was given no name is called ``UNNAMED_TEACHER``."""
    return dict(teachers) if isinstance(teachers, dict) else {UNNAMED_TEACHER: teachers}


def part_name(part: str, teacher: str) -> str:
    """What a part that belongs to a teacher is called among weights: head, or heads.NAME."""
    return part if teacher == UNNAMED_TEACHER else f"{part}s.{teacher}"
