import dataclasses

import numpy as np
import pytest

from lidistill.geometry import invert_rigid, rigid, transform_points
from lidistill.sim.classes import Kind
from lidistill.sim.layout import Bend, Mover, Sky, Street
from lidistill.sim.lidar import sweep
from lidistill.sim.mesh import Look, merge, quads
from lidistill.sim.rig import Roof
from lidistill.sim.rigs import KITTI, NUSCENES, PANDASET
from lidistill.sim.solids import boxes
from lidistill.sim.stage import Stage

PANDAR64 = PANDASET.lidars[0]
LIDARS = {
    lidar.name: lidar for rig in (PANDASET, NUSCENES, KITTI) for lidar in rig.lidars
}  # fmt: skip
STRAIGHT = Bend(sideways=(0.0, 1.0, 0.0), upward=(0.0, 1.0, 0.0))
SKY = Sky(to_sun=np.array([0.0, 0.6, 0.8]), clouds=0.0, warmth=0.0, drift=(0.0, 0.0))
GROUND = quads([0, 0, 0], [200, 0, 0], [0, 200, 0], Look(color=(0.5, 0.5, 0.5), label=Kind.ROAD))


def stage(*meshes, movers=()):
    return Stage(
        Street(
            static=merge(meshes), movers=tuple(movers), bend=STRAIGHT, sky=SKY,
            ego_start=(0.0, 0.0), ego_speed=0.0,
        )
    )  # fmt: skip


def still(time_s):
    del time_s
    return np.eye(4)


def scan(*meshes, lidar=PANDAR64, poses=still, seed=0, movers=(), **options):
    rng = np.random.default_rng(seed)
    options = {"time_s": 0.0, "column_step": 5} | options
    return sweep(stage(*meshes, movers=movers), lidar, poses, rng=rng, **options)


def wall(material="stucco", distance=10.0, color=(0.8, 0.8, 0.8), label=Kind.BUILDING):
    look = Look(color=color, material=material, label=label)
    return quads([distance, 0, 0], [0, 40, 0], [0, 0, 40], look)


def test_returns_lie_on_the_wall_within_the_range_noise():
    returns = scan(wall(distance=10.0))
    assert len(returns.points) > 1000
    error = returns.points[:, 0] - 10.0
    assert 0.5 * PANDAR64.range_noise < error.std() < 1.2 * PANDAR64.range_noise
    assert abs(error.mean()) < 0.005
    assert (returns.kind == Kind.BUILDING).all()
    assert not returns.moving.any()


def test_nothing_returns_from_beyond_the_range():
    short = dataclasses.replace(PANDAR64, max_range=30.0)
    assert len(scan(wall(distance=40.0), lidar=short).points) == 0
    assert len(scan(wall(distance=10.0), lidar=short).points) > 0


def test_every_second_column_gives_half_the_points():
    coarse, fine = (len(scan(wall(), column_step=step).points) for step in (8, 4))
    assert fine == pytest.approx(2 * coarse, rel=0.05)


@pytest.mark.parametrize("lidar", LIDARS.values(), ids=LIDARS)
def test_pulses_are_fired_in_order_of_time_and_around_the_time_stamp(lidar):
    level = rigid(np.eye(3), (0.0, 0.0, 2.0))
    delay = scan(GROUND, lidar=lidar, poses=lambda _: level).delay_s
    assert (np.diff(delay) >= 0).all()
    assert -lidar.stamp * lidar.sweep_s <= delay[0] < delay[-1]
    assert delay[-1] <= (1 - lidar.stamp) * lidar.sweep_s


def test_beams_are_numbered_as_the_data_sets_number_them():
    """NuScenes counts from the lowest beam, KITTI's rows and PandaSet's from the highest."""
    for name, lidar in LIDARS.items():
        rising = np.diff(lidar.elevations_deg) > 0
        assert rising.all() if name == "LIDAR_TOP" else not rising.any()


def test_the_vehicles_own_motion_is_taken_out_of_a_scan():
    """A wall beside a vehicle at 20 m/s stays flat and where it is."""

    def driving(time_s):
        return rigid(np.eye(3), (0.0, 20.0 * time_s, 0.0))

    moving = scan(wall(distance=10.0), poses=driving)
    assert np.abs(moving.points[:, 0] - 10.0).max() < 6 * PANDAR64.range_noise
    way = transform_points(invert_rigid(driving(0.0)), moving.points)
    assert way[:, 1].min() < -15
    assert way[:, 1].max() > 15


@pytest.mark.parametrize("speed", [-15.0, 15.0])
def test_a_moving_thing_is_seen_where_it_is_when_the_beam_passes(speed):
    """PandaSet's beam starts behind and passes the left after a quarter, the front after a half."""
    look = Look(color=(0.9, 0.9, 0.9), material="stucco", label=Kind.CAR)
    box = boxes([0, 0, 0], [2, 2, 6], look).numbered(5)
    for start, share in (((-12.0, 0.0), 0.25), ((0.0, 12.0), 0.5), ((12.0, 0.0), 0.75)):
        mover = Mover(mesh=box, start=start, velocity=(0.0, speed))
        returns = scan(wall(distance=90), movers=[mover], column_step=1)
        car = returns.kind == Kind.CAR
        assert car.sum() > 100
        assert returns.moving[car].all()
        assert (returns.instance[car] == 5).all()
        assert np.median(returns.delay_s[car]) == pytest.approx((share - 1) * 0.1, abs=0.005)
        placed = returns.points[car] - [*start, 0]
        placed[:, 1] -= speed * returns.delay_s[car]
        assert (np.abs(placed[:, :2]) < 1.15).all()


def test_lost_pulses_are_stored_at_the_sensor_only_where_the_data_set_does_so():
    lidar = LIDARS["LIDAR_TOP"]
    whole = scan(wall(distance=10.0), lidar=lidar, column_step=4)
    assert len(whole.points) == lidar.num_columns // 4 * 32
    lost = whole.kind == Kind.NOTHING
    assert 0 < lost.sum() < len(lost)
    np.testing.assert_allclose(whole.points[lost], 0 * whole.points[lost] + [0.944, 0, 1.84])
    dropped = scan(
        wall(distance=10.0), lidar=dataclasses.replace(lidar, lost="dropped"), column_step=4
    )
    assert len(dropped.points) == (~lost).sum()


def test_the_own_roof_hides_what_lies_under_it():
    lidar = dataclasses.replace(PANDAR64, roof=Roof(below=0.3, half_width=1.0, half_length=1.0))
    own = scan(GROUND, lidar=lidar, poses=lambda _: rigid(np.eye(3), (0.0, 0.0, 1.0)))
    roof = own.kind == Kind.EGO
    assert roof.any()
    assert np.abs(own.points[roof, :2] - [0.0, 0.55]).max() < 1.1
    assert own.points[roof, 2] == pytest.approx(np.full(roof.sum(), 2.7), abs=0.1)


def test_glass_swallows_most_pulses_and_signs_shine():
    plain, glass, sign = (scan(wall(material)) for material in ("stucco", "glass", "sign"))
    assert len(glass.points) < 0.3 * len(plain.points)
    assert np.median(sign.intensity) > 4 * np.median(plain.intensity)
    assert sign.intensity.max() <= 255


def test_black_paint_seen_at_a_grazing_angle_is_lost_more_often_than_white_paint():
    white, black = (
        scan(quads([60, 3, 0], [30, 0, 0], [0, 0, 5], Look(color=color, material="paint")))
        for color in ((0.9,) * 3, (0.02,) * 3)
    )
    assert len(white.points) > 50
    assert len(black.points) < 0.5 * len(white.points)


def test_a_wet_road_loses_far_pulses_and_a_wet_wall_does_not():
    level = rigid(np.eye(3), (0.0, 0.0, 2.0))
    road = [len(scan(GROUND, poses=lambda _: level, wetness=w).points) for w in (0.0, 1.0)]
    assert road[1] < 0.8 * road[0]
    house = [len(scan(wall(), wetness=w).points) for w in (0.0, 1.0)]
    assert house[0] == house[1]


def test_intensities_are_multiples_of_the_sensors_step():
    stored = scan(wall(), lidar=LIDARS["velodyne"]).intensity
    assert stored.max() <= 0.99
    np.testing.assert_allclose(stored * 100, np.round(stored * 100), atol=1e-4)
    assert len(np.unique(stored)) > 5


def test_the_same_generator_gives_the_same_scan():
    first, again, other = (scan(wall(), seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.points, again.points)
    assert len(first.points) != len(other.points) or (first.points != other.points).any()
