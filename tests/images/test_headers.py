"""Images that claim more than a camera draws: one line, at once, wherever they are opened."""

import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lidistill.errors import FileFormatError
from lidistill.images import png
from lidistill.images.files import image_size, read_image


def chunk(name: bytes, data: bytes, checksum: int | None = None) -> bytes:
    value = zlib.crc32(name + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", value)


def header(width: int, height: int) -> bytes:
    return png.START + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def saved(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def tiff(entries: list[tuple[int, int, int, int]]) -> bytes:
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)


PIXELS = zlib.compress(bytes(121 * 30))
SMALL = header(40, 30) + chunk(b"IDAT", PIXELS)
MANY = 1_000_000
CLAIMS: dict[str, Callable[[], bytes]] = {
    "narrow": lambda: header(1, 33_000_000) + chunk(b"IDAT", b"") + chunk(b"IEND", b""),
    "flat": lambda: header(33_000_000, 1) + chunk(b"IDAT", b"") + chunk(b"IEND", b""),
    "square": lambda: header(60_000, 60_000) + chunk(b"IDAT", b""),
    "webp": lambda: b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xff\xff\x3f" * 2,
    "tiff": lambda: tiff([(256, 4, 1, 10**9), (257, 4, 1, 10**9), (322, 4, 1, 10**6)] * 2),
    "tiff tile": lambda: tiff([(322, 4, 1, 40_000), (323, 4, 1, 40_000)]),
    "tiff values": lambda: tiff([(700 + i, 7, 2000, 8) for i in range(400)]) + bytes(10**4),
    "tiff folder": lambda: b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(65535 * 12),
    "tiff outside": lambda: tiff([(34665, 4, 1, 10**8)]),
    "bmp": lambda: (
        b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 10**6, 10**6, 1, 24, 0) + bytes(24)
    ),
    "ppm": lambda: b"P6 100000 100000 255\n",
    "ppm comment": lambda: b"P6\n#" + b"x" * 10**7,
    "ppm words": lambda: b"P3 3000 3000 255\n" + b"1 " * (1 << 25),
}
DAMAGED: dict[str, Callable[[], bytes]] = {
    "last chunk cut": lambda: SMALL + chunk(b"IEND", b"")[:-2],
    "last chunk missing": lambda: SMALL,
    "last checksum": lambda: SMALL + chunk(b"IEND", b"", checksum=1),
    "text checksum": lambda: SMALL + chunk(b"tEXt", b"a", checksum=1) + chunk(b"IEND", b""),
    "many empty chunks": lambda: SMALL + chunk(b"IDAT", b"") * MANY + chunk(b"IEND", b""),
    "many texts": lambda: header(40, 30) + chunk(b"tEXt", b"") * MANY + SMALL[33:],
}


def refused(path: Path, read: Callable[[Path], object]) -> None:
    start = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match="does not decode") as error:
            read(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 10
    assert most < 300 << 20
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300 + len(str(path))


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("read", [read_image, image_size])
def test_claims_beyond_a_camera_are_refused_at_once(
    name: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "a.img"
    path.write_bytes(CLAIMS[name]())
    refused(path, read)


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.usefixtures("both_forms")
def test_damaged_png_is_refused_and_its_size_is_not_read_for_long(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(DAMAGED[name]())
    refused(path, read_image)
    start = time.process_time()
    assert image_size(path) == (30, 40)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM"])
def test_images_of_every_format_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.img"
    path.write_bytes(saved(kind))
    assert read_image(path).shape == (30, 40, 3)
    assert image_size(path) == (30, 40)


def test_a_png_keeps_its_meaning_without_what_describes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(header(40, 30) + chunk(b"tEXt", b"a\0b") + SMALL[33:] + chunk(b"IEND", b""))
    assert not read_image(path).any()
    path.write_bytes(path.read_bytes() + b"behind the end")
    assert not read_image(path).any()


def test_a_jpeg_whose_header_comes_late_has_a_size(tmp_path: Path) -> None:
    path, content = tmp_path / "a.jpg", saved("JPEG")
    profile = b"\xff\xe2" + struct.pack(">H", 65535) + bytes(65533)
    path.write_bytes(content[:2] + profile * 3 + content[2:])
    assert image_size(path) == (30, 40)
    assert read_image(path).shape == (30, 40, 3)
