import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes.pandaset import CAMERAS, Camera, Drive, write_drive
from PIL import Image

from lidistill.data_check.check import check_dataset, check_root
from lidistill.data_check.contents import detect_format
from lidistill.data_check.drive import DriveStatistics
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.errors import DatasetNotFoundError
from lidistill.figures.colors import label_colors
from lidistill.labels import load_label_map
from lidistill.records import Frame

AHEAD = np.array([[10.0, 0.0, 0.0], [10.0, 3.0, 0.0], [-10.0, 0.0, 0.0], [10.0, -3.0, 1.0]])


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    content = Drive(
        frames=(0, 1),
        num_poses=2,
        points=AHEAD,
        device=np.array([0, 0, 0, 1]),
        classes=np.array([13, 7, 0, 7]),
        intensity=np.array([1.0, 2.0, 3.0, 50.0]),
    )
    return write_drive(tmp_path / "set", "001", content)


def test_a_complete_drive_is_counted(drive: Path) -> None:
    report = check_root(drive.parent)
    assert (report.format, report.parts, report.missing) == ("pandaset", ("001",), ())
    assert report.sound
    near, far = report.datasets
    assert (near.sensor, far.sensor) == ("pandar64", "pandargt")
    assert (near.num_frames, near.num_labelled, near.num_points) == (2, 2, (3, 3))
    assert {name: n for name, n in near.class_counts.items() if n} == {
        "road": 2,
        "car": 2,
        "ignore": 2,
    }
    assert near.camera_share == dict.fromkeys(near.camera_share, pytest.approx(2 / 3))
    assert set(near.camera_share) == set(CAMERAS)
    assert near.intensity_mean == pytest.approx(2)
    assert near.intensity_std == pytest.approx(np.std([1, 2, 3]))
    assert (far.num_points, far.camera_share) == ((1, 1), {"front_camera": 1.0})
    assert near.figures == ()


def test_overlays_show_the_points_in_their_class_colours(drive: Path, tmp_path: Path) -> None:
    report = check_root(drive.parent, tmp_path / "out")
    names = {path.name for dataset in report.datasets for path in dataset.figures}
    expected = {
        f"pandar64_{camera}_{kind}.png" for camera in CAMERAS for kind in ("depth", "label")
    }
    assert names == expected | {
        "pandargt_front_camera_depth.png",
        "pandargt_front_camera_label.png",
    }
    image = np.array(Image.open(tmp_path / "out" / "pandar64_front_camera_label.png"))
    car, road = label_colors(load_label_map("pandaset").class_names)[[9, 0]]
    assert image.shape[0] == 32
    assert (image[16, 20] == road).all()
    assert (image[16, 32] == car).all()
    plain = np.array(Image.open(tmp_path / "out" / "pandar64_front_camera_depth.png"))
    assert (plain[16, 20] != road).any()


def test_what_is_missing_is_listed(drive: Path) -> None:
    (drive / "lidar" / "00.pkl.gz").unlink()
    (drive / "annotations" / "semseg" / "01.pkl.gz").unlink()
    shutil.rmtree(drive / "camera" / "left_camera")
    (drive / "camera" / "back_camera" / "01.jpg").unlink()
    (drive / "meta" / "gps.json").unlink()
    report = check_root(drive.parent)
    assert report.missing == (
        "001: scans of 1 of 2 frames",
        "001: no labels of 1 frames: 01",
        "001/left_camera: no image of the frames all",
        "001/back_camera: no image of the frames 01",
        "001: no meta/gps.json, so its split is unknown",
    )
    assert report.sound
    assert report.datasets[0].num_labelled == 0
    assert "back_camera" not in report.datasets[0].camera_share


def test_damaged_files_are_listed_and_do_not_end_the_check(drive: Path, tmp_path: Path) -> None:
    (drive / "lidar" / "00.pkl.gz").write_bytes(b"damaged")
    image = drive / "camera" / "front_camera" / "01.jpg"
    image.write_bytes(image.read_bytes()[:-30])
    report = check_root(drive.parent, tmp_path / "out")
    assert not report.sound
    problems = report.datasets[0].problems
    assert len(problems) == 2
    assert "not a gzip file" in problems[0]
    assert f"image {image} does not decode" in problems[1]
    assert report.datasets[0].num_frames == 1


def test_the_report_can_be_written_as_json(drive: Path, tmp_path: Path) -> None:
    record = json.loads(json.dumps(check_root(drive.parent, tmp_path / "out").to_json()))
    assert record["sound"] is True
    assert record["datasets"][1]["class_counts"]["road"] == 2
    assert Path(record["datasets"][1]["figures"][0]).is_file()


def test_frames_can_be_thinned_out_evenly(tmp_path: Path) -> None:
    write_drive(tmp_path, "001", Drive(frames=tuple(range(9))))
    dataset = PandaSetConfig(root=tmp_path).build()
    seen: list[int] = []
    report = check_dataset(dataset, max_frames=3, on_frame=lambda: seen.append(1))
    assert report.num_frames == len(seen) == 3


def test_unlabelled_frames_get_no_label_overlay(tmp_path: Path) -> None:
    cameras = {"front_camera": Camera()}
    write_drive(tmp_path / "set", "001", Drive(frames=(0,), labelled=False, cameras=cameras))
    report = check_root(tmp_path / "set", tmp_path / "out")
    assert [path.name for path in report.datasets[0].figures] == ["pandar64_front_camera_depth.png"]


def test_a_folder_of_no_known_format_is_an_error(drive: Path, tmp_path: Path) -> None:
    assert detect_format(drive.parent) == "pandaset"
    with pytest.raises(DatasetNotFoundError, match="holds no data set of a known format"):
        detect_format(tmp_path)
    with pytest.raises(DatasetNotFoundError, match=f"a single drive: give {drive.parent}"):
        detect_format(drive)
    with pytest.raises(DatasetNotFoundError, match="is not a folder"):
        detect_format(tmp_path / "nowhere")


def test_labels_of_a_standing_vehicle_are_told_from_those_of_many_places() -> None:
    names = load_label_map("pandaset")

    def tally(*metres: float | None, labelled: bool = True) -> DriveStatistics:
        found = DriveStatistics(label_map=names)
        for position, way in enumerate(metres):
            pose = None if way is None else np.eye(4)
            if pose is not None:
                pose[0, 3] = way
            labels = np.zeros(4, np.uint8) if labelled else None
            points = AHEAD.astype(np.float32)
            frame = Frame(
                frame_id=str(position),
                sensor="pandar64",
                points=points,
                intensity=np.ones(4, np.float32),
                labels=labels,
                T_world_lidar=pose,
            )
            found.add(frame, position, keep=False)
        return found

    moving = tally(0, 0.5, 1.9, 2.1, 0.1, 9)
    assert moving.num_places() == 3
    assert tally(5, 5, 5.1).num_places() == 1
    assert tally(0, None, 4).num_places() is None
    assert tally(0, 4, labelled=False).num_places() is None
    assert DriveStatistics.total(names, [moving, tally(0)]).num_places() == 4
