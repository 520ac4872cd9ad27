"""Beams without an echo, in every data set: NaN in their rows, whatever the files say."""

import numpy as np
import pytest
from fakes import folder, kitti_raw, nuscenes, pandaset, semantic_kitti
from fakes.batches import waffle
from fakes.scan_writers import cloud

from lidistill.data_check.check import check_dataset
from lidistill.data_check.statistics import sensor_statistics
from lidistill.datasets.kitti.raw import KittiRawConfig
from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.datasets.own.dataset import FolderConfig
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.labels import IGNORE
from lidistill.samples.distillation import SamplingConfig, distillation_sample, sample_rng
from lidistill.samples.labelled import scan_sample
from lidistill.scan_formats.returns import has_return, mark_missing, present

LOST = [2, 7, 11]
VALUES = np.array([[0, 0, 0], [np.inf, 1, 2], [np.nan] * 3])


def lose(points):
    points = points.copy()
    points[LOST, :3] = VALUES
    return points


def nuscenes_set(root):
    fake = nuscenes.FakeNuScenes(root)
    labels = np.resize([17, 24], 50)
    fake.add_scene("scene-0061", scan=lose(nuscenes.default_scan(0)), labels=labels).write_tables()
    return NuScenesConfig(root=root, version="v1.0-mini", split="mini_train", missing="skip")


def semantic_kitti_set(root):
    labels = np.resize([10, 40], 50)
    for sequence in (0, 8):
        scan = lose(semantic_kitti.default_scan(0))
        semantic_kitti.write_sequence(root, sequence, scan=scan, labels=labels)
    return SemanticKittiConfig(root=root, split="all")


def kitti_raw_set(root):
    kitti_raw.write_drive(root, scan=lose(kitti_raw.default_scan(0)))
    return KittiRawConfig(root=root)


def pandaset_set(root, lost=VALUES):
    points = np.random.default_rng(0).uniform(-20, 20, (60, 3))
    points[LOST] = lost
    drive = pandaset.Drive(points=points, device=np.zeros(60, int), classes=np.resize([13, 7], 60))
    pandaset.write_drive(root, "001", drive)
    return PandaSetConfig(root=root, drives=("001",), split="all")


def folder_set(root):
    table = cloud()
    for row, values in zip(LOST, VALUES, strict=True):
        for axis, value in zip("xyz", values, strict=True):
            table[axis][row] = value
    folder.write_folder(root, table=table)
    return FolderConfig(root=root)


SETS = {
    "nuscenes": nuscenes_set,
    "semantic_kitti": semantic_kitti_set,
    "kitti_raw": kitti_raw_set,
    "pandaset": pandaset_set,
    "folder": folder_set,
}


@pytest.fixture(params=SETS)
def dataset(request, tmp_path):
    return SETS[request.param](tmp_path / "set").build()


def test_both_conventions_are_nan_in_their_rows(dataset):
    frame = dataset[0]
    assert np.flatnonzero(np.isnan(frame.points).any(axis=1)).tolist() == LOST
    assert np.flatnonzero(np.isnan(frame.points).all(axis=1)).tolist() == LOST
    assert len(frame.intensity) == len(frame.points)
    if frame.labels is not None:
        np.testing.assert_array_equal(frame.labels, np.resize(frame.labels[:6], len(frame.points)))
        assert len(np.unique(frame.labels)) > 1


def test_samples_leave_them_out_and_their_labels(dataset):
    frame = dataset[0]
    whole = scan_sample(frame, SamplingConfig(), waffle())
    assert not set(whole.source.tolist()) & set(LOST)
    assert len(whole.inverse) == len(frame.points)
    if frame.labels is not None:
        assert whole.full_labels[LOST].tolist() == [IGNORE] * 3
        rest = np.delete(np.arange(len(frame.points)), LOST)
        np.testing.assert_array_equal(whole.full_labels[rest], frame.labels[rest])
    sample = distillation_sample(frame, SamplingConfig(), waffle(), sample_rng(0, 0, 0))
    assert bool(sample.features.isfinite().all())
    assert not set(sample.source.tolist()) & set(LOST)


def test_the_check_and_the_statistics_count_them_apart(dataset):
    report = check_dataset(dataset)
    assert not report.problems
    assert report.num_missing == 3 * len(dataset)
    frame = present(dataset[0])
    assert report.intensity_mean == pytest.approx(frame.intensity.mean())
    (found,) = sensor_statistics([dataset])
    assert found.num_missing == 3 * len(dataset)
    distance = np.linalg.norm(frame.points, axis=1)
    assert found.range_mean == pytest.approx(distance.mean(), rel=1e-5)
    assert report.class_counts["ignore"] == found.num_frames * np.sum(
        frame.labels == IGNORE if frame.labels is not None else 0
    )


def test_beams_at_the_vehicle_in_world_coordinates_are_lost_too(tmp_path):
    away = {
        "position": {"x": 812.3, "y": -93.7, "z": 11.1},
        "heading": {"w": 0.8, "x": 0.0, "y": 0.0, "z": 0.6},
    }
    points = np.tile([812.3, -93.7, 11.1], (60, 1))
    points[:, :2] += np.random.default_rng(0).uniform(-20, 20, (60, 2))
    points[LOST] = [812.3, -93.7, 11.1 + 1.6]  # the lidar's own place
    drive = pandaset.Drive(points=points, device=np.zeros(60, int), pose=away, cameras={})
    pandaset.write_drive(tmp_path, "001", drive)
    frame = PandaSetConfig(root=tmp_path, drives=("001",), split="all", missing="skip").build()[0]
    assert np.flatnonzero(np.isnan(frame.points).all(axis=1)).tolist() == LOST


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_mark_is_a_copy_in_the_same_precision(dtype):
    points = np.array([[0, 0, 0], [0, 0, 1], [-0.0, 0, 0], [np.inf, 0, 0], [1e-30, 0, 0]], dtype)
    assert has_return(points).tolist() == [False, True, False, False, True]
    marked = mark_missing(points)
    assert marked.dtype == dtype
    assert np.isnan(marked).all(axis=1).tolist() == [True, False, True, True, False]
    assert points[0].tolist() == [0, 0, 0]
    assert mark_missing(points[1:2]) is not None


def test_intensities_beyond_the_scale_of_corrupted_sets_are_read_as_they_are(tmp_path):
    """Fog and crosstalk of corruption benchmarks leave such numbers in the sets' own layouts."""
    scan = nuscenes.default_scan(0)
    scan[:9, 3] = 3500
    nuscenes.FakeNuScenes(tmp_path / "n").add_scene("scene-0061", scan=scan).write_tables()
    config = NuScenesConfig(root=tmp_path / "n", version="v1.0-mini", split="mini_train",
                            missing="skip")  # fmt: skip
    np.testing.assert_array_equal(config.build()[0].intensity, scan[:, 3])
    scan = semantic_kitti.default_scan(0)
    scan[:20, 3] = np.linspace(-3, 3, 20)
    semantic_kitti.write_sequence(tmp_path / "k", 0, scan=scan)
    frame = SemanticKittiConfig(root=tmp_path / "k", split="all").build()[0]
    np.testing.assert_array_equal(frame.intensity, scan[:, 3])
    kitti_raw.write_drive(tmp_path / "r", scan=scan)
    np.testing.assert_array_equal(
        KittiRawConfig(root=tmp_path / "r").build()[0].intensity, scan[:, 3]
    )
    pandaset.write_drive(tmp_path / "p", "001", pandaset.Drive(intensity=np.full(60, 700.0)))
    assert PandaSetConfig(root=tmp_path / "p", drives=("001",), split="all").build()[0].intensity[
        0
    ] == np.float32(700)
