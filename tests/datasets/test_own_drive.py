import logging
import re

import numpy as np
import pytest
from fakes.folder import (
    calibration,
    camera,
    write_folder,
    write_image,
    write_scan,
    write_times,
    write_yaml,
)
from fakes.scan_writers import cloud

from lidistill.datasets.own.dataset import FolderConfig
from lidistill.errors import DatasetNotFoundError, FileFormatError


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path)


def read(root, **changes):
    return FolderConfig(root=root, **changes).build()


def test_images_find_the_scan_nearest_in_time(tmp_path):
    write_yaml(tmp_path / "calibration.yaml", calibration(match="time", tolerance=0.03))
    for name in ("100.00", "100.10", "100.20"):
        write_scan(tmp_path / "scans" / f"{name}.bin", cloud(), ".bin")
    for name in ("99.96", "99.98", "100.105", "100.24"):
        write_image(tmp_path / "cameras" / "front" / f"{name}.png")
    for name in ("100000000000", "1600000000000000", "1600000000100000000"):
        write_image(tmp_path / "cameras" / "back" / f"{name}.png")
    with pytest.raises(FileFormatError, match="the name '100000000000' is no time"):
        read(tmp_path)
    (tmp_path / "cameras" / "back" / "100000000000.png").unlink()
    frames = list(read(tmp_path))
    found = [[view.image_path.stem for view in frame.views] for frame in frames]
    assert found == [["99.98"], ["100.105"], []]


def test_a_time_offset_moves_images_to_another_scan(tmp_path):
    front = camera(time_offset=0.1)
    write_yaml(tmp_path / "calibration.yaml", calibration(match="time", cameras={"front": front}))
    for folder in ("scans", "cameras/front"):
        (tmp_path / folder).mkdir(parents=True)
        write_times(tmp_path / folder, {"0": "50.0", "1": "50.1"})
    for number in range(2):
        write_scan(tmp_path / "scans" / f"{number}.bin", cloud(), ".bin")
        write_image(tmp_path / "cameras" / "front" / f"{number}.png")
    views = [frame.views for frame in read(tmp_path)]
    assert [[view.image_path.stem for view in each] for each in views] == [[], ["0"]]


@pytest.mark.parametrize(
    ("shift", "said"),
    [
        (100, r"nearest image is 0\.100 s away from 2 of 2 scans, tolerance 0\.05 s: all.*later"),
        (-70, r"nearest image is 0\.070 s away .* earlier.*time_offset \(by \+0\.070.*tolerance"),
        (3_600_000, r"nearest image is 3599\.700 to 3600\.000 s away"),
    ],
)
def test_clocks_that_are_apart_are_called_so(tmp_path, shift, said):
    write_folder(tmp_path, drives=("",))
    write_yaml(
        tmp_path / "calibration.yaml", calibration(match="time", cameras={"front": camera()})
    )
    scans = {"000000": 20_000, "000001": 20_300}  # milliseconds
    images = {n: t + shift for n, t in scans.items()}
    for folder, times in (("scans", scans), ("cameras/front", images)):
        write_times(tmp_path / folder, {n: f"{t / 1000:.3f}" for n, t in times.items()})
    for images in ("required", "any"):
        with pytest.raises(DatasetNotFoundError, match=said) as error:
            read(tmp_path, images=images)
        assert "unpack" not in str(error.value)
        assert "front: the nearest" in str(error.value)
    dataset = read(tmp_path)
    assert any("time_offset" in line for line in dataset.missing())


def test_some_scans_without_a_near_image_are_counted(tmp_path):
    write_folder(tmp_path, drives=("",))
    write_yaml(
        tmp_path / "calibration.yaml", calibration(match="time", cameras={"front": camera()})
    )
    write_times(tmp_path / "scans", {"000000": "10.0", "000001": "10.5"})
    write_times(tmp_path / "cameras" / "front", {"000000": "10.0", "000001": "10.6"})
    (line,) = read(tmp_path).unpaired_images
    assert line.startswith("front: the nearest image is 0.100 s away from 1 of 2 scans")
    assert "time_offset" in line
    assert "tolerance" in line


def ahead(metres, degrees=0.0):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin, 0, metres], [sin, cos, 0, 0], [0, 0, 1, 0]])


def write_moving(root, lines, *, exposure="10.05"):
    write_folder(root, drives=("",))
    (root / "poses.txt").write_text("# by a test\n" + "".join(f"{x}\n" for x in lines))
    write_times(root / "scans", {"000000": "10.0", "000001": "10.1"})
    write_times(root / "cameras" / "front", {"000000": exposure, "000001": "10.15"})


KITTI = [" ".join(map(str, ahead(m, d).ravel())) for m, d in ((0, 0), (2, 10))]
TUM = ["10.0 0 0 0 0 0 0 1", f"10.1 2 0 0 0 0 {np.sin(np.radians(5))} {np.cos(np.radians(5))}"]


@pytest.mark.parametrize("lines", [KITTI, TUM], ids=["kitti", "tum"])
def test_what_the_vehicle_moves_between_scan_and_image_is_part_of_the_chain(tmp_path, lines):
    write_moving(tmp_path, lines)
    frame = read(tmp_path, cameras=["front", "back"])[0]
    np.testing.assert_allclose(frame.T_world_lidar, np.eye(4), atol=1e-12)
    later = np.vstack([ahead(1, 5), [0, 0, 0, 1]])  # halfway in time
    standing = np.vstack([camera()["T_cam_lidar"], [0, 0, 0, 1]])
    np.testing.assert_allclose(
        frame.views[0].T_cam_lidar, standing @ np.linalg.inv(later), atol=1e-9
    )
    assert frame.views[1].T_cam_lidar[0, 3] == 0  # no times for this camera: taken as standing


def test_the_calibration_says_the_order_of_the_quaternions(tmp_path):
    write_moving(tmp_path, ["10.0 0 0 0 1 0 0 0", "10.1 2 0 0 0.5 0.5 0.5 0.5"])
    write_yaml(tmp_path / "calibration.yaml", calibration(pose_quaternions="wxyz"))
    np.testing.assert_allclose(read(tmp_path)[0].T_world_lidar, np.eye(4), atol=1e-12)
    write_yaml(tmp_path / "calibration.yaml", calibration(pose_quaternions="xyzw"))
    turned = np.diag([1.0, -1, -1, 1])
    np.testing.assert_allclose(read(tmp_path)[0].T_world_lidar, turned, atol=1e-12)


def test_a_jump_between_scan_and_image_is_named(tmp_path):
    still = [f"{10 + 0.1 * i:.1f} {500 * (i > 0)} 0 0 0 0 0 1" for i in range(4)]
    write_moving(tmp_path, still)
    with pytest.raises(FileFormatError, match=r"000000\.png: a transform shifts .*poses\.txt"):
        read(tmp_path, cameras=["front"])[0]


def test_motion_goes_on_behind_the_last_pose(tmp_path):
    write_moving(tmp_path, KITTI)
    view = read(tmp_path, cameras=["front"])[1].views[0]  # 0.05 s later: 1 m on, 5 degrees more
    step = np.linalg.inv(view.T_cam_lidar) @ np.vstack([camera()["T_cam_lidar"], [0, 0, 0, 1]])
    assert np.linalg.norm(step[:3, 3]) == pytest.approx(1.0)
    assert np.degrees(np.arccos(step[0, 0])) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (KITTI[:1], "has 1 poses, expected one for each of 2 scans"),
        (["1 2 3"] * 2, r"lines of \[3\] numbers"),
        ([KITTI[0], TUM[0]], r"lines of \[8, 12\] numbers"),
        ([KITTI[0], KITTI[0].replace("1.0", "word", 1)], "line 3: 'word' is no number"),
        ([KITTI[0], KITTI[0].replace("1.0", "2.0", 1)], "no rotation and shift"),
        ([KITTI[0], KITTI[0].replace("1.0", "nan", 1)], "no rotation and shift"),
        ([TUM[0], TUM[0]], "line 3 has the same time as line 2"),
        ([TUM[1], TUM[0]], r"line 3 has an earlier time than line 2 \('10.0'\)"),
        ([TUM[0], TUM[1].replace("10.1", "ten")], "line 3: 'ten' is no time"),
        ([TUM[0], TUM[1].replace("10.1", "-3")], "no time in seconds"),
        ([TUM[0], TUM[1].replace(" 2 ", " 2000 ")], r"at 20000 m/s \(the median\).*in metres, and"),
        ([" ".join(map(str, ahead(m).ravel())) for m in (0, 2000)], "at 20000 m/s .* in metres"),
        ([TUM[0].replace("10.0", "7.0"), TUM[1].replace("10.1", "7.1")], "2 scans lie outside"),
    ],
)
def test_poses_that_make_no_sense_are_an_error(tmp_path, lines, said):
    write_moving(tmp_path, lines)
    with pytest.raises(FileFormatError, match=said):
        read(tmp_path)


def test_poses_with_times_need_scans_with_times(root):
    (root / "a" / "poses.txt").write_text("\n".join(TUM))
    with pytest.raises(FileFormatError, match="has times and the scans have none"):
        read(root)


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfname,seconds\r\n000000,10.0\r\n000001,10.5\r\n",
        b"name;seconds\n000000;10,0\n000001;10,5\n",
        b"name\tseconds\n000000\t1.0000000000e+01\n000001\t1.05000000e+01\n",
        b"name,seconds\n000000.pcd,10.0\n000001.pcd,10.5\n",
    ],
)
def test_tables_of_times_are_read_as_spreadsheets_save_them(root, text):
    (root / "a" / "scans" / "times.csv").write_bytes(text)
    times = read(root).drives[0].times_ns
    assert times == {"000000": 10_000_000_000, "000001": 10_500_000_000}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,seconds\n000000,10\n000001,11\n000000,12\n", "lines 2 and 4 both give"),
        ("000000,10\n", "first line is not"),
        ("name,seconds\n000000\n", "line 2 has 1 values"),
        ("name,seconds\n000000,1e3\n", "'1e3' is no time"),
        ("name,seconds\n000000,10\n000001,10.0\n", "'000000' and '000001' have the same time"),
        ("name,seconds\n0,10\n1,11\n", "'000000', but one of '0': .* the leading zeros"),
        (
            "name,seconds\n000000,10\n000001,11\n000001.pcd,12\n",
            r"names the file '000001\.pcd' twice",
        ),
        ("name,seconds\n000000,10.0\n", "no time of '000001'; mend the file"),
    ],
)
def test_a_table_of_times_that_makes_no_sense_is_an_error(root, text, said):
    (root / "a" / "scans" / "times.csv").write_text(text)
    with pytest.raises(FileFormatError, match=said):
        read(root)


def test_files_of_the_same_time_are_refused_whatever_says_it(tmp_path):
    write_yaml(tmp_path / "calibration.yaml", calibration(match="time"))
    for name in ("100.5", "100.50"):
        write_scan(tmp_path / "scans" / f"{name}.bin", cloud(), ".bin")
    with pytest.raises(FileFormatError, match=r"scans: '100\.5' and '100\.50' have the same time"):
        read(tmp_path)


def test_names_of_13_digits_are_milliseconds(tmp_path):
    write_yaml(tmp_path / "calibration.yaml", calibration(match="time"))
    write_scan(tmp_path / "scans" / "1700000000100.bin", cloud(), ".bin")
    assert read(tmp_path).drives[0].times_ns == {"1700000000100": 1_700_000_000_100_000_000}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("7.50000000", "7.150000000", "8.0"), [50_000_000, 150_000_000, 1_000_000_000]),
        (("7.5", "7.150000000"), [5, 150_000_000]),
        (("7.05", "7.5", "7.123456789"), [50_000_000, 123_456_789, 500_000_000]),
        (("7.50", "7.25"), [250_000_000, 500_000_000]),
        (("7.5", "7.123456789"), None),
    ],
)
def test_fractions_without_leading_zeros_are_nanoseconds(tmp_path, caplog, names, expected):
    write_yaml(tmp_path / "calibration.yaml", calibration(match="time"))
    for name in names:
        write_scan(tmp_path / "scans" / f"{name}.bin", cloud(), ".bin")
    if expected is None:
        with pytest.raises(
            FileFormatError, match=r"scans: '7\.5' and '7\.123456789' may be .* nine"
        ):
            read(tmp_path)
        return
    (drive,) = read(tmp_path).drives
    assert [time - 7 * 10**9 for time in drive.times_ns.values()] == expected
    assert list(drive.scans) == drive.frames(labelled=False) == list(drive.times_ns)
    is_told = "is taken as a number of nanoseconds" in caplog.text
    assert is_told == ("150000000" in " ".join(names))


def test_moments_behind_the_year_2116_are_no_times(tmp_path):
    write_yaml(tmp_path / "calibration.yaml", calibration(match="time"))
    scan = tmp_path / "scans" / "1000000000000000001.bin"
    write_scan(scan, cloud(), ".bin")
    for name in ("9" * 19, "9" * 16, "9999999999.5"):
        scan = scan.rename(scan.with_name(f"{name}.bin"))
        with pytest.raises(FileFormatError, match=rf"scans: '?{name}.* a time of its own"):
            read(tmp_path)
    scan.rename(scan.with_name("1000000000.0.bin"))
    (tmp_path / "poses.txt").write_text(f"{'9' * 19} 0 0 0 0 0 0 1\n" * 2)
    with pytest.raises(FileFormatError, match=r"poses\.txt: line 1: 9+ nanoseconds .* year 2116"):
        read(tmp_path)


def test_images_of_other_names_than_their_scans_are_told_from_missing_ones(root, caplog):
    images = root / "a" / "cameras" / "front"
    (images / "000000.png").rename(images / "0.png")
    said = (
        r"a/front: 1 of 2 scans have no image of their name, first '000000', and 1 images no scan, "
        r"first '0\.png': name them alike"
    )
    (missing,) = [line for line in read(root).missing() if "name" in line]
    assert re.fullmatch(said + ".*", missing)
    with pytest.raises(DatasetNotFoundError, match=said) as error:
        read(root, images="required")
    assert "unpack" not in str(error.value)
    (images / "0.png").unlink()
    assert not any("name" in line for line in read(root).missing())


def test_a_folder_of_images_that_the_calibration_does_not_name_is_named(root, caplog):
    (root / "a" / "cameras" / "front").rename(root / "a" / "cameras" / "Front")
    with caplog.at_level(logging.WARNING, logger="lidistill"):
        read(root)
    assert f"{root / 'a' / 'cameras'}: left out Front: calibration.yaml names the" in caplog.text
