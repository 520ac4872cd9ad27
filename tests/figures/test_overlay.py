import numpy as np
import pytest

from lidistill.figures.colors import depth_colors, label_colors, scale_colors
from lidistill.figures.overlay import beside, draw_points, legend
from lidistill.labels import load_label_map

RED, GREEN = np.array([[255, 0, 0], [0, 255, 0]], dtype=np.uint8)


def canvas(height: int = 9, width: int = 11) -> np.ndarray:
    return np.zeros((height, width, 3), dtype=np.uint8)


def test_a_point_covers_the_pixel_it_lies_in() -> None:
    image = canvas()
    drawn = draw_points(image, np.array([[4.9, 2.1]]), RED[None], radius=0)
    assert np.argwhere(drawn.any(axis=2)).tolist() == [[2, 4]]
    assert drawn[2, 4].tolist() == RED.tolist()
    assert not image.any()


@pytest.mark.parametrize(("radius", "pixels"), [(0, 1), (1, 5), (1.5, 9), (2, 13)])
def test_points_are_discs(radius: float, pixels: int) -> None:
    drawn = draw_points(canvas(), np.array([[5.0, 4.0]]), RED[None], radius=radius)
    assert drawn.any(axis=2).sum() == pixels


def test_near_points_cover_far_ones_whatever_their_order() -> None:
    uv = np.array([[4.0, 4.0], [5.0, 4.0]])
    colors = np.stack([RED, GREEN])
    for depth, front in ([1.0, 9.0], RED), ([9.0, 1.0], GREEN):
        drawn = draw_points(canvas(), uv, colors, radius=1, depth=np.array(depth))
        assert (drawn[4, 4:6] == front).all()


def test_drawing_equals_a_loop_over_the_points() -> None:
    rng = np.random.default_rng(0)
    uv = rng.uniform(-3, 14, (80, 2))
    colors = rng.integers(1, 255, (80, 3)).astype(np.uint8)
    depth = rng.uniform(1, 50, 80)
    expected = canvas()
    for i in np.argsort(-depth):
        column, row = np.floor(uv[i]).astype(int)
        for y in range(9):
            for x in range(11):
                if (x - column) ** 2 + (y - row) ** 2 <= 4:
                    expected[y, x] = colors[i]
    drawn = draw_points(canvas(), uv, colors, radius=2, depth=depth)
    np.testing.assert_array_equal(drawn, expected)


def test_no_point_leaves_the_figure_as_it_is() -> None:
    drawn = draw_points(canvas(), np.zeros((0, 2)), np.zeros((0, 3), dtype=np.uint8))
    assert not drawn.any()


def test_counts_that_do_not_agree_are_refused() -> None:
    with pytest.raises(ValueError, match="as many colours"):
        draw_points(canvas(), np.zeros((2, 2)), RED[None])


def test_a_legend_shows_every_colour_and_keeps_the_height() -> None:
    palette = label_colors([str(i) for i in range(30)])
    entries = [(f"class {i}", palette[i]) for i in range(30)]
    panel = legend(entries, height=200, title="scan")
    assert panel.shape[0] == 200
    found = {tuple(color) for color in panel.reshape(-1, 3).tolist()}
    assert {tuple(color.tolist()) for _, color in entries} <= found
    assert legend([], height=50).shape[0] == 50


def test_figures_beside_each_other_are_filled_up() -> None:
    row = beside(canvas(9, 11), canvas(4, 5))
    assert row.shape == (9, 16, 3)
    assert not row[:4].any()
    assert (row[4:, 11:] == 255).all()


def test_colours_run_from_bound_to_bound_and_stay_there() -> None:
    values = np.array([-5.0, 0.0, 1.0, 9.0, np.nan])
    low, first, last, high, nothing = scale_colors(values, 0, 1, name="gray").tolist()
    assert low == first == nothing == [0, 0, 0]
    assert last == high == [255, 255, 255]
    with pytest.raises(ValueError, match="high > low"):
        scale_colors(values, 1, 1)


def test_near_depths_are_red_and_far_ones_are_not() -> None:
    near, middle, far = depth_colors(np.array([3.0, 15.0, 60.0])).astype(int)
    assert near[0] > 2 * near[2]
    assert middle[1] > max(middle[0], middle[2])
    assert far[2] > far[0]
    assert depth_colors(np.zeros(1)).shape == (1, 3)


@pytest.mark.parametrize("name", ["pandaset", "nuscenes", "semantic_kitti"])
def test_classes_can_be_told_apart_and_look_as_expected(name: str) -> None:
    names = load_label_map(name).class_names
    colors = label_colors(names).astype(int)
    assert colors.shape == (256, 3)
    classes = np.vstack([colors[: len(names)], colors[255:]])
    distance = np.abs(classes[:, None] - classes[None]).sum(-1)
    assert distance[~np.eye(len(classes), dtype=bool)].min() > 30
    assert (colors[len(names) :] == colors[255]).all()
    assert colors[names.index("vegetation")].argmax() == 1
    assert colors[names.index("car")].argmax() == 2
