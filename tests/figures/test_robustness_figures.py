import numpy as np
import pytest
from PIL import Image

from lidistill.figures.from_above import from_above
from lidistill.figures.heat_map import heat_map

RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_a_map_has_y_up_and_x_to_the_right():
    points = np.array([[3.0, 0, 0], [0, 7, 0], [50, 0, 0]])
    drawn = from_above(points, np.array([RED, BLUE, RED], np.uint8), reach=10, side=20)
    assert tuple(drawn[9, 13]) == RED
    assert tuple(drawn[2, 10]) == BLUE
    assert (drawn == drawn[0, 0]).all(axis=2).sum() == 20 * 20 - 2  # what is farther is left out


def test_higher_points_cover_lower_ones_and_lost_beams_nothing():
    points = np.array([[1.0, 1, 2], [1, 1, 0], [np.nan, np.nan, np.nan]])
    drawn = from_above(points, np.array([RED, BLUE, BLUE], np.uint8), reach=10, side=20)
    assert tuple(drawn[8, 11]) == RED
    assert not (drawn == BLUE).all(axis=2).any()


def test_a_heat_map_is_red_where_much_is_lost_and_pale_where_nothing_is(tmp_path):
    file = tmp_path / "figures" / "map.png"
    values = np.array([[60.0, 50.0], [20.0, 50.0]])
    heat_map(values, ["clean", "fog heavy"], ["a", "b $x$"], file)
    colors = np.asarray(Image.open(file).convert("RGB")).reshape(-1, 3).astype(int)
    redness = colors[:, 0] - colors[:, 2]
    assert redness.max() > 60
    assert (np.abs(redness) < 10).mean() > 0.5


def test_a_heat_map_of_another_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match="2 rows"):
        heat_map(np.zeros((3, 1)), ["a", "b"], ["c"], tmp_path / "map.png")
