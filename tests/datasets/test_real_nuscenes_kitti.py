import numpy as np
import pytest
from golden_cases import DATA, needs_data

from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.images.files import read_image
from lidistill.samples.pairing import pair_view
from lidistill.scan_formats.record_layout import other_layout

pytestmark = needs_data


def depths(frame, view, index):
    return (frame.points[index] @ view.T_cam_lidar[:3, :3].T + view.T_cam_lidar[:3, 3])[:, 2]


def test_nuscenes_samples_are_seen_by_all_six_cameras():
    config = NuScenesConfig(root=DATA / "nuscenes", version="v1.0-mini", split="all")
    dataset = config.build()
    assert len(dataset) >= 2
    for index in range(len(dataset)):
        frame = dataset[index]
        assert frame.labels is None
        assert len(frame.views) == 6
        ground = np.percentile(frame.points[:, 2], 10)
        assert -2.2 < ground < -1.4  # the roof lidar's height
        for view in frame.views:
            assert read_image(view.image_path).shape[:2] == view.size_hw
            seen = pair_view(frame.points, view, view.size_hw)
            assert 0.05 < len(seen.index) / len(frame.points) < 0.2
            assert (depths(frame, view, seen.index) > 1).all()


def test_nuscenes_cameras_move_between_scan_and_image():
    frame = NuScenesConfig(root=DATA / "nuscenes", version="v1.0-mini", split="all").build()[0]
    offsets = [np.linalg.norm(view.T_cam_lidar[:3, 3]) for view in frame.views]
    assert min(offsets) > 0.3
    assert max(offsets) < 3  # metres on one vehicle, not in the city


def test_semantic_kitti_labels_fit_their_scans():
    config = SemanticKittiConfig(root=DATA / "semantic_kitti", split="all", labels="required")
    dataset = config.build()
    road = dataset.label_map.class_names.index("road")
    for index in range(len(dataset)):
        frame = dataset[index]
        heights = frame.points[frame.labels == road, 2]
        assert -2.0 < np.median(heights) < -1.5
        assert frame.intensity.max() <= 1


def test_semantic_kitti_image_shows_the_road_below_the_horizon():
    config = SemanticKittiConfig(
        root=DATA / "semantic_kitti", split="train", images="required", missing="skip"
    )
    dataset = config.build()
    frame = dataset[0]
    (view,) = frame.views
    pairs = pair_view(frame.points, view, view.size_hw)
    assert 0.1 < len(pairs.index) / len(frame.points) < 0.2
    road = frame.labels[pairs.index] == dataset.label_map.class_names.index("road")
    vegetation = frame.labels[pairs.index] == dataset.label_map.class_names.index("vegetation")
    horizon = view.K[1, 2]
    assert pairs.uv[road, 1].min() > horizon - 10
    assert np.median(pairs.uv[vegetation, 1]) < np.median(pairs.uv[road, 1])


@pytest.mark.parametrize("pattern", ["nuscenes/samples/LIDAR_TOP/*.bin", "*/**/velodyne*/**/*.bin"])
def test_real_records_are_told_from_the_same_numbers_as_float64(pattern):
    scans = sorted(DATA.glob(pattern))[:20]
    assert scans
    for scan in scans:
        assert other_layout(scan.read_bytes()) is None
        wider = np.fromfile(scan, "<f4").astype("<f8").tobytes()
        assert other_layout(wider) == "float64 records"
