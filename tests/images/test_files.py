import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lidistill.datasets.sensors import SENSORS
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.images.files import image_size, read_image, resize, resize_float


def write(path: Path, size_hw: tuple[int, int] = (20, 30), mode: str = "RGB") -> Path:
    ramp = np.linspace(0, 255, size_hw[0] * size_hw[1]).astype(np.uint8).reshape(size_hw)
    Image.fromarray(ramp).convert(mode).save(path)
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.png", "a.bmp"])
def test_images_are_read_as_rgb(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name)
    image = read_image(path)
    assert image.shape == (20, 30, 3)
    assert image.dtype == np.uint8
    assert image[0, 0].max() < 12
    assert image[-1, -1].min() > 243
    assert image_size(path) == (20, 30)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_grey_images_become_rgb(name: str, tmp_path: Path) -> None:
    assert read_image(write(tmp_path / name, mode="L")).shape == (20, 30, 3)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_images_that_do_not_decode_are_named(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(FileFormatError, match=f"{path} does not decode"):
        read_image(path)
    path.write_bytes(b"text")
    for reader in (read_image, image_size):
        with pytest.raises(FileFormatError, match="does not decode"):
            reader(path)
        with pytest.raises(DatasetNotFoundError, match="does not exist"):
            reader(tmp_path / f"missing-{name}")


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size_hw", [(14, 28), (56, 112), (90, 31)])
def test_whole_number_resizing_stays_within_one_grey_level(
    size_hw: tuple[int, int],
    antialias: bool,
) -> None:
    images = torch.randint(
        256, (2, 3, 47, 61), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    before = images.clone()
    whole = resize(images, size_hw, antialias)
    exact = resize_float(images, size_hw, antialias) * 255
    assert whole.shape == (2, 3, *size_hw)
    assert whole.dtype == torch.uint8
    assert whole.is_contiguous()
    assert (whole - exact).abs().max() <= 1.0
    assert torch.equal(images, before)
    assert torch.equal(resize(images[1], size_hw, antialias), whole[1])


def test_antialias_averages_and_its_absence_reads_between_neighbours() -> None:
    stripes = torch.zeros(3, 1, 8, dtype=torch.uint8)
    stripes[..., ::4] = 200
    assert resize(stripes, (1, 2), antialias=False)[0, 0].tolist() == [0, 0]
    smooth = resize(stripes, (1, 2), antialias=True)[0, 0].tolist()
    assert all(20 < value < 70 for value in smooth)


def test_resizing_floats_is_refused() -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        resize(torch.zeros(3, 4, 4), (2, 2), antialias=True)


def test_every_sensor_has_usable_statistics() -> None:
    assert set(SENSORS) >= {"nuscenes", "semantic_kitti", "pandar64", "pandargt"}
    for name, sensor in SENSORS.items():
        assert sensor.name == name
        assert sensor.intensity_std > 0


def test_a_jpeg_without_the_mark_of_its_end_is_whole_and_a_cut_one_is_not(tmp_path):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, "JPEG", quality=90)
    whole = stream.getvalue()
    (tmp_path / "whole.jpg").write_bytes(whole)
    path = tmp_path / "x.jpg"
    path.write_bytes(whole[:-2])
    np.testing.assert_array_equal(read_image(path), read_image(tmp_path / "whole.jpg"))
    for end in (-3, -10, -1000):
        path.write_bytes(whole[:end])
        with pytest.raises(FileFormatError, match="copy or download it again"):
            read_image(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"GIF89a" + bytes(40), r"begins with b'GIF89a.*PPM\); convert it to one of them"),
        (b"<html>404</html>", r"begins with b'<html>404.*\); convert it to one"),
        (b"", r"\(it is empty\); copy or download it again"),
        (b"BM" + bytes(10), "copy or download it again"),
    ],
)
def test_what_no_camera_image_is_gets_advice_that_helps(tmp_path, content, said):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=said):
        read_image(path)
