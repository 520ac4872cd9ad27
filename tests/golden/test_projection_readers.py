"""The reference's projections, once more through files on disk and the readers.

For nuScenes see the README beside the vectors: float32 between the transforms costs 0.1 px.
"""

import numpy as np
import pytest
from fakes.nuscenes import FakeNuScenes
from fakes.semantic_kitti import write_frame
from golden_cases import golden_files, read_tensors

from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.projection import project

ROUNDING_PX = 0.15


def seen_by(frame, view):
    return project(
        frame.points,
        K=view.K,
        T_cam_lidar=view.T_cam_lidar,
        size_hw=view.size_hw,
        near_depth=view.near_depth,
        near_x=view.near_x,
        border_px=view.border_px,
    )


def nuscenes_frame(root, points, meta):
    records = {"LIDAR_TOP": meta["keyframe"]["point"]}
    records |= {name: meta["keyframe"][name] for name in meta["cameras"]}
    fake = FakeNuScenes(root, size_hw=tuple(meta["image_hw"]))
    fake.add_scene(
        "scene-0061",
        1,
        scan=np.column_stack([points, np.zeros(len(points), np.float32)]),
        rig={
            name: {"camera_intrinsic": []} | record["cs_record"] for name, record in records.items()
        },
        ego={name: record["poserecord"] for name, record in records.items()},
    )
    fake.write_tables()
    cameras = tuple(meta["cameras"])
    config = NuScenesConfig(root=root, version="v1.0-mini", split="all", cameras=cameras)
    return config.build()[0]


@pytest.mark.parametrize("file", golden_files("projection/nuscenes*.safetensors"))
def test_nuscenes_points_are_seen_where_the_reference_sees_them(file, tmp_path):
    tensors, meta = read_tensors(file)
    frame = nuscenes_frame(tmp_path, tensors["points"].numpy(), meta)
    assert len(frame.views) == len(meta["cameras"])
    for view in frame.views:
        found = seen_by(frame, view)
        expected = tensors[f"{view.name}.kept_index"].numpy()
        uv = tensors[f"{view.name}.projected_xy_f64"].numpy()
        both, ours, theirs = np.intersect1d(found.index, expected, return_indices=True)
        assert np.abs(found.uv[ours] - uv[theirs]).max() < ROUNDING_PX
        assert len(both) > 0.99 * max(len(expected), len(found.index))
        single = np.concatenate(
            [found.uv[~np.isin(found.index, both)], uv[~np.isin(expected, both)]]
        )
        limit = np.array(view.size_hw[::-1]) - view.border_px
        assert (np.minimum(np.abs(single), np.abs(limit - single)).min(axis=1) < ROUNDING_PX).all()


@pytest.mark.parametrize("file", golden_files("projection/semantic_kitti*.safetensors"))
def test_semantic_kitti_points_are_seen_where_the_reference_sees_them(file, tmp_path):
    tensors, meta = read_tensors(file)
    folder = tmp_path / "sequences" / "00"
    image = np.zeros((*meta["image_hw"], 3), dtype=np.uint8)
    write_frame(folder, 0, scan=tensors["points"].numpy(), image=image)
    (folder / "calib.txt").write_text(meta["calib_txt"], encoding="utf-8")
    frame = SemanticKittiConfig(root=tmp_path, split="train", missing="skip").build()[0]
    found = seen_by(frame, frame.views[0])
    np.testing.assert_array_equal(found.index, tensors["kept_index"])
    rows_columns = found.uv[:, ::-1]
    np.testing.assert_allclose(rows_columns, tensors["projected_row_col_f64"], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(np.floor(rows_columns), tensors["pixels_row_col"])
