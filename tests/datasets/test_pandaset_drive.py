import json
from pathlib import Path

import pytest
from fakes.pandaset import FORWARD, IDENTITY, Drive, write_drive

from lidistill.datasets.pandaset.dataset import PandaSet, PandaSetConfig
from lidistill.errors import DatasetNotFoundError, FileFormatError


def open_set(root: Path) -> PandaSet:
    return PandaSetConfig(root=root).build()


def test_poses_are_counted_by_frame_number(tmp_path: Path) -> None:
    folder = write_drive(tmp_path, "001", Drive(frames=(0, 2, 4), num_poses=5))
    write_positions(folder / "lidar" / "poses.json", [0, 10, 20, 30, 40])
    drives = open_set(tmp_path)
    assert [translation(drives[i]) for i in range(3)] == [0, 20, 40]
    (folder / "lidar" / "00.pkl.gz").unlink()
    assert translation(open_set(tmp_path)[0]) == 20


def test_poses_cut_down_to_the_files_are_taken_in_their_order(tmp_path: Path) -> None:
    folder = write_drive(tmp_path, "001", Drive(frames=(10, 2, 4)))
    write_positions(folder / "lidar" / "poses.json", [20, 40, 60])
    dataset = open_set(tmp_path)
    assert dataset.frame_ids == ("001/02/pandar64", "001/04/pandar64", "001/10/pandar64")
    assert [translation(dataset[i]) for i in range(3)] == [20, 40, 60]


def test_poses_that_fit_neither_way_are_refused(tmp_path: Path) -> None:
    folder = write_drive(tmp_path, "001", Drive(frames=(0, 2, 4)))
    write_positions(folder / "lidar" / "poses.json", [1, 2])
    with pytest.raises(FileFormatError, match="has 2 poses for 3 files numbered 00 to 04"):
        open_set(tmp_path)


def write_positions(path: Path, along_x: list[float]) -> None:
    entries = [IDENTITY | {"position": {"x": x, "y": 0.0, "z": 0.0}} for x in along_x]
    path.write_text(json.dumps(entries))


def translation(frame: object) -> float:
    return float(frame.T_world_lidar[0, 3])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "part", ["lidar/poses.json", "camera/left_camera/poses.json", "meta/gps.json"]
)
def test_a_missing_table_is_named(part: str, tmp_path: Path) -> None:
    folder = write_drive(tmp_path)
    (folder / part).unlink()
    with pytest.raises(DatasetNotFoundError, match=Path(part).name):
        open_set(tmp_path)


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("lidar/poses.json", "[{", "not readable as JSON"),
        ("lidar/poses.json", "{}", "holds a dict, expected a list"),
        ("lidar/poses.json", '[{"position": 1}, 2, 3]', "entry 0: no usable pose"),
        ("camera/left_camera/intrinsics.json", '{"fx": 1}', "no usable entry 'fy'"),
        ("meta/gps.json", "[]", "no usable 'lat'"),
        ("meta/gps.json", '[{"lat": NaN}]', "latitude is nan"),
    ],
)
def test_a_damaged_table_is_named(part: str, content: str, message: str, tmp_path: Path) -> None:
    folder = write_drive(tmp_path)
    (folder / part).write_text(content)
    with pytest.raises(FileFormatError, match=message) as caught:
        open_set(tmp_path)
    assert str(folder / part) in str(caught.value)


def test_a_pose_with_a_zero_quaternion_or_an_infinite_position_is_refused(tmp_path: Path) -> None:
    folder = write_drive(tmp_path, "001", Drive(frames=(0,)))
    path = folder / "lidar" / "poses.json"
    path.write_text(json.dumps([FORWARD | {"heading": dict.fromkeys("wxyz", 0.0)}]))
    with pytest.raises(FileFormatError, match="quaternion needs four finite numbers"):
        open_set(tmp_path)
    write_positions(path, [float("inf")])
    with pytest.raises(FileFormatError, match="is not finite"):
        open_set(tmp_path)


def test_json_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    folder = write_drive(tmp_path, "001", Drive(frames=(0, 1)))
    path = folder / "lidar" / "poses.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(open_set(tmp_path)) == 2
