import json

import numpy as np
import pytest
from pydantic import ValidationError

from lidistill.datasets import DATASETS
from lidistill.geometry import transform_points
from lidistill.sim import SimulationConfig, simulate
from lidistill.sim.rigs import RIGS

SMALL = {"train_drives": 0, "val_drives": 1, "frames": 1, "column_step": 16}


def ego(rig, number=0):
    return rig.T_ego_body @ rig.lidars[number].T_body_lidar


@pytest.mark.parametrize("name", RIGS)
def test_lidars_move_along_the_vehicles_axes_and_cameras_stay(name):
    before = RIGS[name]
    after = before.with_lidars_moved((0.1, -0.2, 0.5), (0, 0, 0))
    np.testing.assert_allclose(ego(after)[:3, 3] - ego(before)[:3, 3], [0.1, -0.2, 0.5])
    np.testing.assert_allclose(ego(after)[:3, :3], ego(before)[:3, :3])
    assert after.cameras is before.cameras
    assert before.with_lidars_moved((0, 0, 0), (0, 0, 0)) is before


def test_lidars_turn_about_the_vehicles_axes():
    before = RIGS["nuscenes"]
    for turn, seen, moved in (
        ((0, 0, 90), [1, 0, 0], [0, 1, 0]),  # yaw: what it has ahead is now to the left
        ((0, 90, 0), [1, 0, 0], [0, 0, -1]),  # pitch: ahead goes down
        ((90, 0, 0), [0, 1, 0], [0, 0, 1]),  # roll: left goes up
    ):
        after = before.with_lidars_moved((0, 0, 0), turn)
        direction = ego(before)[:3, :3].T @ seen
        np.testing.assert_allclose(ego(after)[:3, :3] @ direction, moved, atol=1e-9)
        np.testing.assert_allclose(ego(after)[:3, 3], ego(before)[:3, 3])


@pytest.mark.parametrize("name", ["semantic_kitti", "nuscenes"])
def test_a_higher_lidar_sees_the_same_road_lower(name, tmp_path):
    heights, frames = [], []
    for up in (0.0, 0.5):
        root = tmp_path / str(up)
        offset = {"lidar_offset_m": (0, 0, up)}
        simulate(root, SimulationConfig.model_validate({"format": name, **SMALL, **offset}))
        options = {"split": "val", "missing": "skip"}
        dataset = DATASETS[name](root=root, **options).build()
        frame = dataset[0]
        road = dataset.label_map.class_names.index(
            {"nuscenes": "driveable_surface"}.get(name, "road")
        )
        near = (np.linalg.norm(frame.points, axis=1) < 15) & (frame.labels == road)
        heights.append(np.median(frame.points[near, 2]))
        frames.append(frame)
    assert heights[0] - heights[1] == pytest.approx(0.5, abs=0.03)
    # Its calibration says so: the cameras see the road where they saw it.
    clean, raised = frames
    before, after = clean.views[0].T_cam_lidar, raised.views[0].T_cam_lidar
    point = np.array([[0.0, 0.0, -2.0]])
    np.testing.assert_allclose(
        transform_points(after, point - [0, 0, 0.5]), transform_points(before, point), atol=0.03
    )


def test_the_record_of_a_plain_simulation_is_as_it_was(tmp_path):
    assert "lidar_offset_m" not in SimulationConfig().recorded()
    moved = SimulationConfig(lidar_turn_deg=(0, 5, 0)).recorded()
    assert json.loads(json.dumps(moved))["lidar_turn_deg"] == [0, 5, 0]


def test_a_mounting_beside_the_vehicle_is_refused():
    with pytest.raises(ValidationError, match="at most 1 m"):
        SimulationConfig(lidar_offset_m=(0, 0, 3))
