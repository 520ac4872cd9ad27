import logging
import tracemalloc

import numpy as np
import pytest

from lidistill.datasets.own.pose_files import read_poses
from lidistill.datasets.own.trajectory import nanoseconds
from lidistill.errors import FileFormatError

START = 1_700_000_000_100_000_000
TIMES = START + 1_000_000_000 * np.arange(3)
ROWS = [(time / 1e9, 10.0 * i, 0, 0, 0, 0, 0.0087, 0.99996) for i, time in enumerate(TIMES)]
WHOLE = "1 0 0 5\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def tum(form="%.9f", separator=" ", rows=ROWS):
    return "".join(separator.join(form % value for value in row) + "\n" for row in rows)


@pytest.mark.parametrize(
    "text",
    [
        tum(),
        tum("%.18e"),
        tum(separator=","),
        tum(separator=", "),
        "# timestamp tx ty tz qx qy qz qw\n\n" + tum(),
        "timestamp,tx,ty,tz,qx,qy,qz,qw\n" + tum(separator=";"),
        b"\xef\xbb\xbf" + tum().replace("\n", "\r\n").encode(),
    ],
    ids=["plain", "scientific", "commas", "comma and blank", "comment", "names", "mark"],
)
def test_trajectories_of_all_tools_are_read(tmp_path, text):
    poses, times = read_poses(write(tmp_path / "poses.txt", text))
    # The floats of the table are exact to some 120 ns.
    assert np.abs(times - TIMES).max() < 200
    assert poses[:, 0, 3].tolist() == [0, 10, 20]
    yaw = np.degrees(np.arctan2(poses[:, 1, 0], poses[:, 0, 0]))
    np.testing.assert_allclose(yaw, 0.997, atol=1e-3)


@pytest.mark.parametrize(
    ("unit", "name"), [(10**6, "milliseconds"), (10**3, "microseconds"), (1, "nanoseconds")]
)
def test_whole_numbers_too_large_for_seconds_are_smaller_units(tmp_path, caplog, unit, name):
    header = (
        "#timestamp,p_RS_R_x [m],p_RS_R_y [m],p_RS_R_z [m],q_RS_w [],q_RS_x [],q_RS_y [],q_RS_z []"
    )
    lines = [f"{t // unit},{i},0,0,0.8,0,0,0.6" for i, t in enumerate(TIMES.tolist())]
    path = write(tmp_path / "poses.txt", "\n".join([header, *lines]))
    with caplog.at_level(logging.WARNING, logger="lidistill"):
        poses, times = read_poses(path)
    assert times.tolist() == TIMES.tolist()
    np.testing.assert_allclose(poses[:, 1, 0], 0.96)
    assert caplog.messages == [f"{path}: its times are taken as {name} since 1970."]


def test_positions_on_a_map_keep_their_digits(tmp_path):
    text = "10.0 691000.25 5334000.125 519 0 0 0 1\n"
    poses, _ = read_poses(write(tmp_path / "poses.txt", text))
    assert poses[0, :3, 3].tolist() == [691000.25, 5334000.125, 519]


@pytest.mark.parametrize(
    "text",
    [
        "1 0 0 5 0 1 0 0 0 0 1 0\n",
        "1 0 0 5 0 1 0 0 0 0 1 0 0 0 0 1\n",
        "1,0,0,5,0,1,0,0,0,0,1,0\n",
        WHOLE,
        "\n".join(WHOLE.splitlines()[:2]) + "\n\n" + "\n".join(WHOLE.splitlines()[2:]),
    ],
)
def test_matrices_are_read_in_every_form(tmp_path, text):
    poses, times = read_poses(write(tmp_path / "poses.txt", text))
    assert times is None
    assert poses.shape == (1, 4, 4)
    assert poses[0, :3, 3].tolist() == [5, 0, 0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (tum(rows=[ROWS[0], ROWS[1], ROWS[1]]), "line 3 has the same time as line 2"),
        ("#\n" + tum(rows=[ROWS[1], ROWS[0]]), "line 3 has an earlier time than line 2"),
        (tum(rows=[(1e3 * r[0], *r[1:]) for r in ROWS]), "line 1: .* perhaps in milliseconds"),
        (tum(rows=[(r[0], *[np.nan] * 7) for r in ROWS]), "line 1: a rotation quaternion"),
        (tum(rows=[(*r[:4], *r[7:], *r[4:7]) for r in ROWS]).replace("0.0087", "x"), "'x.*no num"),
        (tum("%.0e"), "line 1: .* is no time but a rounded one"),
        (WHOLE.replace("0 0 0 1", "0 0 0 2"), "line 1: a transform is no rotation and shift"),
        ("1 2 3\n" * 4, r"lines of \[3\] numbers, expected 12"),
        (tum().encode("utf-16"), "it is UTF-16, expected UTF-8"),
        ("\n" * 2_000_001, "more than 2000000 lines"),
        ("", r"lines of \[\] numbers"),
    ],
)
def test_other_files_name_the_line(tmp_path, text, said):
    with pytest.raises(FileFormatError, match=said) as error:
        read_poses(write(tmp_path / "poses.txt", text))
    assert str(error.value).endswith("; mend the file.")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1700000000.1", START),
        ("1.700000000099999905e+09", START - 95),
        ("9.999999999999999e-02", 100_000_000),
        (" 0 ", 0),
        ("4611686018.427387903", (1 << 62) - 1),
        ("1.70000000000000000e+9", START - 100_000_000),
    ],
)
def test_times_are_read_to_the_nanosecond(text, time):
    assert nanoseconds(text) == time


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1700000000100", "perhaps in milliseconds"),
        ("1700000000100000", "perhaps in microseconds"),
        ("1.7000000001e18", "perhaps in nanoseconds"),
        ("4611686018.427387904", "perhaps in milliseconds"),
        ("1e300", "is no time in seconds$"),
        ("-3", "is no time in seconds$"),
        ("nan", "is no time in seconds$"),
        ("1_0", "is no time in seconds$"),
        ("١", "is no time in seconds$"),
        ("9" * 10_000, "is no time in seconds$"),
        ("1.7E+09", "is no time but a rounded one"),
    ],
)
def test_what_is_no_time_is_told(text, said):
    with pytest.raises(ValueError, match=said) as error:
        nanoseconds(text)
    assert len(str(error.value)) < 150


def test_an_hour_of_poses_is_not_too_long(tmp_path):
    poses, _ = read_poses(write(tmp_path / "poses.txt", "\n" * 720_000 + tum()))
    assert len(poses) == 3


def test_a_long_trajectory_is_read_in_little_memory(tmp_path):
    lines = (f"{i / 100:.2f} {i} 0 0 0 0 0 1\n" for i in range(100_000))
    path = write(tmp_path / "poses.txt", "".join(lines))
    tracemalloc.start()
    poses, times = read_poses(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert poses[99_999, 0, 3] == 99_999
    assert times[99_999] == 999_990_000_000
    assert most < 100 << 20
    path.write_text(path.read_text().replace("500.00 50000 ", "500.00 nan "))
    with pytest.raises(FileFormatError, match="line 50001: a transform is no rotation"):
        read_poses(path)
