"""Text files of other programs: byte order marks, encodings, and the lines and fields in them."""

import codecs
import io
from collections.abc import Iterator
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
_MAX_LINES: Final = 500_000
_MAX_LINE: Final = 10_000  # bytes


def decode_text(content: bytes) -> str:
    """Content of a UTF-8 file as text, with or without the byte order mark of Windows' programs.

    Raises:
        ValueError: In one short line, if it has another encoding.
    """
    _check_encoding(content)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _no_utf_8(content.count(b"\n", 0, error.start) + 1) from error


def _check_encoding(content: bytes) -> None:
    found = next((name for mark, name in _WIDE if content.startswith(mark)), None)
    if found is None and b"\0" in content[:4]:
        found = "UTF-16 or no text"
    if found is not None:
        msg = f"it is {found}, expected UTF-8; save it as UTF-8"
        raise ValueError(msg)


def _no_utf_8(line: int) -> ValueError:
    return ValueError(f"it is no UTF-8 text (line {line}); save it as UTF-8")


def numbered_lines(
    content: bytes, *, comment: str | None = "#", most: int = _MAX_LINES
) -> Iterator[tuple[int, str]]:
    """Lines that say something, with their numbers counted from 1, one at a time.

    Args:
        content: Of the file.
        comment: What begins a part of a line that is cut off; None: nothing does.
        most: Lines that it may have, empty ones included.

    Raises:
        ValueError: If it is no UTF-8 text, or has too many or too long lines.
    """
    _check_encoding(content)
    lines = io.BytesIO(content if b"\n" in content else content.replace(b"\r", b"\n"))
    for number, raw in enumerate(lines, start=1):
        if number > most or len(raw) > _MAX_LINE:
            found = f"more than {most} lines"
            if number <= most:
                found = f"{len(raw)} bytes in line {number}, expected at most {_MAX_LINE}"
            msg = f"it has {found}"
            raise ValueError(msg)
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise _no_utf_8(number) from error
        if comment is not None:
            line = line.partition(comment)[0]
        if stripped := line.strip():
            yield number, stripped


def two_columns(content: bytes, header: tuple[str, str]) -> list[tuple[int, str, str]]:
    """Line number and both fields of every row of a table with a header, as spreadsheets save it.

    Fields lie between commas, semicolons or tabs, whichever the header has; quotes around a field
    are taken off.

    Raises:
        ValueError: If the header is another, a row has not two fields, or it is no text.
    """
    rows = numbered_lines(content, comment=None)
    _, first = next(rows, (0, ""))
    separator = next((mark for mark in ",;\t" if mark in first), ",")
    if tuple(field.lower() for field in _fields(first, separator)) != header:
        other = next((name for mark, name in _SEPARATORS.items() if mark in first), None)
        found = f"fields between {other}" if other and "," not in first else shown(first)
        msg = f"its first line is not '{header[0]},{header[1]}' but {found}"
        raise ValueError(msg)
    table = []
    for number, line in rows:
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
