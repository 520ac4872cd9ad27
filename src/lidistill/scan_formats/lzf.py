"""LZF, the compression inside of PCD files."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly, compiling

_CUT_OFF: Final = -1
_BEFORE_START: Final = -2
_TOO_MUCH: Final = -3
_REASONS: Final = {
    _CUT_OFF: "its compressed data end in the middle of a step",
    _BEFORE_START: "its compressed data refer to what lies before their beginning",
}


def decompress_lzf(data: bytes | memoryview, num_bytes: int) -> bytes:
    """Undo LZF; stops as soon as there is more than was promised.

    A control byte below 32 starts a run of that many bytes plus one, taken as they are. Any other
    repeats what was written before: its upper three bits are a length (7: the next byte adds to
    it) and its lower five, with the byte after, a distance back.

    Args:
        data: What was compressed.
        num_bytes: Size of the result.

    Raises:
        ValueError: If it is damaged, or the result has another size.

    References:
        M. Lehmann, LibLZF, the description of its format.
    """
    packed, out = np.frombuffer(data, np.uint8), np.zeros(num_bytes, np.uint8)
    run = _unpack_compiled if compiling() else _unpack
    written = run(packed, out)
    if written != num_bytes:
        promised = f"its compressed data do not unpack to the {num_bytes} bytes they claim"
        raise ValueError(_REASONS.get(written, promised))
    return out.tobytes()


def _unpack(packed: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
    """Bytes written, or one of the negative reasons above."""
    position, written = 0, 0
    while position < len(packed):
        control = int(packed[position])
        position += 1
        literal = control < 32
        length = control + 1 if literal else (control >> 5) + 2
        if control >> 5 == 7 and position < len(packed):
            length += int(packed[position])
            position += 1
        if position + (length if literal else 1) > len(packed):
            return _CUT_OFF
        if written + length > len(out):
            return _TOO_MUCH
        if literal:
            out[written : written + length] = packed[position : position + length]
            position += length
        else:
            start = written - (((control & 31) << 8) + int(packed[position]) + 1)
            position += 1
            if start < 0:
                return _BEFORE_START
            for i in range(length):  # what is being written may be read again
                out[written + i] = out[start + i]
        written += length
    return written


_unpack_compiled: Final = compiled_exactly(_unpack)
