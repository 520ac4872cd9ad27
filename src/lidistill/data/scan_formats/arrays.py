"""NumPy's own files, read without unpickling and without trusting what their headers claim.

Shape letters: N points, C columns.
"""

import io
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from lidistill.data.scan_formats.columns import MAX_UNPACKED, split_records
from lidistill.errors import FileFormatError
from lidistill.structures import Array

_PLAIN: Final = ("x", "y", "z", "intensity")
_MAX_ARRAYS: Final = 64
_HEADERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def parse_npy(content: bytes, source: Path) -> dict[str, Array]:
    """Columns of a structured (N,) array, or of a plain (N, 3) or (N, 4+) one.

    Plain columns are x, y, z, intensity; what follows has no name and is left out.

    Raises:
        FileFormatError: If the file is damaged, holds objects, or has another shape.
    """
    return _columns(read_array(content, str(source)), str(source))


def parse_npz(content: bytes, source: Path) -> dict[str, Array]:
    """Columns of an archive: arrays ``points`` (as ``.npy`` would hold them), or x, y and z.

    Further (N,) arrays become columns under their own names.

    Raises:
        FileFormatError: If the archive is damaged, or unpacks to more than ``MAX_UNPACKED`` bytes.
    """
    arrays = _unpack(content, source)
    columns: dict[str, Array] = {}
    if "points" in arrays:
        columns = _columns(arrays.pop("points"), f"{source}, array points")
    for name, array in arrays.items():
        if array.ndim == 1 and array.dtype.kind in "fiu":
            columns[name] = array
    return columns


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
        read_header = _HEADERS[np.lib.format.read_magic(stream)]
        shape, by_columns, dtype = read_header(stream)
    except (
        *(ValueError, KeyError, EOFError, TypeError),
        # NumPy parses a damaged header as Python.
        *(SyntaxError, tokenize.TokenError, RecursionError),
    ) as error:
        msg = f"{source} is no NumPy file of version 1 or 2, or damaged; save it again."
        raise FileFormatError(msg) from error
    found, expected = len(content) - stream.tell(), math.prod(shape) * dtype.itemsize
    if dtype.hasobject or found != expected or not expected:
        what = "objects" if dtype.hasobject else f"{found} bytes of values"
        msg = (
            f"{source} holds {what}, expected {expected} bytes of numbers for the shape {shape} it "
            "claims; it is empty, cut off or damaged. Save it again."
        )
        raise FileFormatError(msg)
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if by_columns else "C")


def _columns(array: Array, source: str) -> dict[str, Array]:
    if array.dtype.names and array.ndim == 1:
        return split_records(cast("NDArray[np.void]", array))
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] < 3:
        msg = (
            f"{source} is a {array.dtype.name} array of shape {array.shape}, expected (N, 3), "
            "(N, 4) with intensity, or structured (N,) with x, y and z; save it so."
        )
        raise FileFormatError(msg)
    native = array.astype(array.dtype.newbyteorder("="))
    return {name: native[:, i] for i, name in enumerate(_PLAIN[: array.shape[1]])}


def _unpack(content: bytes, source: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > MAX_UNPACKED or len(members) > _MAX_ARRAYS:
                msg = (
                    f"scan {source} has {len(members)} arrays of {size} bytes, expected at most "
                    f"{_MAX_ARRAYS} and {MAX_UNPACKED}; is it one scan? Save each on its own."
                )
                raise FileFormatError(msg)
            # A member never yields more bytes than it has announced, and they are counted above.
            contents = {member.filename: archive.read(member) for member in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        msg = f"scan {source} is no npz archive, or damaged ({error}); save it again."
        raise FileFormatError(msg) from error
    except (OSError, ValueError, IndexError, UnicodeError, OverflowError) as error:
        msg = f"scan {source} is a damaged npz archive ({error}); save it again."
        raise FileFormatError(msg) from error
    return {
        name.removesuffix(".npy"): read_array(array, f"{source}, array {name}")
        for name, array in contents.items()
    }
