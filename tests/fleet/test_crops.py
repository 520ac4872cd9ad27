import numpy as np
import pytest
from PIL import Image

from lidistill.errors import DatasetNotFoundError
from lidistill.fleet.crops import Crop, best_crop, cut
from lidistill.records import CameraView

FORWARD = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], np.float64)
BACKWARD = FORWARD @ np.diag([-1.0, -1, 1, 1])


def view(folder, name, T_cam_lidar, size_hw=(100, 200)):
    path = folder / f"{name}.png"
    image = np.zeros((*size_hw, 3), np.uint8)
    image[40:60, 90:110] = (200, 30, 40)
    Image.fromarray(image).save(path)
    K = np.array([[100.0, 0, 100], [0, 100, 50], [0, 0, 1]])
    return CameraView(name=name, image_path=path, size_hw=size_hw, K=K, T_cam_lidar=T_cam_lidar)


def box(x, half=1.0):
    """Points of a cube; 10 m ahead it is 20 pixels wide."""
    corners = np.array([[i, j, k] for i in (0, 0.0) for j in (-half, half) for k in (-half, half)])
    return corners + np.array([x, 0, 0])


def test_the_image_is_cut_around_the_points_where_they_are_seen(tmp_path):
    views = [view(tmp_path, "back", BACKWARD), view(tmp_path, "front", FORWARD)]
    crop = best_crop(box(10), views)
    assert crop == Crop(
        image=str(tmp_path / "front.png"), view="front", left=82, top=32, right=118, bottom=68
    )  # columns 90 to 110, rows 40 to 60, and 8 pixels around them
    part = cut(crop, 36)
    assert part.shape == (36, 36, 3)
    assert tuple(part[18, 18]) == (200, 30, 40)
    assert tuple(part[1, 1]) == (0, 0, 0)


def test_a_part_at_the_border_ends_there(tmp_path):
    crop = best_crop(box(10, half=4.9), [view(tmp_path, "front", FORWARD)])
    assert (crop.top, crop.bottom) == (0, 100)


def test_what_no_image_shows_has_no_part(tmp_path):
    assert best_crop(box(10), [view(tmp_path, "back", BACKWARD)]) is None
    assert best_crop(box(10), []) is None


def test_an_image_that_is_gone_is_named(tmp_path):
    crop = best_crop(box(10), [view(tmp_path, "front", FORWARD)])
    (tmp_path / "front.png").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"front\.png"):
        cut(crop, 36)
