"""What is done to a scan, and in which order: the definitions of ScaLR, with loops."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes.batches import waffle
from fakes.scan import scan_frame, turn

from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.inputs import cell_indices
from lidistill.records import CameraView
from lidistill.samples.augmentation import AugmentationConfig, crop_mask
from lidistill.samples.distillation import SamplingConfig, distillation_sample, sample_rng
from lidistill.samples.labelled import labelled_sample, scan_sample
from lidistill.samples.on_device import build_sample, raw_sample
from lidistill.samples.pairing import pair_by_numpy, pair_view
from lidistill.samples.tensor_geometry import crop_tensor

GRID = GridConfig()
PREPARER = waffle(GRID)
STILL = AugmentationConfig(kind="none")
CPU = torch.device("cpu")


def labelled(frame, config, preparer, rng):
    return labelled_sample(frame, config, preparer, rng)


def distilled(frame, config, preparer, rng):
    return distillation_sample(frame, config, preparer, rng, load_images=False)


def on_device(frame, config, preparer, rng):
    return build_sample(
        raw_sample(frame, config, preparer, rng, load_images=False), config, preparer, CPU
    )


WAYS = (labelled, distilled, on_device)


def voxel_of(points, size):
    """Voxel of every point, counted from the cloud's minimum in its own precision."""
    low = points.min(axis=0)
    return [tuple(int(v) for v in (p - low) / points.dtype.type(size)) for p in points]


def by_voxel(points, size):
    groups = {}
    for index, voxel in enumerate(voxel_of(points, size)):
        groups.setdefault(voxel, []).append(index)
    return groups


@pytest.fixture
def dense(tmp_path):
    """Ten clusters of twelve points each, all of a cluster in one voxel of a metre."""
    rng = np.random.default_rng(0)
    centres = np.array([[5.0 + 3 * i, 0.5 * (-1) ** i, 0] for i in range(10)])
    points = (centres[:, None] + rng.uniform(0.02, 0.4, (10, 12, 3))).reshape(-1, 3)
    points = np.concatenate([[[4.7, -0.9, -0.5]], rng.permutation(points)]).astype(np.float32)
    fields = {"intensity": np.ones(121, np.float32), "labels": np.zeros(121, np.uint8)}
    return scan_frame(tmp_path, points=points, **fields)


@pytest.mark.parametrize("way", WAYS)
def test_training_takes_any_point_of_a_voxel_alike(way, dense):
    config = SamplingConfig(voxel_size=1.0, augmentation=STILL)
    groups = [g for g in by_voxel(dense.points, 1.0).values() if len(g) == 12]
    assert len(groups) > 3
    rank = {index: place for group in groups for place, index in enumerate(group)}
    taken = np.zeros(12)
    for seed in range(60):
        for index in way(dense, config, PREPARER, sample_rng(seed, 0, 0)).source.tolist():
            if index in rank:
                taken[rank[index]] += 1
    assert taken.sum() > 200
    assert taken.min() > 0.4 * taken.mean()
    assert taken.max() < 2 * taken.mean()


def test_evaluation_takes_the_first_point_of_every_voxel_in_lexicographic_order(dense):
    sample = scan_sample(dense, SamplingConfig(voxel_size=1.0), PREPARER)
    groups = by_voxel(dense.points, 1.0)
    assert sample.source.tolist() == [groups[voxel][0] for voxel in sorted(groups)]


@pytest.mark.parametrize("way", WAYS)
def test_the_point_limit_acts_before_the_crop(way, tmp_path):
    """The sample is what the field of view leaves of the points around one of them."""
    frame = scan_frame(tmp_path)
    grid = GridConfig(fov_min=(-8, -8, -8), fov_max=(8, 8, 8))
    config = SamplingConfig(
        voxel_size=1e-3, max_points=150, augmentation=STILL, cameras="all", points="all"
    )
    inside = {i for i, p in enumerate(frame.points) if np.abs(p[:2]).max() < 8 - 1e-4}
    assert len(inside) > 300
    distance = ((frame.points[:, None] - frame.points) ** 2).sum(axis=2)
    around = [set(row.tolist()) for row in np.argsort(distance, axis=1)[:, :150]]
    sizes = []
    for seed in range(12):
        found = set(way(frame, config, waffle(grid), sample_rng(seed, 0, 0)).source.tolist())
        assert found in [near & inside for near in around]
        sizes.append(len(found))
    assert min(sizes) < 100  # though there are more inside


@pytest.mark.parametrize("way", WAYS)
def test_the_centre_of_the_point_limit_is_any_of_the_points(way, tmp_path):
    frame, config = scan_frame(tmp_path), SamplingConfig(max_points=5, augmentation=STILL)
    centres = [int(way(frame, config, PREPARER, sample_rng(s, 0, 0)).source[0]) for s in range(40)]
    assert len(set(centres)) > 35
    x = frame.points[centres]
    assert np.ptp(x[:, :2], axis=0).min() > 25  # of the forty metres that the scan is wide


@pytest.mark.parametrize(
    ("sensor", "counted_in"),
    [
        ("pandar64", "world"),
        ("pandargt", "world"),
        ("nuscenes", "lidar"),
        ("semantic_kitti", "lidar"),
    ],
)
@pytest.mark.parametrize("way", [distilled, on_device])
def test_distillation_counts_voxels_where_the_authors_did(way, sensor, counted_in, tmp_path):
    pose = turn(0.6)
    frame = scan_frame(tmp_path, sensor=sensor, T_world_lidar=pose)
    config = SamplingConfig(
        voxel_size=3.0, voxel_frame="published", points="all", cameras="all", augmentation=STILL
    )
    points = frame.points if counted_in == "lidar" else frame.points @ pose[:3, :3].T
    other = frame.points @ pose[:3, :3].T if counted_in == "lidar" else frame.points
    assert len(set(voxel_of(points, 3.0))) != len(set(voxel_of(other, 3.0)))
    sample = way(frame, config, PREPARER, sample_rng(0, 0, 0))
    assert len(sample) == len(set(voxel_of(points, 3.0)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("statistics", "mean", "std"), [(None, 18.23640649, 25.86983417), ((40.0, 8.0), 40.0, 8.0)]
)
def test_intensity_is_standardised_by_the_lidars_statistics_or_by_the_frames_own(
    way, statistics, mean, std, tmp_path
):
    frame = scan_frame(tmp_path, intensity_statistics=statistics)
    sample = way(frame, SamplingConfig(augmentation=STILL), PREPARER, sample_rng(0, 0, 0))
    expected = (frame.intensity[sample.source] - mean) / std
    np.testing.assert_allclose(sample.features[:, 0], expected, rtol=1e-5, atol=1e-6)
    radius = np.sqrt((frame.points[sample.source] ** 2).sum(axis=1))
    np.testing.assert_allclose(sample.features[:, 1:4], frame.points[sample.source])
    np.testing.assert_allclose(sample.features[:, 4], radius, rtol=1e-6)


def test_the_field_of_view_is_open_and_a_tenth_of_a_millimetre_smaller():
    low, high = np.float64(-64 + 1e-4), np.float64(64 - 1e-4)
    inward = [np.nextafter(low, 0), np.nextafter(high, 0)]
    for axis, (value, expected) in itertools.product(
        (0, 1), [(low, False), (high, False), (inward[0], True), (inward[1], True)]
    ):
        coords = np.zeros((1, 3))
        coords[0, axis] = value
        assert crop_mask(coords, GRID.field_of_view).tolist() == [expected], (axis, value)
        assert crop_tensor(torch.from_numpy(coords), GRID.field_of_view).tolist() == [expected], (
            axis,
            value,
        )
    for z, expected in ((-8 + 1e-4, False), (8 - 1e-4, False), (-7.9, True), (7.9, True)):
        assert crop_mask(np.array([[0.0, 0.0, z]]), GRID.field_of_view).tolist() == [expected]


def test_a_cell_is_the_truncated_quotient_on_the_plane_that_is_left():
    coords = np.random.default_rng(0).uniform([-64, -64, -8], [64, 64, 8], (200, 3))
    rows = []
    for x, y, z in coords:
        u, v, w = int((x + 64) / 0.5), int((y + 64) / 0.5), int((z + 8) / 0.5)
        rows.append([u * 256 + v, u * 32 + w, v * 32 + w])  # without z, without y, without x
    assert cell_indices(coords, GRID).tolist() == rows


def view(**limits):
    """A camera that looks along x from the lidar's place; u = 50 - 50 y/x, v = 30 - 50 z/x."""
    T = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    K = np.array([[50.0, 0, 50], [0, 50, 30], [0, 0, 1]])
    fields = {"name": "front", "image_path": None, "size_hw": (60, 100), "K": K, "T_cam_lidar": T}
    return CameraView(**(fields | limits))


PAIRINGS = (pair_by_numpy, pair_view)


@pytest.mark.parametrize("pair", PAIRINGS)
def test_points_on_a_limit_are_no_pairs(pair):
    """x and depth are one here; 8/16ths are exact, so that borders are met exactly."""
    points = np.array([[1.0, 0, 0], [1.0625, 0, 0], [0.5, 0, 0]])
    assert pair(points, view(near_depth=1.0), (60, 100)).index.tolist() == [1]
    assert pair(points, view(near_x=1.0), (60, 100)).index.tolist() == [1]
    assert pair(points, view(near_depth=0.0), (60, 100)).index.tolist() == [0, 1, 2]
    at_u = np.array([[1.0, (50 - u) / 50, 0] for u in (0.0, 0.5, 98.5, 99.0, 99.5, 100.0)])
    assert pair(at_u, view(border_px=1.0), (60, 100)).index.tolist() == [1, 2]
    assert pair(at_u, view(border_px=0.0), (60, 100)).index.tolist() == [1, 2, 3, 4]
    at_v = np.array([[1.0, 0, (30 - v) / 50] for v in (0.0, 0.5, 58.5, 59.5, 60.0)])
    assert pair(at_v, view(border_px=1.0), (60, 100)).index.tolist() == [1, 2]
    assert pair(at_v, view(border_px=0.0), (60, 100)).index.tolist() == [1, 2, 3]


@pytest.mark.parametrize("pair", PAIRINGS)
def test_the_pixel_is_floored_scaled_and_floored_again(pair):
    uv = [(10.9, 20.9), (33.3, 7.7), (98.9, 58.9)]
    points = np.array([[1.0, (50 - u) / 50, (30 - v) / 50] for u, v in uv])
    found = pair(points, view(), (40, 70)).uv
    assert found.tolist() == [[int(int(u) * 0.7), int(int(v) * 40 / 60)] for u, v in uv]


class Given:
    """A generator that returns given numbers in place of five uniform ones."""

    def __init__(self, *numbers):
        self.numbers = numbers

    def uniform(self, size):
        assert size == len(self.numbers) == 5
        return np.array(self.numbers)


def augmented(kind, *numbers):
    points = np.array([[3.0, 4.0, 1.0]])
    return AugmentationConfig(kind=kind).draw(Given(*numbers)).apply(points)


QUARTER = 0.75  # of the draw: angles of +90 degrees


def test_distillation_turns_flips_and_scales_and_features_follow():
    # Turned by 90 degrees: (-4, 3); y flipped: (-4, -3); scaled by 1 + 0.5 * 0.1.
    result = augmented("distill", QUARTER, 0.1, 0.66, 0.9, QUARTER)
    np.testing.assert_allclose(result.coords, [[-4.2, -3.15, 1.05]])
    np.testing.assert_allclose(result.channels, [[-4.2, -3.15, 1.05, 1.05 * 26**0.5]])


@pytest.mark.parametrize("way", WAYS)
def test_a_training_sample_is_augmented_as_its_configuration_says(way, tmp_path):
    frame = scan_frame(tmp_path)
    config = SamplingConfig(augmentation=AugmentationConfig(kind="finetune"))
    angles = set()
    for seed in range(5):
        sample = way(frame, config, PREPARER, sample_rng(seed, 0, 0))
        points, coords = frame.points[sample.source], sample.coords.numpy()
        far = (np.hypot(*coords[:, :2].T), np.hypot(*points[:, :2].T))
        np.testing.assert_allclose(*far, rtol=1e-4)
        turned = np.angle((coords[:, 0] + 1j * coords[:, 1]) / (points[:, 0] + 1j * points[:, 1]))
        angles.add(round(float(turned[0]), 3))
        shares = sample.features[:, 4].numpy() / np.linalg.norm(points, axis=1)
        assert np.ptp(shares) < 1e-4  # one scale for all, of the features alone
        assert 0.9 < shares[0] < 1.1
        assert abs(shares[0] - 1) > 1e-4
    assert len(angles) == 5


def test_two_of_three_scans_are_flipped_in_x_or_y():
    kept = augmented("distill", 0.5, 0.1, 0.67, 0.9, 0.5)
    np.testing.assert_allclose(kept.coords, [[3, 4, 1]])
    for axis, expected in ((0.49, [-3, 4, 1]), (0.51, [3, -4, 1])):
        np.testing.assert_allclose(
            augmented("distill", 0.5, 0.1, 0.66, axis, 0.5).coords, [expected]
        )


def test_fine_tuning_turns_features_on_their_own_flips_coordinates_and_scales_features():
    result = augmented("finetune", 0.5, QUARTER, 0.1, 0.2, 0.0)
    np.testing.assert_allclose(result.coords, [[-3, 4, 1]])
    np.testing.assert_allclose(result.channels, [[-3.6, 2.7, 0.9, 0.9 * 26**0.5]])


def test_angles_and_scales_cover_their_whole_range():
    draws = [AugmentationConfig(kind="finetune").draw(sample_rng(s, 0, 0)) for s in range(2000)]
    for angles in ([d.angle for d in draws], [d.feature_angle for d in draws]):
        assert min(angles) == pytest.approx(-np.pi, abs=0.02)
        assert max(angles) == pytest.approx(np.pi, abs=0.02)
    factors = [d.factor for d in draws]
    assert (min(factors), max(factors)) == pytest.approx((0.9, 1.1), abs=0.002)
    flips = SimpleNamespace(**{f"axis{a}": sum(d.flip_axis == a for d in draws) for a in (0, 1)})
    assert (flips.axis0 / 2000, flips.axis1 / 2000) == pytest.approx((1 / 3, 1 / 3), abs=0.04)
    assert abs(np.corrcoef([d.angle for d in draws], [d.feature_angle for d in draws])[0, 1]) < 0.1
