"""What reaches a terminal: no control characters, and nothing that its encoding lacks."""

import io
import json
import re
import shlex
import sys
from collections.abc import Iterable
from typing import Final

from lidistill.reading.yaml_text import parse_yaml

_PLAIN: Final = str.maketrans(
    {
        "±": "+-",
        "→": "->",
        "×": "x",
        "·": "*",
        "…": "...",
        "²": "2",
        "–": "-",
        "—": "-",
        "“": '"',
        "”": '"',
        "’": "'",
        "₁": "1",
        "₂": "2",
    }
)
"""What to write where an encoding has no such character."""
_NAMES: Final = re.compile(r"\S*/\S*|[0-9]+(?:\.[0-9]+)?")
"""Parts of a path, and numbers."""
_KEPT: Final = frozenset("\n\t")


def visible(text: str, encoding: str = "utf-8") -> str:
    """A text in which whatever a terminal would obey, or cannot show, is written out.

    Names of files may hold control characters, which move the cursor or change its colours, and
    bytes that are no text.

    Args:
        text: What is to be printed; line breaks and tabs stay.
        encoding: Of the terminal.
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c in _KEPT else _written_out(c) for c in text)
    if encoding.lower().startswith("utf") or text.isascii():
        return text
    plain = "".join(c if _has(encoding, c) else c.translate(_PLAIN) for c in text)
    return plain.encode(encoding, "backslashreplace").decode(encoding)


def use_plain_streams() -> None:
    """Let no character end a command: what an encoding lacks is written out."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def grouped(lines: Iterable[str]) -> list[str]:
    """Lines that differ in names and numbers alone: the first, and how many more there are."""
    kinds: dict[str, list[str]] = {}
    for line in lines:
        kinds.setdefault(_NAMES.sub("#", line), []).append(line)
    return [
        same[0] if len(same) == 1 else f"{same[0]} … and {len(same) - 1} more of the same kind"
        for same in kinds.values()
    ]


def command(*words: object) -> str:
    """A command as a shell takes it, with quotes where a path needs them."""
    return " ".join(shlex.quote(str(word)) for word in words)


def override(key: str, value: object) -> str:
    """``key=value`` as recipes read it: what YAML would take for something else is quoted."""
    text = str(value)
    try:
        plain = parse_yaml(text) == text
    except ValueError:
        plain = False
    return f"{key}={text if plain else json.dumps(text, ensure_ascii=False)}"


def _written_out(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is no text
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _has(encoding: str, character: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
