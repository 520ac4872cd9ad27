import numpy as np
import pytest
from PIL import Image

from lidistill.labels import LabelMap
from lidistill.records import CameraView, Frame
from lidistill.viewer.container import unpack
from lidistill.viewer.frames import pack_frame, pixels_of, small_numbers, view_frame
from lidistill.viewer.shown_frames import ShownFrames

K = np.array([[100.0, 0, 80], [0, 100, 50], [0, 0, 1]])
# x forward, y left, z up -> x right, y down, z forward
AHEAD = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def view(path="none.png"):
    return CameraView(name="front", image_path=path, size_hw=(100, 160), K=K, T_cam_lidar=AHEAD)


class OneFrame:
    frame_ids, drive_ids = ("a/0",), ("a",)
    label_map = LabelMap(name="x", class_names=("road", "car"), raw_to_train={}, raw_names={})

    def __init__(self, frame, columns=None):
        self.frame, self._columns = frame, columns or {}

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.frame

    def columns(self, index):
        return self._columns if index == 0 else {}


def frame(points, **changed):
    points = np.array(points, dtype=np.float32)
    values = {"intensity": np.arange(len(points), dtype=np.float32), **changed}
    return Frame(frame_id="a/0", sensor="own", points=points, **values)


def test_pixels_are_those_of_the_pinhole_in_quarters_of_the_image_shown():
    points = np.array([[10, 1, 0.5], [10, -2, 1], [-5, 0, 0], [10, 30, 0]], np.float32)
    uv, visible = pixels_of(points, view(), (50, 80))
    # u = 100 * -y / x + 80, v = 100 * -z / x + 50, at half the size, in quarters
    np.testing.assert_array_equal(uv[:2], [[4 * 35, 4 * 22.5], [4 * 50, 4 * 20]])
    assert uv[2:].tolist() == [[-32768, -32768]] * 2
    assert visible.tolist() == [1, 1, 0, 0]


def test_a_point_behind_another_is_marked_as_occluded():
    points = np.array([[10, 0.01, 0], [30, 0.03, 0], [30, 6, 0]], np.float32)
    assert pixels_of(points, view(), (100, 160))[1].tolist() == [1, 0, 1]


def test_points_without_a_return_are_left_out_and_the_others_know_their_row():
    whole = frame(
        [[1, 2, 3], [0, 0, 0], [np.nan] * 3, [4, 5, 6]], labels=np.array([1, 0, 0, 255], np.uint8)
    )
    extra = {"ring": np.array([3, 4, 5, 900]), "text": np.array(list("abcd")), "xyz": np.ones(4)}
    viewed = view_frame(OneFrame(whole, extra), 0)
    found = unpack(pack_frame(viewed, []))
    xyz = found["xyz"]
    np.testing.assert_allclose(xyz.array * xyz.scale, [[1, 2, 3], [4, 5, 6]], atol=1e-3)
    assert viewed.num_rows == 4
    assert found["row"].array.tolist() == [0, 3]
    assert found["class"].array.tolist() == [1, 255]
    assert found["intensity"].array.tolist() == [0, 3]
    ring = found["ring"]
    np.testing.assert_allclose(ring.zero + ring.scale * ring.array, [3, 900], atol=0.01)
    assert set(found) == {"xyz", "row", "class", "intensity", "ring", "xyz (file)"}


@pytest.mark.parametrize(
    ("values", "dtype", "error"),
    [
        ([0, 7, 254], np.uint8, 0),
        ([0, 7, 255], np.uint16, 0.01),
        ([-3, 2.5, 1e6], np.uint16, 10),
        ([5, 5, 5], np.uint8, 0),
        ([0.25, 0.25], np.uint16, 0),
        ([1.7e9 + 0.5, 1.7e9 + 0.6], np.uint16, 1e-5),
    ],
)
def test_numbers_become_small_and_stay_what_they_are(values, dtype, error):
    values = np.array(values, dtype=np.float64)
    found = small_numbers(values)
    assert found.array.dtype == dtype
    np.testing.assert_allclose(found.zero + found.scale * found.array, values, atol=error + 1e-6)


def test_the_largest_code_stands_for_no_number():
    assert small_numbers(np.array([1.0, np.nan, np.inf])).array.tolist() == [1, 255, 255]
    assert small_numbers(np.array([-1.0, np.nan, 1])).array.tolist() == [0, 65535, 65534]
    assert small_numbers(np.array([np.nan])).array.tolist() == [255]


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_all_bounds_are_none():
    found = small_numbers(np.array([1.7e308, -1.7e308, 2, np.nan]))
    assert found.array.tolist() == [255, 255, 2, 255]
    assert found.scale == 1
    told = OneFrame(frame(np.ones((400, 3))), {"odd": np.tile([1.7e308, -1.7e308, 3, 4], 100)})
    column = ShownFrames(told, [0], image_width=10).columns["odd"]
    assert 3 <= column["low"] <= column["high"] <= 4


def test_far_points_keep_their_precision():
    found = unpack(pack_frame(view_frame(OneFrame(frame([[3000, 1, 2]])), 0), []))
    assert found["xyz"].array.dtype == np.float32
    found = unpack(pack_frame(view_frame(OneFrame(frame([[300, 1.234, 2]])), 0), []))
    assert found["xyz"].array.dtype == np.int16
    assert found["xyz"].scale < 0.01
    np.testing.assert_allclose(found["xyz"].array[0, 1] * found["xyz"].scale, 1.234, atol=0.005)


def test_each_view_has_its_pixels(tmp_path):
    Image.new("RGB", (160, 100)).save(tmp_path / "a.png")
    viewed = view_frame(OneFrame(frame([[10, 0, 0]], views=(view(), view()))), 0)
    found = unpack(pack_frame(viewed, [(100, 160), (50, 80)]))
    assert found["uv0"].array.tolist() == [[320, 200]]
    assert found["uv1"].array.tolist() == [[160, 100]]
    assert found["visible1"].array.tolist() == [1]
