import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from golden_cases import DATA, needs_data
from PIL import Image

from lidistill.errors import FileFormatError
from lidistill.images import png
from lidistill.images.files import read_image

MANY = 1 << 25


def image(height: int = 23, width: int = 31) -> np.ndarray:
    rng = np.random.default_rng(height * width)
    ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] * [3, 5, 7]
    return ((ramp + rng.integers(0, 40, (height, width, 3))) % 256).astype(np.uint8)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def encoded(filtered: bytes, height: int, width: int, kind: tuple[int, ...] = (8, 2, 0, 0, 0)):
    packed = zlib.compress(filtered)
    half = len(packed) // 2
    return b"".join(
        [
            png.START,
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *kind)),
            chunk(b"IDAT", packed[:half]),
            chunk(b"IDAT", packed[half:]),
            chunk(b"IEND", b""),
        ]
    )


def by_pillow(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert("RGB"))


def anything(height: int, width: int, filters: list[int]) -> bytes:
    """Rows of any bytes under the given filters: whatever they are, they stand for an image."""
    rng = np.random.default_rng(len(filters))
    rows = rng.integers(0, 256, (height, 1 + 3 * width)).astype(np.uint8)
    rows[:, 0] = np.resize(filters, height)
    return encoded(rows.tobytes(), height, width)


@pytest.mark.parametrize("filters", [[0], [1], [2], [3], [4], [4, 3, 2, 1, 0, 4, 4, 1, 3, 3]])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 9), (9, 1), (40, 33)])
def test_every_filter_is_undone(filters: list[int], size_hw: tuple[int, int]) -> None:
    content = anything(*size_hw, filters)
    found = png.decode_rgb(content, MANY)
    assert found is not None
    assert found.flags.c_contiguous
    assert np.array_equal(found, by_pillow(content))


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_what_pillow_writes_is_read(level: int) -> None:
    file = io.BytesIO()
    Image.fromarray(image()).save(file, "PNG", compress_level=level)
    found = png.decode_rgb(file.getvalue(), MANY)
    assert found is not None
    assert np.array_equal(found, image())


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "I;16"])
def test_other_kinds_are_left_to_pillow(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    whole = Image.fromarray(image())
    (whole.convert("L").convert(mode) if mode == "I;16" else whole.convert(mode)).save(path)
    assert png.decode_rgb(path.read_bytes(), MANY) is None
    assert np.array_equal(read_image(path), by_pillow(path.read_bytes()))


def test_interlaced_and_huge_images_are_left_to_pillow() -> None:
    assert png.decode_rgb(encoded(bytes(4), 1, 1, (8, 2, 0, 0, 1)), MANY) is None
    content = anything(20, 20, [1])
    assert png.decode_rgb(content, 399) is None
    assert png.decode_rgb(content, 400) is not None


def test_a_chunk_that_says_more_of_the_colours_is_left_to_pillow() -> None:
    content = anything(6, 6, [1])
    end = 8 + 25  # the signature and the header
    clear = chunk(b"tRNS", bytes(6))
    assert png.decode_rgb(content[:end] + clear + content[end:], MANY) is None


@pytest.mark.parametrize("filtered", [bytes(6), bytes(9), b"\5" + bytes(6)])
def test_too_few_bytes_too_many_and_an_unknown_filter_are_left_to_pillow(filtered: bytes) -> None:
    assert png.decode_rgb(encoded(filtered, 1, 2), MANY) is None


def damaged(content: bytes, rng: random.Random) -> bytes:
    broken = bytearray(content)
    kind = rng.randrange(4)
    at = rng.randrange(8, len(broken))
    if kind == 0:
        broken[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del broken[at:]
    elif kind == 2:
        del broken[at : at + rng.randrange(1, 30)]
    else:
        broken[at:at] = rng.randbytes(rng.randrange(1, 30))
    return bytes(broken)


@pytest.mark.parametrize("seed", range(10))
def test_a_damaged_file_is_never_decoded_to_something_else(seed: int, tmp_path: Path) -> None:
    rng, path = random.Random(seed), tmp_path / "a.png"
    content = anything(20, 30, [1, 4, 2])
    whole = by_pillow(content)
    for _ in range(60):
        broken = damaged(content, rng)
        path.write_bytes(broken)
        found = png.decode_rgb(broken, MANY)
        assert found is None or np.array_equal(found, whole)
        try:
            assert np.array_equal(read_image(path), whole)
        except FileFormatError as error:
            assert "does not decode" in str(error)  # noqa: PT017


def test_wrong_checksums_inside_and_outside_of_the_data_are_refused(tmp_path: Path) -> None:
    packed = bytearray(zlib.compress(bytes(7)))
    packed[-1] ^= 1
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0))
    content = png.START + header + chunk(b"IDAT", bytes(packed)) + chunk(b"IEND", b"")
    assert png.decode_rgb(content, MANY) is None
    path = tmp_path / "a.png"
    whole = bytearray(anything(5, 5, [1]))
    whole[60] ^= 1
    path.write_bytes(whole)
    with pytest.raises(FileFormatError, match="does not decode"):
        read_image(path)


@needs_data
def test_every_real_png_is_decoded_byte_for_byte() -> None:
    paths = sorted(DATA.rglob("*.png"))
    assert paths
    for path in paths:
        content = path.read_bytes()
        found = png.decode_rgb(content, MANY)
        assert found is not None
        assert np.array_equal(found, by_pillow(content))
