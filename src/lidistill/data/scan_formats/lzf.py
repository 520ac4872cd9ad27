"""LZF, the compression inside of PCD files."""


def decompress_lzf(data: bytes, num_bytes: int) -> bytes:
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
    out = bytearray()
    position = 0
    try:
        while position < len(data) and len(out) <= num_bytes:
            control = data[position]
            position += 1
            if control < 32:
                out += data[position : position + control + 1]
                position += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += data[position]
                position += 1
            distance = ((control & 31) << 8) + data[position] + 1
            position += 1
            _repeat(out, distance, length + 2)
    except IndexError as error:
        msg = "its compressed data end in the middle of a step"
        raise ValueError(msg) from error
    if len(out) != num_bytes or position != len(data):
        msg = f"its compressed data do not unpack to the {num_bytes} bytes they claim"
        raise ValueError(msg)
    return bytes(out)


def _repeat(out: bytearray, distance: int, length: int) -> None:
    start = len(out) - distance
    if start < 0:
        msg = "its compressed data refer to what lies before their beginning"
        raise ValueError(msg)
    piece = out[start : start + length]
    # Fewer bytes back than are wanted: what is being written is read again.
    out += (piece * (-(-length // len(piece))))[:length]
