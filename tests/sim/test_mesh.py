import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lidistill.sim.mesh import Look, merge, quads
from lidistill.sim.solids import boxes, ellipsoid, loft, tube

LOOK = Look(color=(0.5, 0.5, 0.5))


def enclosed_volume(mesh):
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    return abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@settings(max_examples=20, deadline=None)
@given(
    size=st.tuples(*[st.floats(0.1, 5)] * 3),
    center=st.tuples(*[st.floats(-9, 9)] * 3),
)
def test_a_box_encloses_its_volume_with_all_faces_turned_the_same_way(size, center):
    assert enclosed_volume(boxes(center, size, LOOK)) == pytest.approx(np.prod(size), rel=1e-6)


def test_a_loft_over_two_squares_is_a_closed_box():
    square = np.array([(0, -1, -1), (0, 1, -1), (0, 1, 1), (0, -1, 1)], dtype=float)
    assert enclosed_volume(loft([square, square + np.array([3, 0, 0])], LOOK)) == pytest.approx(12)


def test_round_bodies_come_near_the_volume_of_the_true_ones():
    cylinder = tube([[0, 0, 0], [0, 0, 2]], 0.5, LOOK, sides=40)
    assert enclosed_volume(cylinder) == pytest.approx(np.pi / 2, rel=0.01)
    ball = ellipsoid([1, 2, 3], [1, 1, 1], LOOK)
    assert enclosed_volume(ball) == pytest.approx(4 / 3 * np.pi, rel=0.2)


def test_merging_keeps_every_face_on_its_own_vertices():
    first, second = boxes([0, 0, 0], [1, 1, 1], LOOK), quads([5, 5, 5], [1, 0, 0], [0, 1, 0], LOOK)
    both = merge([first, second])
    corners = both.vertices[both.faces]
    np.testing.assert_array_equal(corners[:12], first.vertices[first.faces])
    np.testing.assert_array_equal(corners[12:], second.vertices[second.faces])


def test_moving_turns_before_it_shifts():
    quad = quads([1, 0, 0], [0.1, 0, 0], [0, 0.1, 0], LOOK).moved((0, 0, 5), yaw=np.pi / 2)
    np.testing.assert_allclose(quad.vertices.mean(axis=0), [0, 1, 5], atol=1e-12)


def test_an_instance_number_survives_merging_and_moving():
    thing = boxes([0, 0, 0], [1, 1, 1], LOOK).numbered(7).moved((3, 0, 0))
    both = merge([quads([5, 5, 5], [1, 0, 0], [0, 1, 0], LOOK), thing])
    assert both.instance.tolist() == [0, 0] + [7] * 12
