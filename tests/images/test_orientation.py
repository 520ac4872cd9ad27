"""What EXIF says about turning an image is said and not done, in every format alike."""

import io

import numpy as np
import pytest
from PIL import Image

from lidistill.errors import FileFormatError
from lidistill.images.files import conversion_of, image_size, read_image
from lidistill.images.orientation import as_stored, orientation

PIXELS = np.arange(6 * 9 * 3, dtype=np.uint8).reshape(6, 9, 3)
KINDS = {
    "x.jpg": {"format": "JPEG", "quality": 100, "subsampling": 0},
    "x.png": {"format": "PNG"},
    "x.webp": {"format": "WEBP", "lossless": True},
    "x.tif": {"format": "TIFF"},
    "packed.tif": {"format": "TIFF", "compression": "tiff_lzw"},
}


def content(name, value):
    stream = io.BytesIO()
    exif = Image.Exif()
    if value is not None:
        exif[274] = value
    Image.fromarray(PIXELS).save(stream, exif=exif, **KINDS[name])
    return stream.getvalue()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("value", [2, 3, 4, 5, 6, 7, 8])
def test_pixels_are_taken_as_stored_and_that_is_said(tmp_path, name, value):
    path = tmp_path / name
    path.write_bytes(content(name, value))
    assert orientation(path.read_bytes()) == value
    assert image_size(path) == (6, 9)
    np.testing.assert_allclose(read_image(path), PIXELS, atol=6)
    assert f"(orientation {value}): size_hw, K and T_cam_lidar must be" in conversion_of(path)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "packed.tif"])
@pytest.mark.parametrize("value", [None, 1, 0, 9])
def test_upright_images_and_senseless_values_say_nothing(tmp_path, name, value):
    path = tmp_path / name
    path.write_bytes(content(name, value))
    assert orientation(path.read_bytes()) == 1
    assert as_stored(path.read_bytes()) == path.read_bytes()
    assert conversion_of(path) is None


def test_a_calibration_of_the_turned_image_is_told(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(content("x.jpg", 6))
    with pytest.raises(FileFormatError, match=r"has 9 x 6 pixels, expected 6 x 9 .*orientation 6"):
        read_image(path, (9, 6))


@pytest.mark.parametrize("name", KINDS)
def test_damaged_values_turn_nothing_and_end(name):
    whole = content(name, 6)
    for end in range(len(whole)):
        assert orientation(whole[:end]) in {1, 6}
    for start in (b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"II*\0", b"MM\0*"):
        for fill in (b"\0", b"\xff", b"\xff\xe1\0\0"):
            assert orientation(start + fill * 200_000) == 1
