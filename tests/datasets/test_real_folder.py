"""Real KITTI frames, rewritten as a user would write their own recordings."""

import shutil

import numpy as np
import pytest
from fakes.batches import waffle
from fakes.folder import write_times, write_yaml
from fakes.scan_writers import WRITERS
from golden_cases import DATA, needs_data

from lidistill.datasets.own.dataset import FolderConfig
from lidistill.images.files import image_size
from lidistill.records import CameraView
from lidistill.samples.distillation import SamplingConfig, distillation_sample, sample_rng
from lidistill.samples.pairing import pair_view

pytestmark = needs_data
DAY = DATA / "kitti_raw" / "2011_09_26"


def lines_of(path):
    lines = path.read_text().splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


def numbers(words, *shape):
    return np.array(words, dtype=np.float64).reshape(shape)


def direct_chain():
    """K and T_cam_lidar of image_02, from the calibration files of the recording day."""
    lidar = lines_of(DAY / "calib_velo_to_cam.txt")
    cameras = lines_of(DAY / "calib_cam_to_cam.txt")
    T_grey_lidar, turn = np.eye(4), np.eye(4)
    T_grey_lidar[:3] = np.column_stack([numbers(lidar["R"], 3, 3), numbers(lidar["T"], 3)])
    turn[:3, :3] = numbers(cameras["R_rect_00"], 3, 3)
    P = numbers(cameras["P_rect_02"], 3, 4)
    shift = np.eye(4)
    shift[:3, 3] = np.linalg.solve(P[:, :3], P[:, 3])
    return P[:, :3], shift @ turn @ T_grey_lidar


def as_table(path):
    columns = [(name, "<f4") for name in ("x", "y", "z", "intensity", "ring", "time")]
    scan = np.fromfile(path, dtype="<f4").reshape(-1, 4)
    table = np.zeros(len(scan), dtype=columns)
    for name, values in zip(("x", "y", "z", "intensity"), scan.T, strict=True):
        table[name] = values
    return table


@pytest.mark.parametrize("writer", [".bin", "_binary.pcd", "_big.ply", ".npz"])
def test_real_frames_in_a_folder_of_ones_own_give_the_pairs_of_the_direct_chain(tmp_path, writer):
    (drive,) = DAY.glob("*_sync")
    images = sorted((drive / "image_02" / "data").glob("*.png"))
    K, T_cam_lidar = direct_chain()
    size_hw = image_size(images[0])
    front = {"size_hw": list(size_hw), "K": K.tolist(), "T_cam_lidar": T_cam_lidar[:3].tolist()}
    (tmp_path / "scans").mkdir()
    (tmp_path / "cameras" / "front").mkdir(parents=True)
    write_yaml(tmp_path / "calibration.yaml", {"match": "time", "cameras": {"front": front}})
    names = [path.stem for path in images]
    suffix = writer[writer.index(".") :]
    for path in images:
        shutil.copy(path, tmp_path / "cameras" / "front")
        table = as_table(drive / "velodyne_points" / "data" / f"{path.stem}.bin")
        (tmp_path / "scans" / f"{path.stem}{suffix}").write_bytes(WRITERS[writer](table))
    seconds = {name: f"{int(name) / 10:.1f}" for name in names}
    for folder in ("scans", "cameras/front"):
        write_times(tmp_path / folder, seconds)

    dataset = FolderConfig(root=tmp_path, sensor="semantic_kitti", images="required").build()
    assert dataset.frame_ids == tuple(names)
    for frame, path in zip(dataset, images, strict=True):
        direct = CameraView(
            name="direct",
            image_path=path,
            size_hw=size_hw,
            K=K,
            T_cam_lidar=T_cam_lidar,
            near_depth=0.1,
        )
        expected = pair_view(frame.points, direct, (224, 448))
        pairs = pair_view(frame.points, frame.views[0], (224, 448))
        np.testing.assert_array_equal(pairs.index, expected.index)
        np.testing.assert_array_equal(pairs.uv, expected.uv)
        assert 0.1 < len(pairs.index) / len(frame.points) < 0.25
        raw = np.fromfile(drive / "velodyne_points" / "data" / f"{path.stem}.bin", dtype="<f4")
        np.testing.assert_array_equal(frame.points, raw.reshape(-1, 4)[:, :3])
    sample = distillation_sample(dataset[0], SamplingConfig(), waffle(), sample_rng(0, 0, 0))
    assert len(sample.pairs.point) > 5000
