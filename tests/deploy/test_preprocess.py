import json

import numpy as np
import pytest
from fakes.batches import opened, waffle

from deploy.conftest import cloud
from lidistill.backbones import WaffleIronConfig
from lidistill.deploy import preprocess
from lidistill.deploy.preprocess import POINT_TYPES, decode, first_of_voxels, nearest, prepare
from lidistill.loading.collate import collate
from lidistill.records import Frame
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import scan_sample
from lidistill.samples.preparer import CHANNELS
from lidistill.samples.voxels import voxel_first

STATISTICS = (20.0, 15.0)


def settings_of(config, **changes):
    form = config.build().export_form()
    values = {
        "format": preprocess.FORMAT, **form.settings, "voxel_size": 0.1,
        "intensity_mean": STATISTICS[0], "intensity_std": STATISTICS[1],
    }  # fmt: skip
    return json.loads(json.dumps(values | changes))  # as a robot reads them


def distances(points, index):
    return np.linalg.norm(points[index].astype(float) - points[:, None].astype(float), axis=2)


def scene(seed):
    """A plane, a wall and far single points: dense and sparse places, and some out of view."""
    rng = np.random.default_rng(seed)
    ground = np.column_stack([rng.uniform(-30, 30, (4000, 2)), rng.normal(-1.8, 0.02, 4000)])
    wall = np.column_stack([rng.uniform(5, 12, 3000), np.full(3000, 4.0), rng.uniform(-1, 3, 3000)])
    far = rng.uniform(-90, 90, (60, 3)) * [1, 1, 0.1]
    points = np.concatenate([ground, wall, far]).astype(np.float32)
    rng.shuffle(points)
    points[::501] = 0
    points[5::701] = np.nan
    return points, rng.uniform(0, 80, len(points)).astype(np.float32)


CHOICES = (CHANNELS, ("height", "intensity_rank", "x", "intensity"))


@pytest.mark.parametrize("flatten", ["mean", "sum_over_count_eps"])
@pytest.mark.parametrize(("seed", "channels"), [(0, CHOICES[0]), (1, CHOICES[0]), (0, CHOICES[1])])
def test_inputs_are_those_of_the_house(seed, channels, flatten):
    config = WaffleIronConfig(width=4, depth=1, flatten=flatten, channels=channels)
    points, intensity = scene(seed)
    found = prepare(points, intensity, settings_of(config))
    there = np.isfinite(points).all(1) & (points != 0).any(1)
    frame = Frame(
        frame_id="scan", sensor="any", points=points[there], intensity=intensity[there],
        intensity_statistics=STATISTICS,
    )  # fmt: skip
    sample = scan_sample(frame, SamplingConfig(voxel_frame="lidar"), config.inputs())
    atol = 1e-6 if "height" in channels else 0.0  # sums in another order
    np.testing.assert_allclose(found.feed["points"], sample.features.numpy(), rtol=0, atol=atol)
    np.testing.assert_array_equal(found.feed["cells"], opened(sample).cells.numpy().T)
    coords = sample.coords.numpy()
    house = opened(sample).neighbors.numpy()
    np.testing.assert_array_equal(
        distances(coords, found.feed["neighbors"]), distances(coords, house[:, 1:])
    )
    assert (found.feed["neighbors"] != np.arange(len(coords))[:, None]).all()
    form = config.build().export_form()
    *_, inverse_count = form.feed(collate([sample]))
    np.testing.assert_array_equal(found.feed["inverse_count"], inverse_count.numpy())
    view = np.array([64, 64, 8]) - 1e-4
    seen = there & (np.abs(np.nan_to_num(points, nan=1e9)) < view).all(1)
    np.testing.assert_array_equal(found.row >= 0, seen)
    own = np.linalg.norm(points[seen] - coords[found.row[seen]], axis=1)
    best = np.linalg.norm(points[there] - coords[sample.inverse.numpy()], axis=1)[seen[there]]
    np.testing.assert_array_equal(own, best)


@pytest.mark.parametrize("size", [0.1, 0.37, 1e-6])
def test_voxels_keep_the_first_point_as_the_house_does(size):
    points = cloud(3000)[0]
    np.testing.assert_array_equal(
        np.sort(first_of_voxels(points, size)), np.sort(voxel_first(points, size))
    )


@pytest.mark.parametrize("num_points", [1, 2, 5, 17, 18, 400])
@pytest.mark.parametrize("edge", [0.01, 1.0, 500.0])
def test_neighbours_are_exact_whatever_the_first_cell(num_points, edge):
    points = cloud(num_points)[0]
    found = preprocess.neighbors_of(points, 16, edge=edge)
    house = waffle(num_neighbors=16).prepare(points, points).neighbors.numpy()[:, 1:]
    np.testing.assert_array_equal(distances(points, found), distances(points, house))
    if num_points == 1:
        assert (found == 0).all()


def test_points_on_one_spot_are_neighbours_and_never_the_point_itself():
    points = np.repeat(cloud(4)[0], 6, axis=0)
    found = preprocess.neighbors_of(points, 5, edge=0.1)
    assert distances(points, found).max() == 0
    assert (found != np.arange(24)[:, None]).all()


def test_a_query_far_outside_finds_the_nearest():
    points = cloud(50)[0]
    query = np.array([[900.0, -40, 3], [0, 0, -700], [1, 2, 0]], np.float32)
    found = nearest(query, points, 1, edge=0.1)[:, 0]
    expected = np.linalg.norm(points[None] - query[:, None], axis=2).argmin(1)
    np.testing.assert_array_equal(found, expected)


def test_candidates_are_looked_at_in_portions(monkeypatch):
    points = cloud(500)[0]
    whole = preprocess.neighbors_of(points, 7, edge=1.0)
    monkeypatch.setattr(preprocess, "_MAX_CANDIDATES", 300)
    parts = preprocess.neighbors_of(points, 7, edge=1.0)
    np.testing.assert_array_equal(distances(points, parts), distances(points, whole))


def test_channels_come_in_the_networks_order_and_intensity_may_be_unknown():
    config = WaffleIronConfig(width=4, depth=1, channels=("radius", "z", "intensity"))
    points = cloud(100)[0]
    known = prepare(points, np.full(100, 35.0), settings_of(config)).feed["points"]
    np.testing.assert_allclose(known[:, 2], 1.0)
    radius = np.linalg.norm(points, axis=1)[first_of_voxels(points, 0.1)]
    np.testing.assert_allclose(known[:, 0], radius, rtol=1e-6)
    for intensity, changes in ((None, {}), (np.full(100, 35.0), {"intensity_std": None})):
        unknown = prepare(points, intensity, settings_of(config, **changes)).feed["points"]
        assert (unknown[:, 2] == 0).all()


def test_a_rank_needs_no_statistics():
    config = WaffleIronConfig(width=4, depth=1, channels=("intensity_rank", "z"))
    points, settings = cloud(100)[0], settings_of(config, intensity_std=None)
    values = np.arange(100.0)
    kept = first_of_voxels(points, 0.1)
    found = prepare(points, values, settings).feed["points"][:, 0]
    np.testing.assert_allclose(found, ((values[kept] + 0.5) / 100 - 0.5) * 12**0.5, rtol=1e-5)
    assert (prepare(points, None, settings).feed["points"][:, 0] == 0).all()


@pytest.mark.filterwarnings("error")
def test_one_point_kilometres_away_is_a_beam_without_a_return():
    points, intensity = scene(0)
    settings = settings_of(WaffleIronConfig(width=4, depth=1))
    points[[7, 8]] = np.nan
    expected = prepare(points, intensity, settings)
    points[7], points[8] = (-1e8, 0, 0), (0, 0, 1e30)
    found = prepare(points, intensity, settings)
    np.testing.assert_array_equal(found.row, expected.row)
    for name, value in expected.feed.items():
        np.testing.assert_array_equal(found.feed[name], value)


def test_a_scan_without_a_point_in_view_has_no_rows():
    config = WaffleIronConfig(width=4, depth=1)
    for points in (np.zeros((5, 3)), np.full((3, 3), 500.0), np.zeros((0, 3))):
        found = prepare(points, np.ones(len(points)), settings_of(config))
        assert len(found.feed["points"]) == 0
        assert (found.row == -1).all()
        assert len(preprocess.classes_of(np.zeros((0, 3)), found)) == len(points)


@pytest.mark.parametrize("point_type", POINT_TYPES)
def test_every_point_type_is_decoded(point_type):
    points, intensity = cloud(20)
    records = np.zeros(20, POINT_TYPES[point_type])
    records["x"], records["y"], records["z"] = points.T
    records["intensity"] = np.round(intensity)
    assert POINT_TYPES[point_type].itemsize == {
        "XYZI": 16, "XYZIRC": 16, "XYZIRADRT": 40, "XYZIRCAEDT": 32,
    }[point_type]  # fmt: skip
    found, values = decode(records.tobytes(), point_type, records.itemsize)
    np.testing.assert_array_equal(found, points)
    np.testing.assert_array_equal(values, np.round(intensity))
    assert found.dtype == values.dtype == np.float32


def test_numbers_lie_where_autowares_structures_have_them():
    fields = POINT_TYPES["XYZIRADRT"].fields
    assert {name: offset for name, (_, offset) in fields.items()} == {
        "x": 0, "y": 4, "z": 8, "intensity": 12, "ring": 16, "azimuth": 20, "distance": 24,
        "return_type": 28, "time_stamp": 32,
    }  # fmt: skip


def test_what_does_not_fit_is_an_error_in_one_line():
    config = WaffleIronConfig(width=4, depth=1)
    with pytest.raises(ValueError, match="point type 'XYZ' is none of XYZI, XYZIRC"):
        decode(b"", "XYZ")
    with pytest.raises(ValueError, match="17 bytes are no whole number"):
        decode(bytes(17), "XYZI")
    with pytest.raises(ValueError, match="points of 35 bytes, but XYZIRADRT has 40"):
        decode(bytes(280), "XYZIRADRT", 35)
    with pytest.raises(ValueError, match="settings of format 2, this file reads 1"):
        prepare(np.zeros((1, 3)), None, settings_of(config, format=2))
    with pytest.raises(ValueError, match=r"points \(2, 3\) and intensities \(3,\)"):
        prepare(np.zeros((2, 3)), np.zeros(3), settings_of(config))
