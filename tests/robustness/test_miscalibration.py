from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.street_scan import street_frame
from pydantic import ValidationError

from lidistill.errors import ConfigError
from lidistill.geometry import rigid, transform_points
from lidistill.labels import load_label_map
from lidistill.records import CameraView
from lidistill.robustness.miscalibration import Miscalibrated, Miscalibration

SPEED, RATE = 10.0, 2.0  # metres a second, frames a second


class Drive:
    """Three frames of a vehicle that drives straight along x and looks ahead, then one more."""

    label_map = load_label_map("nuscenes")
    frame_ids = ("a/0", "a/1", "a/2", "b/0")
    drive_ids = ("a", "a", "a", "b")

    def __init__(self, *, posed=True):
        self._posed = posed

    def __len__(self):
        return 4

    def __getitem__(self, index):
        R = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
        view = CameraView(
            name="front",
            image_path=Path("front.jpg"),
            size_hw=(100, 100),
            K=np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]]),
            T_cam_lidar=rigid(R, [0.0, 0.5, 0.1]),
        )
        pose = rigid(np.eye(3), [index * SPEED / RATE, 0.0, 0.0])
        frame = street_frame(frame_id=self.frame_ids[index], columns=4, lost=0)
        return replace(
            frame,
            views=(view, replace(view, name="left")),
            T_world_lidar=pose if self._posed else None,
        )


def error(errors, index=0, view=0, **options):
    """(4, 4) from where points of the camera are to where the wrong calibration has them."""
    clean = Drive(**options)[index].views[view].T_cam_lidar
    return Miscalibrated(Drive(**options), errors)[index].views[view].T_cam_lidar @ np.linalg.inv(
        clean
    )


def test_cameras_are_turned_and_displaced_as_far_as_said():
    found = error(Miscalibration(angle_deg=2, offset_m=0.1))
    angle = np.rad2deg(np.arccos((np.trace(found[:3, :3]) - 1) / 2))
    assert angle == pytest.approx(2)
    assert np.linalg.norm(found[:3, 3]) == pytest.approx(0.1)


def test_the_error_is_the_same_in_every_frame_and_another_of_every_camera_and_seed():
    errors = Miscalibration(angle_deg=1)
    np.testing.assert_allclose(error(errors, 0), error(errors, 3))
    assert not np.allclose(error(errors, 0, 0), error(errors, 0, 1))
    assert not np.allclose(error(errors), error(Miscalibration(angle_deg=1, seed=1)))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_late_camera_sees_what_stands_still_nearer(index):
    errors = Miscalibration(camera_delay_s=0.1, frame_rate=RATE)
    late = Miscalibrated(Drive(), errors)[index].views[0].T_cam_lidar
    clean = Drive()[index].views[0].T_cam_lidar
    ahead = np.array([[20.0, 0, 0]])
    moved = transform_points(late, ahead) - transform_points(clean, ahead)
    np.testing.assert_allclose(moved, [[0, 0, -SPEED * 0.1]], atol=1e-9)


def test_what_a_delay_needs_is_said():
    with pytest.raises(ValidationError, match="frame_rate"):
        Miscalibration(camera_delay_s=0.1)
    errors = Miscalibration(camera_delay_s=0.1, frame_rate=RATE)
    with pytest.raises(ConfigError, match="alone in its drive"):
        Miscalibrated(Drive(), errors)[3]
    with pytest.raises(ConfigError, match="no pose"):
        Miscalibrated(Drive(posed=False), errors)[0]
