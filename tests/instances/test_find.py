import numpy as np
import pytest

from lidistill.errors import ConfigError, FileFormatError
from lidistill.instances.boxes import InstanceConfig, read_boxes, shipped_boxes
from lidistill.instances.find import InstanceFinder, Rule, find_instances
from lidistill.instances.rectangle import smallest_rectangle
from lidistill.labels import load_label_map, shipped_label_maps

NAMES = ("road", "car", "person")
CONFIG = InstanceConfig(boxes={"car": (4.0, 2.0), "person": (0.9, 0.9)})


def car(x, y, *, number=300, seed=0):
    rng = np.random.default_rng(seed)
    place = rng.uniform([-2, -0.9], [2, 0.9], (number, 2)) + np.array([x, y])
    return np.column_stack([place, rng.uniform(-1, 0.5, number)]).astype(np.float32)


def test_two_cars_apart_are_two_and_other_points_none():
    points = np.concatenate([car(0, 0), car(10, 0), car(5, 9)])
    classes = np.repeat([1, 1, 0], 300)
    found = InstanceFinder(CONFIG, NAMES)(points, classes)
    assert found.tolist() == [1] * 300 + [2] * 300 + [0] * 300


def test_the_distance_counts_that_is_seen_from_above():
    points = np.array([[0, 0, 0], [0.5, 0, 9], [0.5, 2.0, 0]], np.float32)
    found = InstanceFinder(CONFIG, NAMES)(points, np.ones(3, int))
    assert found.tolist() == [1, 1, 2]  # just as far as the short side is not near enough


def test_a_lone_point_and_points_at_one_place_are_objects():
    points = np.array([[0, 0, 0], [50, 0, 0], [50, 0, 0], [np.nan, 0, 0], [9, 9, 9]], np.float32)
    classes = np.array([2, 1, 1, 1, 1])
    assert InstanceFinder(CONFIG, NAMES)(points, classes).tolist() == [3, 1, 1, 0, 2]


def test_no_point_of_a_class_gives_no_object():
    none = np.zeros(0, int)
    assert InstanceFinder(CONFIG, NAMES)(np.zeros((0, 3)), none).shape == (0,)
    assert not InstanceFinder(CONFIG, NAMES)(car(0, 0), np.zeros(300, int)).any()


def test_cars_that_touch_are_cut_apart_if_wanted():
    points = np.concatenate([car(0, 0, number=40), car(5.2, 0, number=40, seed=1)])
    classes = np.ones(80, int)
    assert InstanceFinder(CONFIG, NAMES)(points, classes).max() == 1
    cut = InstanceFinder(CONFIG.changed(split=True), NAMES)(points, classes)
    assert cut.tolist() == [1] * 40 + [2] * 40


def test_a_large_cluster_that_nothing_cuts_stays_whole():
    grid = np.stack(np.meshgrid(np.arange(40), np.arange(3)), axis=-1).reshape(-1, 2) * 0.4
    rule = Rule(long=4.0, short=2.0, neighbors=32, margin=1.3)
    assert find_instances(grid, np.ones(len(grid), int), {1: rule}).max() == 1


def test_objects_are_counted_by_class_and_first_point():
    points = np.array([[30, 0, 0], [0, 0, 0], [30, 0.1, 0], [60, 0, 0]], np.float32)
    found = InstanceFinder(CONFIG, NAMES)(points, np.array([2, 1, 2, 1]))
    assert found.tolist() == [3, 1, 3, 2]


def test_as_released_takes_the_number_of_the_last_class():
    for name, expected in (("semantic_kitti", 8), ("nuscenes", 10)):
        classes = load_label_map(name).class_names
        config = shipped_boxes("auto", classes).changed(neighbors="as-released")
        assert config.num_neighbors(config.by_id(classes)) == expected
        paper = shipped_boxes(name, classes)
        assert paper.num_neighbors(paper.by_id(classes)) == 32


def test_the_last_class_is_that_of_the_boxes_as_they_are_given():
    boxes = {"car": (4.2, 1.8), "person": (0.8, 0.8), "bicycle": (1.8, 0.6)}
    classes = load_label_map("semantic_kitti").class_names
    config = InstanceConfig(boxes=boxes, neighbors="as-released")
    found = config.by_id(classes)
    assert [classes[number] for number in found] == list(boxes)
    assert config.num_neighbors(found) == classes.index("bicycle") + 1


def test_every_label_map_has_boxes_of_its_own_classes():
    for name in shipped_label_maps():
        classes = load_label_map(name).class_names
        config = shipped_boxes("auto", classes)
        assert set(config.boxes) <= set(classes)
        assert all(long >= short for long, short in config.boxes.values())


def test_the_short_side_may_come_first(tmp_path):
    (tmp_path / "boxes.yaml").write_text("car: [1.8, 4.4]\nperson: [1, 1]\n")
    assert read_boxes(tmp_path / "boxes.yaml").boxes == {"car": (4.4, 1.8), "person": (1, 1)}


@pytest.mark.parametrize(
    "text",
    ["car: 4.4", "car: [1.8]", "car: [a, b]", "car: [0, 1]", "- car", "{", "car: [.nan, 1]", "{}"],
)
def test_a_table_that_is_none_is_one_line(tmp_path, text):
    (tmp_path / "boxes.yaml").write_text(text)
    with pytest.raises(FileFormatError, match=r"boxes\.yaml") as error:
        read_boxes(tmp_path / "boxes.yaml")
    assert "\n" not in str(error.value)


def test_boxes_of_strange_classes_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'car'"):
        InstanceFinder(InstanceConfig(boxes={"cars": (4, 2)}), NAMES)
    with pytest.raises(ConfigError, match="--boxes FILE"):
        shipped_boxes("auto", NAMES)
    with pytest.raises(ConfigError, match="semantic_kitti"):
        shipped_boxes("semantickitti", NAMES)


def test_the_smallest_rectangle_is_found_whatever_way_it_is_turned():
    rng = np.random.default_rng(0)
    corners = np.array([[2, 1], [-2, 1], [-2, -1], [2, -1]])
    inside = rng.uniform([-2, -1], [2, 1], (50, 2))
    for angle in (0.0, 0.3, 1.2, 2.5):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        box = smallest_rectangle(np.concatenate([corners, inside]) @ turn.T + [5, 7])
        assert box.long == pytest.approx(4)
        assert box.short == pytest.approx(2)
        assert box.center == pytest.approx((5, 7))
        assert np.sin(box.heading - angle) == pytest.approx(0, abs=1e-9)


def test_points_on_a_line_have_no_rectangle():
    assert smallest_rectangle(np.stack([np.arange(5.0), np.arange(5.0)], axis=1)) is None
    assert smallest_rectangle(np.zeros((2, 2))) is None
