"""Names that come out of a file: which may become a path, and how they are shown."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import islice
from typing import Final, TypeAlias

_MAX_NAME: Final = 200
"""Characters of a file name; file systems take 255 bytes, endings and side files included."""
_MAX_PATH: Final = 400
_SEPARATORS: Final = re.compile(r"[/\\\x00-\x1f\x7f]")
_DIGITS: Final = re.compile(r"([0-9]+)")
_NANOSECONDS: Final = 9  # digits of a second
_DECIMAL: Final = re.compile(r"[0-9]+\.[0-9]+")
NaturalKey: TypeAlias = tuple[tuple[str, int, str], ...]


def path_part(name: object, what: str) -> str:
    """A name from a file that becomes one part of a path: never a way out of the folder.

    Args:
        name: What the file says.
        what: What it names, for the error: ``"sample_data token"``.

    Raises:
        ValueError: If it is no text, empty, too long, a relative step, or holds a separator or a
            control character.
    """
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= _MAX_NAME
        or name in {".", ".."}
        or _SEPARATORS.search(name)
    ):
        msg = (
            f"the {what} {shown(name)} cannot be part of a path, expected 1 to {_MAX_NAME} "
            "characters without a separator"
        )
        raise ValueError(msg)
    return name


def relative_path(name: object, what: str) -> str:
    """A name from a file that becomes a path below some folder, with ``/`` between its parts.

    Args:
        name: What the file says; empty parts and ``.`` are left out.
        what: What it names, for the error: ``"file name of sample_data"``.

    Raises:
        ValueError: If it is no text, empty, too long, absolute, leads up, or holds a part that
            ``path_part`` refuses.
    """
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_PATH or name.startswith("/"):
        msg = (
            f"the {what} {shown(name)} cannot be a path below the data set, expected 1 to "
            f"{_MAX_PATH} characters that do not begin with a slash"
        )
        raise ValueError(msg)
    if "\\" in name and "/" not in name:
        msg = f"the {what} {shown(name)} has \\ between its parts, as Windows writes; expected /"
        raise ValueError(msg)
    parts = [path_part(part, what) for part in name.split("/") if part not in {"", "."}]
    return "/".join(parts) or path_part("", what)


def shown(value: object, *, limit: int = 60) -> str:
    """A value from a file as an error quotes it: short, and without control characters.

    Args:
        value: Anything; text is quoted.
        limit: Characters kept; longer ones end in ``…``.
    """
    if isinstance(value, str | bytes):
        value = value[: limit + 1]  # the repr of a megabyte is another megabyte
    elif isinstance(value, int) and value.bit_length() > 200:
        return f"a number of {value.bit_length()} bits"  # int -> str is quadratic, and limited
    elif isinstance(value, dict | list | tuple | set | frozenset):
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[: limit + 2])
    return text if len(text) <= limit + 1 else f"{text[:limit]}…"


def listed(names: Iterable[str], *, limit: int = 12) -> str:
    """Names from a file as an error lists them: short, and without control characters.

    Args:
        names: Any number of them.
        limit: How many are written out; ``…`` stands for the others.
    """
    first = [shown(name)[1:].removesuffix("'") for name in islice(names, limit + 1)]
    return ", ".join([*first[:limit], *["…"] * (len(first) > limit)]) or "none"


def same_letters(name: str) -> str:
    """A name in which letters with marks are one character each, as people type them.

    Copies from a Mac may have two: the letter, and its mark. Names are compared in this form.
    """
    return unicodedata.normalize("NFC", name)


def in_order(names: Iterable[str]) -> list[str]:
    """Names as people count them: ``scan2`` before ``scan10``, and decimal numbers by their value.

    With leading zeros this is the order of the alphabet. The order is total: names of one number
    (``01`` and ``1``) follow each other as texts do.
    """
    names = list(names)
    decimals = all(_DECIMAL.fullmatch(name) for name in names)
    if decimals and not fractions_are_counts(names):
        return sorted(names, key=lambda name: (_decimal_key(name), name))
    return sorted(names, key=lambda name: (natural_key(name), name))


def fractions_are_counts(names: Iterable[str]) -> bool | None:
    """Whether what follows the dot is a number of nanoseconds without its leading zeros.

    ``f"{sec}.{nanosec}"`` writes so: 50000000 stands for 0.05 s. As decimals, nine digits and fewer
    stand side by side only where somebody cut zeros off at the end.

    Args:
        names: Seconds with a dot.

    Returns:
        None where both are possible.
    """
    fractions = {name.partition(".")[2] for name in names} - {"0"}
    lengths = {len(fraction) for fraction in fractions}
    if max(lengths, default=0) != _NANOSECONDS or len(lengths) == 1:
        return False
    if any(fraction.startswith("0") for fraction in fractions):
        return False
    return True if any(fraction.endswith("0") for fraction in fractions) else None


def natural_key(name: str) -> NaturalKey:
    """What ``in_order`` sorts names by: their texts and numbers in turn.

    Numbers are compared by length and digits: a conversion would take quadratic time.
    """
    parts = _DIGITS.split(name)
    texts, numbers = parts[::2], [*(digits.lstrip("0") for digits in parts[1::2]), ""]
    return tuple((text, len(number), number) for text, number in zip(texts, numbers, strict=True))


def _decimal_key(name: str) -> tuple[int, str, str]:
    whole, _, fraction = name.partition(".")
    whole = whole.lstrip("0")
    return len(whole), whole, fraction.rstrip("0")
