import numpy as np
import pytest

from lidistill.errors import UnknownNameError
from lidistill.geometry import invert_rigid, transform_points
from lidistill.labels import load_label_map
from lidistill.sim import shapes
from lidistill.sim.classes import Kind, raw_ids
from lidistill.sim.districts import DISTRICTS
from lidistill.sim.layout import Bend
from lidistill.sim.street import build_street

ALWAYS = {
    "road", "road marking", "sidewalk", "manmade", "vegetation", "car", "pedestrian", "bicycle",
    "motorcycle", "traffic sign", "traffic cone", "barrier", "oth. vehicle", "ground",
}  # fmt: skip


@pytest.fixture(scope="module", params=sorted(DISTRICTS))
def street(request):
    return build_street(request.param, seconds=4.0, seed=(3, 1))


def test_every_district_has_the_classes_of_a_street(street):
    label_map = load_label_map("pandaset")
    kinds = np.unique(np.concatenate([street.static.label, street.moving(0.0).label]))
    raw = raw_ids("pandaset", kinds)
    ids = label_map.apply(raw, source="street")
    assert {label_map.class_names[i] for i in ids} >= ALWAYS


def test_nothing_drives_or_walks_into_the_ego_vehicle(street):
    for time_s in np.arange(0.0, 4.1, 0.5):
        T_ego_street = invert_rigid(street.T_street_ego(time_s))
        own = transform_points(T_ego_street, street.moving(time_s).vertices)
        inside = (np.abs(own[:, 0]) < 2.3) & (np.abs(own[:, 1]) < 0.95)
        assert not inside.any()


def test_the_ego_vehicle_drives_on_the_road(street):
    T_ego_street = invert_rigid(street.T_street_ego(2.0))
    mesh = street.static
    corners = transform_points(T_ego_street, mesh.vertices)[mesh.faces].reshape(-1, 3)
    road = np.repeat(mesh.label == 7, 3) & (np.hypot(corners[:, 0], corners[:, 1]) < 8)
    assert road.any()
    np.testing.assert_allclose(corners[road, 2], 0, atol=0.15)


def test_one_seed_gives_one_street():
    coniferst, again, other = (
        build_street("suburb", seconds=1.0, seed=(seed, 0)) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(coniferst.static.vertices, again.static.vertices)
    np.testing.assert_array_equal(coniferst.moving(0.5).color, again.moving(0.5).color)
    assert coniferst.static.vertices.shape != other.static.vertices.shape


def test_what_moves_keeps_its_speed():
    street = build_street("suburb", seconds=1.0, seed=(5, 0))
    for mover in street.movers:
        speed = np.hypot(*mover.velocity)
        assert speed > 0.5
        way = mover.at(1.0).vertices - mover.at(0.0).vertices
        np.testing.assert_allclose(np.linalg.norm(way, axis=1), speed, atol=1e-9)


def test_every_countable_thing_has_a_number_of_its_own():
    street = build_street("suburb", seconds=1.0, seed=(5, 0))
    parked = set(np.unique(street.static.instance)) - {0}
    moving = [np.unique(mover.mesh.instance).tolist() for mover in street.movers]
    numbers = [number for numbers in moving for number in numbers]
    assert len(numbers) == len(street.movers) == len(set(numbers))
    assert len(parked) > 10
    assert not parked & {0, *numbers}
    vehicles = np.isin(street.static.label, [Kind.CAR, Kind.PICKUP, Kind.BICYCLE])
    assert (street.static.instance[vehicles] > 0).all()


def test_districts_differ_in_their_trees_houses_and_ground():
    leafy, conifers = (
        sum(shapes.conifer is kind for kind in trees_of(name)) for name in ("downtown", "suburb")
    )
    assert leafy == 0 < conifers
    grounds = {name: build_street(name, seconds=1.0, seed=(1, 0)).static for name in DISTRICTS}
    ground_of = {
        name: tuple(np.unique(mesh.material[mesh.label == Kind.TERRAIN]))
        for name, mesh in grounds.items()
    }
    assert len(set(ground_of.values())) >= 3


def trees_of(name):
    """Which functions the trees of a street come from."""
    made = []
    kinds = {"tree": shapes.tree, "conifer": shapes.conifer}

    def recorded(kind):
        def grow(*args, **kwargs):
            made.append(kinds[kind])
            return kinds[kind](*args, **kwargs)

        return grow

    with pytest.MonkeyPatch.context() as patch:
        for kind in kinds:
            patch.setattr(shapes, kind, recorded(kind))
        build_street(name, seconds=1.0, seed=(1, 0))
    return made


def test_a_body_on_a_bent_street_faces_along_it():
    bend = Bend(sideways=(3.0, 1 / 60, 0.4), upward=(0.5, 1 / 50, 1.0))
    pose, ahead = bend.pose(20.0, -2.0, 0.0), bend.pose(20.5, -2.0, 0.0)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    way = ahead[:3, 3] - pose[:3, 3]
    np.testing.assert_allclose(pose[:3, 0], way / np.linalg.norm(way), atol=1e-9)


def test_an_unknown_district_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'suburb'"):
        build_street("suburbs", seconds=1.0, seed=(0,))
