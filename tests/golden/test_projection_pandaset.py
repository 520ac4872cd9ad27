"""PandaSet's projection, through a drive on disk written with the reference's calibration."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.pandaset import Camera, Drive, write_drive
from golden_cases import golden_files, read_tensors

from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.datasets.pandaset.vehicle_scan import DEVICE
from lidistill.geometry import invert_rigid, transform_points
from lidistill.projection import project


@pytest.mark.parametrize("file", golden_files("projection/*pandar*.safetensors"))
def test_every_camera_sees_the_points_and_pixels_of_the_reference(
    file: Path, tmp_path: Path
) -> None:
    tensors, header = read_tensors(file)
    meta: dict[str, Any] = dict(header)
    world = tensors["points_world_f64"].numpy()
    sensor = next(name for name, device in DEVICE.items() if device == meta["sensor"])
    image = np.zeros((*meta["image_hw"], 3), dtype=np.uint8)
    cameras = {
        name: Camera(intrinsics=camera["intrinsics"], pose=camera["pose"], image=image)
        for name, camera in meta["cameras"].items()
    }
    drive = Drive(
        frames=(0,),
        num_poses=1,
        points=world[:, :3],
        intensity=world[:, 3],
        device=np.full(len(world), meta["sensor"]),
        pose=meta["lidar_pose"],
        cameras=cameras,
    )
    write_drive(tmp_path, "001", drive)
    config = PandaSetConfig(root=tmp_path, sensor=sensor, cameras=tuple(meta["camera_list"]))
    frame = config.build()[0]
    exact = transform_points(invert_rigid(frame.T_world_lidar), world[:, :3])
    checked = 0
    for view in frame.views:
        if f"{view.name}.kept_index" not in tensors:
            continue
        golden = {
            key.removeprefix(f"{view.name}."): tensor.numpy()
            for key, tensor in tensors.items()
            if key.startswith(f"{view.name}.")
        }
        kept = golden["kept_index"]
        camera = {"K": view.K, "T_cam_lidar": view.T_cam_lidar, "size_hw": view.size_hw}
        seen = project(exact, **camera)
        np.testing.assert_array_equal(seen.index, kept)
        np.testing.assert_array_equal(np.floor(seen.uv)[:, ::-1], golden["pixels_row_col"])
        np.testing.assert_allclose(seen.uv, golden["projected_xy_f64"], atol=1e-6)
        if "points_ego_f64" in golden:
            np.testing.assert_allclose(exact[kept], golden["points_ego_f64"][:, :3], atol=1e-9)
            stored = np.column_stack([frame.points, frame.intensity])[kept]
            np.testing.assert_allclose(stored, golden["points_ego_f64"], rtol=1e-6, atol=1e-6)
        # A frame holds float32: a point may change sides of a border, and no more than that.
        rounded = project(frame.points, **camera)
        assert len(np.setxor1d(rounded.index, kept)) <= 0.001 * len(kept) + 1
        _, here, there = np.intersect1d(rounded.index, kept, return_indices=True)
        assert np.abs(rounded.uv[here] - seen.uv[there]).max() < 0.02
        checked += 1
    assert checked > 0
