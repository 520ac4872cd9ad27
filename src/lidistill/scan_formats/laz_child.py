"""Unpacks the points of a LAZ file to standard output; run by ``run_in_child`` alone.

Its library ends the process on some damaged files.
"""

import importlib
import sys
from pathlib import Path


def unpack(
    path: Path, start: int, num_points: int, point_size: int, description: bytes
) -> bytearray:
    """Records of all points, one behind the other, as the same file without compression has them.

    Args:
        path: The file.
        start: Byte where its points begin.
        num_points: How many there are.
        point_size: Bytes of each, unpacked.
        description: What the file says of its compression.
    """
    lazrs = importlib.import_module("lazrs")
    if lazrs.LazVlr(description).item_size() != point_size:
        sys.exit("its points and its compression differ in their layout")
    records = bytearray(num_points * point_size)
    with path.open("rb") as file:
        file.seek(start)
        # With its pool of threads several processes would take each other's cores.
        lazrs.LasZipDecompressor(file, description).decompress_many(records)
    return records


if __name__ == "__main__":
    _, path, *numbers, description = sys.argv
    start, num_points, point_size = map(int, numbers)
    found = unpack(Path(path), start, num_points, point_size, bytes.fromhex(description))
    sys.stdout.buffer.write(found)
