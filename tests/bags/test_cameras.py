"""Calibration out of a bag: what camera_info and /tf_static mean."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import yaml
from fakes.bag import NUM_SCANS, POINTS, RAW, BagMaker
from fakes.folder import SIZE_HW, T_CAM_LIDAR, K
from fakes.scan_writers import cloud

from lidistill.bags.cameras import camera_entry, is_rectified
from lidistill.bags.messages import CameraInfo, Transform
from lidistill.bags.transforms import FrameTree
from lidistill.datasets.own.unpack import unpack_bag

pytest.importorskip("rosbags")
START = 1_700_000_000_000_000_000
TURN = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
P = np.array([[190.0, 0, 150, -22.8], [0, 190, 85, 0], [0, 0, 1, 0]])
BENT = (-0.3, 0.1, 0.001, 0.002, -0.02)


def info(**changes):
    whole = CameraInfo(
        height=180,
        width=320,
        model="plumb_bob",
        D=BENT,
        K=(200.0, 0, 160, 0, 200, 90, 0, 0, 1),
        R=tuple(np.eye(3).ravel()),
        P=tuple(P.ravel()),
        binning=(0, 0),
        roi=(0, 0, 0, 0),
        roi_rectified=False,
    )
    return dataclasses.replace(whole, **changes)


def entry(rectified=False, **changes):
    return camera_entry(info(**changes), rectified=rectified, frame="cam")


@pytest.mark.parametrize(
    ("topic", "rectified"),
    [
        ("/left/image_rect", True),
        ("/left/image_rect_color", True),
        ("/left/image_rect_color/compressed", True),
        ("/zed/left/color/rect/image", True),
        ("/depth/image_rect_raw", True),
        ("/cam/image_rectified", True),
        ("/director/image_raw", False),
        ("/rect_cam/image_raw", False),
        ("/rectangle/image", False),
        ("/correct/image_color", False),
    ],
)
def test_topics_are_rectified_if_a_part_of_their_name_says_so(topic, rectified):
    assert is_rectified(topic) is rectified


def test_rectified_points_fall_where_P_puts_them():
    found = entry(rectified=True, R=tuple(TURN.ravel()))
    point = np.array([0.7, -0.4, 6.0])
    expected = P @ [*(TURN @ point), 1]
    seen = np.array(found.values["K"]) @ (found.T_image_cam @ [*point, 1])[:3]
    np.testing.assert_allclose(seen / seen[2], expected / expected[2])
    assert "distortion" not in found.values
    assert "moves it by (-0.12, 0, 0) m" in found.to_do[0]


@pytest.mark.parametrize(
    ("model", "D", "distortion"),
    [
        ("plumb_bob", BENT, list(BENT)),
        ("plumb_bob", (*BENT, *[0] * 9), list(BENT)),
        ("rational_polynomial", (*BENT, 0, 0, 0), list(BENT)),
        ("rational_polynomial", [0] * 8, None),
        ("radtan", BENT[:4], list(BENT[:4])),
        ("", (), None),
    ],
)
def test_lenses_that_are_radial_tangential_are_taken(model, D, distortion):
    found = entry(model=model, D=tuple(map(float, D)))
    assert found.values.get("distortion") == distortion
    assert (found.values["K"], found.to_do) == ([[200, 0, 160], [0, 200, 90], [0, 0, 1]], ())


@pytest.mark.parametrize(
    ("model", "D"),
    [
        ("equidistant", (0.1, -0.02, 0.003, -0.001)),
        ("equidistant", (0.0, 0.0, 0.0, 0.0)),  # a fisheye bends without coefficients, too
        ("rational_polynomial", (*BENT, 0.1, 0, 0)),
        ("plumb_bob", (*BENT, *[0] * 8, 0.1)),
        ("plumb_bob", (float("nan"),) * 5),
        ("plumb_bob", BENT[:3]),
    ],
)
def test_other_lenses_are_left_to_the_user(model, D):
    found = entry(model=model, D=D)
    assert "K" not in found.values
    assert f"a lens of the model '{model}' with {len(D)} coefficients" in found.to_do[0]


@pytest.mark.parametrize(("rectified", "name"), [(False, "K"), (True, "P")])
def test_a_camera_without_calibration_is_named(rectified, name):
    found = entry(rectified=rectified, K=(0.0,) * 9, P=(0.0,) * 12)
    assert "K" not in found.values
    assert f"not calibrated ({name} is zero)" in found.to_do[0]


def test_region_and_binning_change_size_and_K():
    found = entry(roi=(40, 20, 100, 200), binning=(2, 4))
    assert found.values["size_hw"] == [25, 100]
    assert found.values["K"] == [[100, 0, 60], [0, 50, 17.5], [0, 0, 1]]
    doubtful = entry(rectified=True, roi=(40, 20, 100, 200))
    assert any("a region of the raw image" in line for line in doubtful.to_do)


def test_a_rectification_that_is_no_rotation_is_left_to_the_user():
    found = entry(rectified=True, R=(2.0, *[0.0] * 8))
    assert found.T_image_cam is None
    assert "no rotation and shift" in found.to_do[0]


def test_transforms_that_are_none_connect_nothing():
    def link(parent, child, w):
        return Transform(
            parent=parent, child=child, translation=(1.0, 2.0, 3.0), rotation=(0.0, 0.0, 0.0, w)
        )

    tree = FrameTree([link("base", "a", 1.0), link("/base", "b", 1.0), link("base", "c", 0.0)])
    np.testing.assert_allclose(tree.find("a", "/b"), np.eye(4))
    np.testing.assert_allclose(tree.find("base", "a")[:3, 3], [1, 2, 3])
    assert tree.find("c", "a") is None


def unpack(tmp_path, topic, *, tf="/tf_static", **changes):
    maker = BagMaker(2)
    names = topic.rpartition("/")[0]
    messages = [
        (tf, START, maker.static()),
        (f"{names}/camera_info", START, maker.info(START, **changes)),
        (POINTS, START, maker.points(START, cloud())),
        (topic, START, maker.image(START)),
    ]
    bag = maker.write(tmp_path / "bag", messages=messages)
    report = unpack_bag(bag, tmp_path / "out", points=POINTS, images=(topic,))
    values = yaml.safe_load((tmp_path / "out" / "calibration.yaml").read_text())
    return report, next(iter(values["cameras"].values()))


def test_R_and_P_of_a_rectified_camera_become_part_of_its_place(tmp_path):
    report, camera = unpack(tmp_path, "/stereo/right/image_rect_color", R=TURN, P=P)
    point = np.array([9.0, 1.5, -0.5])
    expected = P @ [*(TURN @ (np.array(T_CAM_LIDAR) @ [*point, 1])[:3]), 1]
    seen = np.array(camera["K"]) @ (np.array(camera["T_cam_lidar"]) @ [*point, 1])[:3]
    np.testing.assert_allclose(seen / seen[2], expected / expected[2])
    assert any("'front_optical' is the frame of the pair's first" in x for x in report.to_do)


def test_a_director_is_no_rectifier(tmp_path):
    report, camera = unpack(tmp_path, "/director/image_raw", P=P)
    np.testing.assert_allclose(camera["K"], K)
    np.testing.assert_allclose(camera["distortion"], [-0.1, 0.01, 0, 0, 0])
    assert report.to_do == ()


def test_transforms_that_may_move_are_named(tmp_path):
    report, camera = unpack(tmp_path, "/front/image_raw", tf="/tf")
    assert "T_cam_lidar" not in camera
    assert "/tf is in the bag, but may move" in report.to_do[0]


def test_images_of_another_size_than_camera_info_says_are_named(tmp_path):
    report, camera = unpack(tmp_path, "/front/image_raw", binning=(2, 2))
    assert camera["size_hw"] == [SIZE_HW[0] // 2, SIZE_HW[1] // 2]
    assert f"its images have {SIZE_HW[0]} x {SIZE_HW[1]}" in report.to_do[0]


def unpacked_with(tmp_path, change):
    """What is said of the whole drive with other messages among them."""
    maker = BagMaker(2)
    bag = maker.write(tmp_path / "bag", messages=change(maker, list(maker.messages())))
    return unpack_bag(bag, tmp_path / "out", points=POINTS, images=(RAW,))


def named(message, frame):
    message.header.frame_id = frame
    return message


def test_the_scans_of_a_second_lidar_on_the_topic_are_left_out(tmp_path):
    def add(maker, messages):
        others = [maker.points(START + n * 10**8 + 1, cloud(seed=9)) for n in range(2)]
        unnamed, slashed = (maker.points(START + 10**9 + n, cloud()) for n in (7, 8))
        return [
            *messages,
            *((POINTS, START + 9, named(scan, "lidar_right")) for scan in others),
            (POINTS, START + 10**9 + 7, named(unnamed, "")),
            (POINTS, START + 10**9 + 8, named(slashed, "/lidar_link")),
        ]

    report = unpacked_with(tmp_path, add)
    assert report.num_scans == NUM_SCANS + 2
    (note,) = report.notes
    assert "2 scans of the frame 'lidar_right' left out" in note
    assert "here 'lidar_link'" in note
    values = yaml.safe_load((tmp_path / "out" / "calibration.yaml").read_text())
    np.testing.assert_allclose(values["cameras"]["front"]["T_cam_lidar"][:3], T_CAM_LIDAR)


@pytest.mark.parametrize("frame", ["", "base_link"])
def test_one_frame_of_images_and_scans_says_nothing_about_their_place(tmp_path, frame):
    def rename(_, messages):
        return [
            (topic, ns, named(message, frame) if topic in {POINTS, RAW} else message)
            for topic, ns, message in messages
        ]

    report = unpacked_with(tmp_path, rename)
    assert any("name one frame" in line and "write T_cam_lidar" in line for line in report.to_do)
    values = yaml.safe_load((tmp_path / "out" / "calibration.yaml").read_text())
    assert "T_cam_lidar" not in values["cameras"]["front"]


def test_scans_without_a_point_are_left_out_and_counted(tmp_path):
    def add(maker, messages):
        whole = maker.points(START + 10**9, cloud())
        empty = replace(whole, height=0, width=0, row_step=0, data=whole.data[:0])
        return [*messages, (POINTS, START + 10**9, empty)]

    report = unpacked_with(tmp_path, add)
    assert (report.num_scans, report.notes) == (
        NUM_SCANS,
        ("1 scans without a point, left out",),
    )


def test_images_that_name_another_frame_are_told(tmp_path):
    def add(maker, messages):
        return [*messages, (RAW, START + 10**9, named(maker.image(START + 10**9), "back"))]

    report = unpacked_with(tmp_path, add)
    (line,) = report.to_do
    assert "cameras.front: its images name several frames, 'front_optical' and 'back'" in line


@pytest.mark.parametrize(("shift", "told"), [(1e-6, False), (0.5, True)])
def test_a_static_transform_that_changes_is_told(tmp_path, shift, told):
    def add(maker, messages):
        straight = {"w": 1.0, "x": 0, "y": 0, "z": 0}
        again = maker.transform("/base", "/lidar_link", [0, 0, 2.0 + shift], straight)
        tf = maker.make("tf2_msgs/msg/TFMessage", transforms=[again])
        return [*messages, ("/tf_static", START + 10**8, tf)]

    report = unpacked_with(tmp_path, add)
    changes = "/tf_static changes the transform of base and lidar_link within the bag"
    assert [changes in line for line in report.to_do] == [True] * told
