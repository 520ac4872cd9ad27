"""Text files of other programs: byte order marks, encodings, and the lines and fields in them."""

import codecs
import re
from typing import Final

from lidistill.reading.names import shown

_WIDE: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
_MAX_FIELD: Final = 1000  # characters; names and times have tens
_MAX_LINES: Final = 200_000


def decode_text(content: bytes) -> str:
    """Content of a UTF-8 file as text, with or without the byte order mark of Windows' programs.

    Raises:
        ValueError: In one short line, if it has another encoding.
    """
    found = next((name for mark, name in _WIDE if content.startswith(mark)), None)
    if found is None and b"\0" in content[:4]:
        found = "UTF-16 or no text"
    if found is not None:
        msg = f"it is {found}, expected UTF-8; save it as UTF-8"
        raise ValueError(msg)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        msg = f"it is no UTF-8 text (line {line}); save it as UTF-8"
        raise ValueError(msg) from error


def numbered_lines(content: bytes, *, comment: str | None = "#") -> list[tuple[int, str]]:
    """Lines that say something, with their numbers counted from 1.

    Args:
        content: Of the file.
        comment: What begins a part of a line that is cut off; None: nothing does.

    Raises:
        ValueError: If it is no UTF-8 text, or has too many lines.
    """
    if (count := content.count(b"\n") + content.count(b"\r")) > 2 * _MAX_LINES:
        msg = f"it has {count} lines, expected at most {_MAX_LINES}"
        raise ValueError(msg)
    lines = re.split(r"\r\n|\n|\r", decode_text(content))
    if comment is not None:
        lines = [line.partition(comment)[0] for line in lines]
    return [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]


def two_columns(content: bytes, header: tuple[str, str]) -> list[tuple[int, str, str]]:
    """Line number and both fields of every row of a table with a header, as spreadsheets save it.

    Fields lie between commas, semicolons or tabs, whichever the header has; quotes around a field
    are taken off.

    Raises:
        ValueError: If the header is another, a row has not two fields, or it is no text.
    """
    rows = numbered_lines(content, comment=None)
    first = rows[0][1] if rows else ""
    separator = next((mark for mark in ",;\t" if mark in first), ",")
    if tuple(field.lower() for field in _fields(first, separator)) != header:
        other = next((name for mark, name in _SEPARATORS.items() if mark in first), None)
        found = f"fields between {other}" if other and "," not in first else shown(first)
        msg = f"its first line is not '{header[0]},{header[1]}' but {found}"
        raise ValueError(msg)
    table = []
    for number, line in rows[1:]:
        fields = _fields(line, separator)
        if len(fields) != 2 or max(map(len, fields)) > _MAX_FIELD:
            what = f"{len(fields)} values" if len(fields) != 2 else "a value that is too long"
            msg = f"line {number} has {what}, expected {header[0]}{separator}{header[1]}"
            raise ValueError(msg)
        table.append((number, fields[0], fields[1]))
    return table


def _fields(line: str, separator: str) -> list[str]:
    parts = (part.strip() for part in line.split(separator))
    return [p[1:-1].strip() if len(p) > 1 and p[0] == p[-1] == '"' else p for p in parts]
