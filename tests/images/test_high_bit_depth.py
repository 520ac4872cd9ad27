"""Images of more than 8 bits: what is white in them, and what is refused."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from fakes.folder import SIZE_HW as CAMERA_HW
from fakes.folder import write_folder
from numpy.typing import NDArray
from PIL import Image

from lidistill.data_check.check import check_root
from lidistill.errors import FileFormatError
from lidistill.images import png
from lidistill.images.files import conversion_of, image_size, read_image

SIZE_HW = (20, 300)
RAMP = np.tile(np.linspace(0, 1, SIZE_HW[1]), (SIZE_HW[0], 1))
EXPECTED = np.rint(RAMP * 255)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_png(path: Path, values: NDArray[np.generic], kind: int, significant: bytes = b"") -> Path:
    """A PNG of 16 bits, with a chunk of significant bits where there are some."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", SIZE_HW[1], SIZE_HW[0], 16, kind, 0, 0, 0)
    said = chunk(b"sBIT", significant) if significant else b""
    end = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(png.START + chunk(b"IHDR", header) + said + end)
    return path


def assert_ramp(path: Path, tolerance: float = 1) -> None:
    image = read_image(path)
    assert image.shape == (*SIZE_HW, 3)
    assert image.dtype == np.uint8
    assert np.abs(image[..., 0] - EXPECTED).max() <= tolerance
    assert np.array_equal(image[..., 0], image[..., 2])


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_grey_of_any_depth_becomes_8_bits(tmp_path: Path, bits: int, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(np.rint(RAMP * (2**bits - 1)).astype(np.uint16)).save(path)
    assert_ramp(path)
    assert f"({bits} bits are filled)" in str(conversion_of(path))


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_floats_to_1_or_to_255_become_8_bits(tmp_path: Path, white: float) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray((RAMP * white).astype(np.float32)).save(path)
    assert_ramp(path)


@pytest.mark.parametrize(
    "change", [lambda x: x * 1000, lambda x: x - 0.5, lambda x: x / x.min()], ids="abc"
)
def test_other_floats_are_refused_with_the_remedy(tmp_path: Path, change) -> None:
    path = tmp_path / "a.tif"
    with np.errstate(divide="ignore", invalid="ignore"):
        Image.fromarray(change(RAMP).astype(np.float32)).save(path)
    with pytest.raises(FileFormatError, match=r"grey values.*convert the folder to 8 bits"):
        read_image(path)


def test_a_dark_image_is_scaled_like_the_others_of_its_folder(tmp_path: Path, caplog) -> None:
    for name, white in (("0", 4095), ("1", 200), ("2", 3000)):
        Image.fromarray((RAMP * white).astype(np.uint16)).save(tmp_path / f"{name}.png")
    assert read_image(tmp_path / "1.png").max() == round(200 / 4095 * 255)
    assert read_image(tmp_path / "2.png").max() == round(3000 / 4095 * 255)
    assert caplog.text.count("12 bits are filled") == 1


def test_two_depths_in_a_folder_are_refused(tmp_path: Path) -> None:
    for name, white in (("0", 65535), ("1", 4095)):
        values = np.minimum(RAMP * 1.2, 1) * white
        Image.fromarray(values.astype(np.uint16)).save(tmp_path / f"{name}.png")
    assert read_image(tmp_path / "0.png").max() == 255
    with pytest.raises(FileFormatError, match=r"end at 4095, those of others .* at 65535"):
        read_image(tmp_path / "1.png")


def test_floats_and_whole_numbers_of_a_folder_have_scales_of_their_own(tmp_path: Path) -> None:
    Image.fromarray(RAMP.astype(np.float32)).save(tmp_path / "0.tif")
    Image.fromarray(np.rint(RAMP * 65535).astype(np.uint16)).save(tmp_path / "1.tif")
    assert_ramp(tmp_path / "0.tif")
    assert_ramp(tmp_path / "1.tif")


@pytest.mark.parametrize("white", [4095, 65535])
def test_the_file_itself_says_how_many_bits_are_filled(tmp_path: Path, white: int) -> None:
    path = write_png(tmp_path / "a.png", np.rint(RAMP * white), 0, significant=b"\x0c")
    assert_ramp(path)
    dim = np.rint(RAMP * 900)
    assert read_image(write_png(tmp_path / "b" / "a.png", dim, 0, b"\x0c")).max() == 56


def test_colours_of_16_bits_stay_right_and_of_12_are_refused(tmp_path: Path) -> None:
    colours = np.stack([RAMP, RAMP[:, ::-1], np.full(SIZE_HW, 0.5)], axis=2).reshape(SIZE_HW[0], -1)
    image = read_image(write_png(tmp_path / "a.png", np.rint(colours * 65535), 2))
    assert np.abs(image[..., 0] - EXPECTED).max() <= 1
    assert np.abs(image[..., 1] - EXPECTED[:, ::-1]).max() <= 1
    with pytest.raises(FileFormatError, match="16-bit colours end below 1/16 of white"):
        read_image(write_png(tmp_path / "b.png", np.rint(colours * 4095), 2))


def test_images_of_8_bits_are_not_converted(tmp_path: Path) -> None:
    grey = Image.fromarray(EXPECTED.astype(np.uint8))
    for mode, name in (("L", "a.png"), ("RGB", "a.jpg"), ("RGBA", "b.png"), ("CMYK", "b.jpg")):
        grey.convert("RGB").convert(mode).save(tmp_path / name)
        assert conversion_of(tmp_path / name) is None
        assert np.abs(read_image(tmp_path / name)[..., 0] - EXPECTED).max() <= 3
        assert image_size(tmp_path / name) == SIZE_HW


def test_data_check_says_what_is_converted(tmp_path: Path) -> None:
    root = write_folder(tmp_path, drives=("",))
    for path in (root / "cameras" / "front").iterdir():
        ramp = np.linspace(0, 4095, CAMERA_HW[1])
        Image.fromarray(np.tile(ramp, (CAMERA_HW[0], 1)).astype(np.uint16)).save(path)
    (report,) = check_root(root).datasets
    (line,) = report.conversions
    assert line == (
        "front: grey images of more than 8 bits (12 bits are filled) are taken as 8 bits: value x "
        "255 / 4095"
    )
    assert not report.problems
