"""NumPy's own files, read without unpickling and without trusting what their headers claim.

Shape letters: N points, C columns.
"""

import io
import logging
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError, first_line
from lidistill.reading.names import listed, shown
from lidistill.records import Array
from lidistill.scan_formats.columns import (
    MAX_HEADER,
    MAX_UNPACKED,
    check_names,
    check_points,
    split_records,
)

logger = logging.getLogger(__name__)

_COORDINATES: Final = ("x", "y", "z")
_PLAIN: Final = (*_COORDINATES, "intensity")
_POINTS: Final = "points"
_MOST_COLUMNS: Final = 8  # of an organised cloud; more are pixels of an image or a row
_MOST_PLAIN: Final = 16  # columns without names; lidars give ten at most
_MAX_ARRAYS: Final = 64
_MAGIC: Final = b"\x93NUMPY"
_ENTRY: Final = b"PK\x01\x02"  # what an archive's list has before every name
_RARE: Final = 1 << 20  # bytes; in 4 GiB compressed ones it comes once by chance
_HEADERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class _NoNumbersError(FileFormatError):
    """An array that is none of numbers: it holds objects, or nothing."""


def parse_npy(content: bytes, source: Path) -> dict[str, Array]:
    """Columns of a structured array, (N,) or (H, W), or of a plain one, (N, 3) or (N, 4+).

    The plain one may lie in rows, too, (H, W, …); rows become points one behind the other.

    Plain columns are x, y, z, intensity; what follows has no name and is left out.

    Raises:
        FileFormatError: If the file is damaged, holds objects, or has another shape.
    """
    return _columns(read_array(content, str(source)), str(source))


def parse_npz(content: bytes, source: Path) -> dict[str, Array]:
    """Columns of an archive: an array ``points`` (as ``.npy`` would hold it), or x, y and z.

    If there are neither, the only array that can hold points is taken for them. Further arrays of
    one number a point become columns under their own names.

    Raises:
        FileFormatError: If the archive is damaged, unpacks to more than ``MAX_UNPACKED`` bytes, or
            it is not clear which array holds the points.
    """
    arrays = {name: _flat(array) for name, array in read_archive(content, source).items()}
    columns: dict[str, Array] = {}
    points = _name_of_points(arrays)
    if points is not None:
        columns = _columns(arrays.pop(points), f"{source}, array {shown(points)}")
    elif not {"x", "y", "z"} <= {name.lower() for name in arrays}:
        found = listed(f"{name[:60]} {_shape(array.shape)}" for name, array in arrays.items())
        msg = (
            f"scan {source} holds the arrays {found}, expected one of points, (N, 3) or (N, 4), or "
            "the columns x, y and z; call the array of the points 'points'."
        )
        raise FileFormatError(msg)
    plain = {n: a for n, a in arrays.items() if a.ndim == 1 and a.dtype.kind in "fiu"}
    first = columns or {n: a for n, a in plain.items() if n.lower() == "x"}
    num_points = {len(column) for column in first.values()}
    # A pose, a time of the whole scan and the like are no columns.
    axes = {*"xyzXYZ"}
    return columns | {n: a for n, a in plain.items() if len(a) in num_points or n in axes}


def _flat(array: Array) -> Array:
    """(N,) numbers of an (N, 1) array; others as they are."""
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _name_of_points(arrays: Mapping[str, Array]) -> str | None:
    """Which array of an archive holds the points; None where nothing says so."""
    named = [name for name in arrays if name.lower() == _POINTS]
    if named or len(arrays) == 1:
        return (named or list(arrays))[0]
    if {"x", "y", "z"} <= {name.lower() for name in arrays}:
        return None
    # A pose or a K is no taller than wide.
    fitting = [
        name
        for name, array in arrays.items()
        if array.dtype.kind == "f"
        and array.ndim > 1
        and len(_COORDINATES) <= array.shape[-1] < array[..., 0].size
    ]
    return fitting[0] if len(fitting) == 1 else None


def read_array(content: bytes, source: str) -> Array:
    """The array of a ``.npy`` file.

    Args:
        content: The whole file.
        source: Where it comes from, for the message.

    Raises:
        FileFormatError: If it is damaged, or holds objects.
    """
    stream = io.BytesIO(content)
    try:
        shape, by_columns, dtype = _read_header(stream)
    except (
        *(ValueError, KeyError, EOFError, TypeError, UnicodeError),
        # NumPy parses a damaged header as Python.
        *(SyntaxError, tokenize.TokenError, RecursionError, MemoryError),
    ) as error:
        reason = first_line(error)[:100]
        msg = (
            f"{source} is no NumPy file, or its header is damaged ({reason}); write it with "
            "numpy.save."
        )
        raise FileFormatError(msg) from error
    found, expected = len(content) - stream.tell(), math.prod(shape) * dtype.itemsize
    if not expected and not dtype.hasobject:
        msg = (
            f"{source} is empty, an array of shape {_shape(shape)}; leave it out, or save it again."
        )
        raise _NoNumbersError(msg)
    if dtype.hasobject or dtype.subdtype or found < expected:
        what = "objects" if dtype.hasobject else f"{found} bytes of values"
        kind = _NoNumbersError if dtype.hasobject else FileFormatError
        msg = (
            f"{source} holds {what}, expected {shown(expected)} bytes of numbers for the shape "
            f"{_shape(shape)} it claims; it is cut off or no array of numbers. Save numbers "
            "(array.astype('float32')) again."
        )
        raise kind(msg)
    if found > expected:
        rest = "more arrays were saved into it?"
        logger.warning("%s: %d bytes behind its array are left out (%s)", source, found, rest)
    count = math.prod(shape)
    flat = np.frombuffer(content, dtype, count=count, offset=stream.tell())
    return flat.reshape(shape, order="F" if by_columns else "C")


def _read_header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order by columns and type of a header whose numbers could be those of an array."""
    version = np.lib.format.read_magic(stream)
    if version == (3, 0):  # as 2.0, but in UTF-8: its names are written as Python's escapes here
        (num_bytes,) = struct.unpack("<I", stream.read(4))
        text = stream.read(min(num_bytes, MAX_HEADER)).decode("utf-8")
        escaped = text.encode("latin1", "backslashreplace")
        rest = stream.tell()
        shape, by_columns, dtype = np.lib.format.read_array_header_2_0(
            io.BytesIO(struct.pack("<I", len(escaped)) + escaped)
        )
        stream.seek(rest)
    else:
        shape, by_columns, dtype = _HEADERS[version](stream)
    if any(type(length) is not int or length < 0 for length in shape):
        msg = f"the shape {_shape(shape)} is none"
        raise ValueError(msg)
    return shape, by_columns, dtype


def _shape(shape: tuple[object, ...]) -> str:
    return f"({', '.join(shown(length) for length in shape[:8])}{', …' * (len(shape) > 8)})"


def _columns(array: Array, source: str) -> dict[str, Array]:
    if array.ndim == 3 and len(_COORDINATES) <= array.shape[2] <= _MOST_COLUMNS:
        array = array.reshape(-1, array.shape[2])  # rows of an organised cloud
    check_points(array.size if array.dtype.names else (*array.shape, 0)[0], Path(source))
    if array.dtype.names and (array.ndim == 2 or array.size == max(array.shape, default=0)):
        check_names(array.dtype.names, Path(source))
        return split_records(cast("NDArray[np.void]", array.reshape(-1)))
    plain = array.dtype.kind in "fiu" and array.ndim == 2
    if plain and len(_COORDINATES) <= array.shape[0] < array.shape[1]:
        msg = (
            f"{source} is an array of shape {array.shape}, expected (N, 3) or (N, 4), one row a "
            "point; it looks transposed (as the points of nuscenes-devkit are). Save its .T."
        )
        raise FileFormatError(msg)
    if not plain or array.shape[1] < len(_COORDINATES):
        msg = (
            f"{source} is a {shown(array.dtype.name)} array of shape {_shape(array.shape)}, "
            "expected (N, 3), (N, 4) with intensity, the same in rows (H, W, 3), or structured "
            "(N,) or (H, W) with x, y and z; save it so."
        )
        raise FileFormatError(msg)
    if array.shape[1] > _MOST_PLAIN:
        msg = (
            f"{source} has {array.shape[1]} columns, expected x, y, z, intensity and at most "
            f"{_MOST_PLAIN - len(_PLAIN)} more; it looks like features of points. Give the scans."
        )
        raise FileFormatError(msg)
    native = array[:, : len(_PLAIN)]
    native = native.astype(array.dtype.newbyteorder("="))
    return {name: native[:, i] for i, name in enumerate(_PLAIN[: array.shape[1]])}


def read_archive(content: bytes, source: Path) -> dict[str, Array]:
    """All arrays of numbers in an archive by their names.

    What else tools put beside them (objects, which are not unpickled, arrays of nothing, texts) is
    left out.

    Raises:
        FileFormatError: If it is damaged, unpacks to more than ``MAX_UNPACKED`` bytes, or holds no
            array of numbers, not even as ``points``.
    """
    try:
        # Before Python lists them: an archive of nothing but names lists millions.
        if content.count(_ENTRY) > 2 * _MAX_ARRAYS + len(content) // _RARE:
            raise _too_much(source, f"more than {_MAX_ARRAYS} arrays")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > MAX_UNPACKED or len(members) > _MAX_ARRAYS:
                raise _too_much(source, f"{len(members)} arrays of {size} bytes")
            contents = {member.filename: _member(archive, member) for member in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        msg = f"scan {source} is no npz archive, or damaged ({_why(error)}); save it again."
        raise FileFormatError(msg) from error
    except (OSError, ValueError, IndexError, UnicodeError, OverflowError, struct.error) as error:
        msg = f"scan {source} is a damaged npz archive ({_why(error)}); save it again."
        raise FileFormatError(msg) from error
    arrays: dict[str, Array] = {}
    left_out: dict[str, FileFormatError] = {}
    for member, array in contents.items():
        name = member.removesuffix(".npy")
        if name == member and not array.startswith(_MAGIC):
            continue
        try:
            arrays[name] = read_array(array, f"{source}, array {shown(member)}")
        except _NoNumbersError as error:
            left_out[name.lower()] = error
    if left_out and (_POINTS in left_out or not arrays):
        raise left_out.get(_POINTS, next(iter(left_out.values())))
    return arrays


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """One array's file: never more bytes than it has announced, which are counted before."""
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        msg = "it is compressed in a way that NumPy does not write"
        raise ValueError(msg)
    with archive.open(member) as stream:
        # Without a number the whole of what is compressed would be unpacked first.
        return stream.read(member.file_size + 1)


def _why(error: Exception) -> str:
    return "".join(c for c in first_line(error)[:200] if c.isprintable())


def _too_much(source: Path, found: str) -> FileFormatError:
    msg = (
        f"scan {source} has {found}, expected at most {_MAX_ARRAYS} and {MAX_UNPACKED} bytes; is "
        "it one scan? Save each on its own."
    )
    return FileFormatError(msg)
