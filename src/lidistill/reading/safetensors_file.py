"""Files of safetensors: the table at their head is bounded before anything is made of it."""

import struct
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lidistill.errors import FileFormatError, first_line
from lidistill.reading.files import open_file

_MAX_TABLE: Final = 1 << 22
"""Bytes of names and shapes; a network of 48 layers takes 0.1 MB."""


def read_safetensors(path: Path, *, max_bytes: int) -> dict[str, Tensor]:
    """Tensors by their names; their values lie in the file until they are used.

    Raises:
        ValueError: If it is damaged, too large, or no such file.
        LidistillError: If it is not there.
    """
    try:
        with open_file(path, max_bytes=max_bytes) as file:
            start = file.read(8)
        (table,) = struct.unpack("<Q", start) if len(start) == 8 else (0,)
        if not 2 <= table <= _MAX_TABLE:
            msg = f"{path.name} has a table of {table} bytes, expected 2 to {_MAX_TABLE}"
            raise ValueError(msg)
        return load_file(path)
    except FileFormatError as error:
        raise ValueError(first_line(error)) from error
    except (SafetensorError, OSError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        msg = f"{path.name}: {first_line(error)[:200]}"
        raise ValueError(msg) from error
