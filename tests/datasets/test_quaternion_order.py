import logging

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lidistill.datasets.own.pose_files import read_poses
from lidistill.datasets.own.quaternion_order import named_columns, w_comes_first

UP = Rotation.identity()
DOWN = Rotation.from_euler("x", 180, degrees=True)
CAMERA = Rotation.from_euler("x", -90, degrees=True)  # a world with y down
DRIVES = {
    "round the block": np.linspace(0, 360, 50),
    "a bend": np.linspace(30, 110, 20),
    "there and back": np.r_[np.zeros(20), np.full(20, 180.0)],
    "slalom": 25 * np.sin(np.linspace(0, 20, 60)),
}


def way(yaw, world=UP, hills=4.0, seed=0):
    """Rotations of a lidar with yaw angles, on a road with hills, degrees."""
    rng = np.random.default_rng(seed)
    tilts = rng.uniform(-hills, hills, (len(yaw), 2))
    return world * Rotation.from_euler("ZYX", np.column_stack([yaw, tilts]), degrees=True)


@pytest.mark.parametrize("world", [UP, DOWN, CAMERA], ids=["up", "down", "camera"])
@pytest.mark.parametrize("yaw", DRIVES.values(), ids=DRIVES)
def test_a_turn_tells_the_order_in_every_world(yaw, world):
    quaternions = way(yaw, world).as_quat()
    assert not w_comes_first(quaternions)
    assert w_comes_first(quaternions[:, [3, 0, 1, 2]])


@pytest.mark.parametrize("yaw", [0, 40, -80])
def test_a_straight_way_is_told_by_what_is_up(yaw):
    quaternions = way(np.full(9, yaw), hills=2).as_quat()
    assert not w_comes_first(quaternions)
    assert w_comes_first(quaternions[:, [3, 0, 1, 2]])


@pytest.mark.parametrize(
    "quaternions",
    [
        np.full((5, 4), np.nan),
        np.tile([0.5, 0.5, 0.5, 0.5], (5, 1)),
        np.full((3, 4), 1e200),
        Rotation.random(200, rng=1).as_quat(),
        way(np.full(9, 180), hills=1).as_quat()[:, [3, 0, 1, 2]],  # on its feet in both orders
    ],
    ids=["NaN", "both", "long", "tumbling", "backwards"],
)
def test_where_nothing_tells_the_common_order_stays(quaternions):
    assert not w_comes_first(quaternions)


EUROC = (0, 1, 2, 3, 5, 6, 7, 4)


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("# timestamp tx ty tz qx qy qz qw", (0, 1, 2, 3, 4, 5, 6, 7)),
        ("time,x,y,z,qw,qx,qy,qz", EUROC),
        ("# TUM: timestamp x y z q_x q_y q_z q_w", (0, 1, 2, 3, 4, 5, 6, 7)),
        ("#t [ns], p_R_x [m], p_R_y [m], p_R_z [m], q_w [], q_x [], q_y [], q_z []", EUROC),
        ("stamp;rot.w;rot.x;rot.y;rot.z;pos.x;pos.y;pos.z", (0, 5, 6, 7, 2, 3, 4, 1)),
        ("# made by a tool of ours on a day in May", None),
        ("# timestamp x y z qx qy qz qz", None),
        ("", None),
    ],
)
def test_names_of_columns_are_understood(header, columns):
    assert named_columns(header) == columns


YAW = np.linspace(0, 60, 7)
XYZW = way(YAW, hills=0).as_quat()
WXYZ = XYZW[:, [3, 0, 1, 2]]


def trajectory(quaternions, header=""):
    rows = [f"{10 + i}.0 {i} 2 3 {' '.join(map(str, q))}" for i, q in enumerate(quaternions)]
    return "\n".join([*([header] if header else []), *rows]) + "\n"


@pytest.mark.parametrize(
    ("text", "said", "warned"),
    [
        (trajectory(XYZW), None, False),
        (trajectory(WXYZ), None, True),
        (trajectory(WXYZ), "wxyz", False),
        (trajectory(WXYZ, "# timestamp tx ty tz qw qx qy qz"), None, False),
        (trajectory(WXYZ, "# timestamp tx ty tz qx qy qz qw"), "wxyz", False),
        (trajectory(WXYZ, "timestamp tx ty tz qw qx qy qz"), None, False),
    ],
)
def test_every_order_gives_the_same_poses(tmp_path, caplog, text, said, warned):
    (tmp_path / "poses.txt").write_text(text)
    with caplog.at_level(logging.WARNING):
        poses, _ = read_poses(tmp_path / "poses.txt", said)
    np.testing.assert_allclose(poses[:, :3, :3], way(YAW, hills=0).as_matrix(), atol=1e-9)
    assert poses[:, :3, 3].tolist() == [[i, 2, 3] for i in range(7)]
    assert ("w, x, y, z" in caplog.text) is warned


def test_a_header_or_a_key_that_says_the_other_order_is_obeyed(tmp_path):
    file = tmp_path / "poses.txt"
    file.write_text(trajectory(WXYZ, "# timestamp tx ty tz qx qy qz qw"))
    obeyed = Rotation.from_quat(WXYZ).as_matrix()
    np.testing.assert_allclose(read_poses(file)[0][:, :3, :3], obeyed, atol=1e-9)
    file.write_text(trajectory(WXYZ))
    np.testing.assert_allclose(read_poses(file, "xyzw")[0][:, :3, :3], obeyed, atol=1e-9)
