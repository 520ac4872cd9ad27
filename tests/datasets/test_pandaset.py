import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.pandaset import (
    CAMERAS,
    EL_CAMINO,
    FORWARD,
    Camera,
    Drive,
    write_drive,
)
from golden_cases import DATA, needs_data
from pydantic import ValidationError

from lidistill.data_check.contents import detect_format
from lidistill.datasets.pandaset.dataset import PandaSet, PandaSetConfig
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.geometry import transform_points
from lidistill.images.files import read_image
from lidistill.projection import project

YAW_90 = {"w": 0.5**0.5, "x": 0.0, "y": 0.0, "z": 0.5**0.5}


def open_set(root: Path, **fields: object) -> PandaSet:
    return PandaSetConfig.model_validate({"root": root, **fields}).build()


@pytest.mark.parametrize("style", ["new", "old"])
def test_points_are_moved_from_the_world_to_the_vehicle(style: str, tmp_path: Path) -> None:
    # The vehicle stands at (10, 20, 1) and its x axis points along the world's y axis.
    pose = {"position": {"x": 10.0, "y": 20.0, "z": 1.0}, "heading": YAW_90}
    points = np.array([[10.0, 25.0, 1.0], [7.0, 20.0, 4.0], [0.0, 0.0, 0.0]])
    drive = Drive(
        points=points,
        intensity=np.array([7.0, 255.0, 3.0]),
        device=np.array([0, 0, 1]),
        classes=np.array([7, 30, 13]),
        pose=pose,
        style=style,  # type: ignore[arg-type]
    )
    write_drive(tmp_path, "001", drive)
    frame = open_set(tmp_path)[1]
    np.testing.assert_allclose(frame.points, [[5, 0, -1.6], [0, 3, 1.4]], atol=1e-6)
    assert frame.intensity.tolist() == [7, 255]
    assert frame.labels is not None
    assert frame.labels.tolist() == [0, 3]  # road, pedestrian
    assert (frame.frame_id, frame.sensor) == ("001/01/pandar64", "pandar64")
    assert frame.T_world_lidar is not None
    back = transform_points(frame.T_world_lidar, frame.points)
    np.testing.assert_allclose(back, points[:2], atol=1e-5)


def test_the_two_sensors_share_a_scan_without_overlap(tmp_path: Path) -> None:
    write_drive(tmp_path)
    far = open_set(tmp_path, sensor="pandargt")[0]
    near = open_set(tmp_path)[0]
    assert far.intensity.tolist() == list(range(1, 60, 2))
    assert near.intensity.tolist() == list(range(0, 60, 2))
    assert [view.name for view in far.views] == ["front_camera"]
    assert sorted(view.name for view in near.views) == sorted(CAMERAS)


def test_a_coloured_pixel_is_found_again(tmp_path: Path) -> None:
    image = np.full((32, 64, 3), 40, dtype=np.uint8)
    image[8:16, 40:48] = (250, 30, 20)
    # 10 m ahead, 3 m to the right and 1 m up: u = 32 + 40 * 0.3, v = 16 - 40 * 0.1.
    points = np.array([[10.0, -3.0, 1.0], [10.0, 3.0, 1.0], [-10.0, -3.0, 1.0]])
    cameras = {"front_camera": Camera(image=image)}
    write_drive(tmp_path, "001", Drive(points=points, device=np.zeros(3, int), cameras=cameras))
    frame = open_set(tmp_path, cameras=["front_camera"])[0]
    view = frame.views[0]
    seen = project(frame.points, K=view.K, T_cam_lidar=view.T_cam_lidar, size_hw=view.size_hw)
    np.testing.assert_allclose(seen.uv, [[44, 12], [20, 12]], atol=1e-4)
    assert seen.index.tolist() == [0, 1]
    pixel = np.floor(seen.uv + 1e-3).astype(int)
    colors = read_image(view.image_path)[pixel[:, 1], pixel[:, 0]].astype(int)
    assert np.abs(colors - [[250, 30, 20], [40, 40, 40]]).max() < 12


def test_a_camera_pose_at_the_exposure_enters_the_calibration(tmp_path: Path) -> None:
    moved = FORWARD | {"position": {"x": 2.0, "y": 0.0, "z": 0.0}}
    cameras = {"front_camera": Camera(pose=moved)}
    write_drive(tmp_path, "001", Drive(cameras=cameras))
    view = open_set(tmp_path, cameras=("front_camera",))[0].views[0]
    point = transform_points(view.T_cam_lidar, np.array([[10.0, 0.0, -1.6]]))
    np.testing.assert_allclose(point, [[0, 0, 8]], atol=1e-12)
    assert (view.size_hw, view.near_depth, view.border_px) == ((32, 64), 0, 0)


def test_a_root_named_like_its_own_parts_is_read(tmp_path: Path) -> None:
    root = tmp_path / "lidar" / "camera" / "pandaset" / "annotations" / "semseg" / "002"
    write_drive(root, "001")
    frame = open_set(root)[0]
    assert frame.labels is not None
    assert frame.views[0].image_path.is_relative_to(root / "001" / "camera")


def test_drives_are_split_by_latitude(tmp_path: Path) -> None:
    write_drive(tmp_path, "001", Drive(frames=(0,)))
    write_drive(tmp_path, "002", Drive(frames=(0,), latitude=EL_CAMINO))
    write_drive(tmp_path, "003", Drive(frames=(0,), labelled=False))
    write_drive(tmp_path, "004", Drive(frames=(0,), labelled=False, latitude=EL_CAMINO))
    assert open_set(tmp_path).frame_ids == ("001/00/pandar64",)
    assert open_set(tmp_path, split="val").frame_ids == ("002/00/pandar64",)
    assert len(open_set(tmp_path, split="all")) == 4
    assert open_set(tmp_path, split="all", drives=[3, "004"]).frame_ids[0] == "003/00/pandar64"


@pytest.mark.parametrize(
    ("frames", "expected"),
    [(None, 5), ("0-4", 3), ("0-2, 8", 3), ("6", 1), ((2, 4, 5), 2), ([8], 1)],
)
def test_frames_are_chosen_by_number(frames: object, expected: int, tmp_path: Path) -> None:
    write_drive(tmp_path, "001", Drive(frames=(0, 2, 4, 6, 8)))
    assert len(open_set(tmp_path, frames=frames)) == expected


@pytest.mark.parametrize("frames", ["a-b", "1-", "-3", "", "1--2", "0-99999999999999"])
def test_frames_that_are_no_ranges_are_refused(frames: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="neither a number nor a range"):
        PandaSetConfig(root=tmp_path, frames=frames)


@pytest.mark.parametrize(
    "fields", [{"split": "test"}, {"sensor": "velodyne"}, {"cameras": ["cam"]}, {"drive": "001"}]
)
def test_an_unknown_word_is_refused(fields: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        PandaSetConfig.model_validate({"root": tmp_path, **fields})


def test_a_drive_works_without_some_cameras_and_images(tmp_path: Path) -> None:
    folder = write_drive(tmp_path)
    shutil.rmtree(folder / "camera" / "left_camera")
    (folder / "camera" / "back_camera" / "01.jpg").unlink()
    dataset = open_set(tmp_path)
    assert [len(dataset[i].views) for i in range(3)] == [5, 4, 5]
    with pytest.raises(DatasetNotFoundError, match="3 of 3 frames lack an image, first 001/00"):
        open_set(tmp_path, images="required", missing="error")
    assert len(open_set(tmp_path, images="required")) == 3  # skip: one image will do
    shutil.rmtree(folder / "camera")
    assert open_set(tmp_path)[0].views == ()
    with pytest.raises(DatasetNotFoundError, match="none of the 3 selected frames can be used"):
        open_set(tmp_path, images="any")


def test_missing_labels_are_not_guessed(tmp_path: Path) -> None:
    folder = write_drive(tmp_path)
    (folder / "annotations" / "semseg" / "01.pkl.gz").unlink()
    dataset = open_set(tmp_path)
    assert dataset[1].labels is None
    assert dataset[2].labels is not None
    assert open_set(tmp_path, labels="none")[2].labels is None
    with pytest.raises(DatasetNotFoundError, match="1 of 3 frames lack a label file, first 001/01"):
        open_set(tmp_path, labels="required", missing="error")
    assert open_set(tmp_path, labels="required").frame_ids == ("001/00/pandar64", "001/02/pandar64")
    assert len(open_set(tmp_path, labels="required", frames="0,2")) == 2


def test_a_missing_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="is not a folder"):
        open_set(tmp_path / "nowhere")
    with pytest.raises(DatasetNotFoundError, match="no drive is there, expected folders like"):
        open_set(tmp_path)
    folder = write_drive(tmp_path)
    with pytest.raises(DatasetNotFoundError, match=f"itself is a drive, set root to {tmp_path}"):
        open_set(folder)
    with pytest.raises(DatasetNotFoundError, match="the drive 007 is not there"):
        open_set(tmp_path, drives=["001", "007"])
    with pytest.raises(DatasetNotFoundError, match="none of the frames '50-60'"):
        open_set(tmp_path, frames="50-60")
    with pytest.raises(DatasetNotFoundError, match="none of its 1 drives is in the split 'val'"):
        open_set(tmp_path, split="val")


def test_a_truncated_scan_is_named(tmp_path: Path) -> None:
    path = write_drive(tmp_path) / "lidar" / "00.pkl.gz"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(FileFormatError, match="truncated or not a gzip file") as caught:
        open_set(tmp_path)[0]
    assert str(path) in str(caught.value)


def test_an_undecodable_image_is_named(tmp_path: Path) -> None:
    path = write_drive(tmp_path) / "camera" / "front_camera" / "00.jpg"
    path.write_bytes(b"no image")
    with pytest.raises(FileFormatError, match="does not decode") as caught:
        open_set(tmp_path)[0]
    assert str(path) in str(caught.value)


def test_a_label_file_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    write_drive(tmp_path, "001", Drive(classes=np.full(59, 7)))
    with pytest.raises(FileFormatError, match=r"has 59 labels, expected 60.*00\.pkl\.gz"):
        open_set(tmp_path)[0]


def test_an_unknown_class_id_is_refused(tmp_path: Path) -> None:
    write_drive(tmp_path, "001", Drive(classes=np.where(np.arange(60) == 6, 77, 7)))
    with pytest.raises(FileFormatError, match=r"00\.pkl\.gz: unknown class id 77"):
        open_set(tmp_path)[0]
    assert open_set(tmp_path, sensor="pandargt")[0].labels is not None


def test_class_ids_that_are_no_whole_numbers_are_refused(tmp_path: Path) -> None:
    write_drive(tmp_path, "001", Drive(classes=np.full(60, 7.5)))
    with pytest.raises(FileFormatError, match="expected whole numbers"):
        open_set(tmp_path)[0]


def tables(folder: Path) -> tuple[Path, Path]:
    return folder / "lidar" / "00.pkl.gz", folder / "annotations" / "semseg" / "00.pkl.gz"


def save(points: pd.DataFrame, labels: pd.DataFrame, folder: Path) -> None:
    for table, path in zip((points, labels), tables(folder), strict=True):
        table.to_pickle(path)


SHUFFLED = np.random.default_rng(3).permutation(60)
SOME = np.flatnonzero(np.arange(60) % 3 == 0)


@pytest.mark.parametrize(
    ("points", "labels"),
    [
        pytest.param(lambda p: p, lambda s: s.iloc[SHUFFLED], id="labels in another order"),
        pytest.param(lambda p: p.iloc[SHUFFLED], lambda s: s, id="points in another order"),
        pytest.param(lambda p: p.iloc[SOME], lambda s: s.iloc[SOME], id="a part of both"),
        pytest.param(lambda p: p.iloc[SOME], lambda s: s, id="a part of the points"),
        pytest.param(lambda p: p.iloc[SOME], lambda s: s.iloc[SHUFFLED], id="part and order"),
        pytest.param(
            lambda p: p.set_index(p.index.map(str)),
            lambda s: s.set_index(s.index.map(str)).iloc[SHUFFLED],
            id="named rows",
        ),
        pytest.param(
            lambda p: p.iloc[SOME].reset_index(drop=True),
            lambda s: s.iloc[SOME].reset_index(drop=True),
            id="a new index for both",
        ),
        pytest.param(
            lambda p: p.set_index(p.index // 2), lambda s: s.set_index(s.index // 2), id="repeated"
        ),
        pytest.param(lambda p: p, lambda s: s.astype("Int64").iloc[SHUFFLED], id="nullable"),
        pytest.param(lambda p: p, lambda s: s.astype("float32"), id="floats"),
        pytest.param(lambda p: p, lambda s: s.astype(object), id="objects"),
        pytest.param(lambda p: p.astype("Float64"), lambda s: s.astype("category"), id="both"),
    ],
)
def test_each_point_has_the_label_that_the_index_gives_it(
    points: Callable[[pd.DataFrame], pd.DataFrame],
    labels: Callable[[pd.DataFrame], pd.DataFrame],
    tmp_path: Path,
) -> None:
    folder = write_drive(tmp_path)
    first = open_set(tmp_path)[0]
    assert first.labels is not None
    expected = dict(zip(first.intensity.tolist(), first.labels.tolist(), strict=True))
    before = [pd.read_pickle(path) for path in tables(folder)]
    save(points(before[0]), labels(before[1]), folder)
    found = open_set(tmp_path)[0]
    assert found.labels is not None
    assert [expected[i] for i in found.intensity.tolist()] == found.labels.tolist()


@pytest.mark.parametrize(
    ("points", "labels", "said"),
    [
        (
            lambda p: p,
            lambda s: s.set_index(s.index + 1),
            "no label for 1 of the 60 points.*first 0",
        ),
        (lambda p: p, lambda s: s.set_index(s.index // 2), "no label for 30 of the 60"),
        (
            lambda p: p.set_index(p.index // 2),
            lambda s: s.set_index(s.index // 2).iloc[SHUFFLED],
            "names repeat",
        ),
        (
            lambda p: p.iloc[SOME].reset_index(drop=True),
            lambda s: s,
            "60 labels, expected 20.*anew",
        ),
        (lambda p: p.iloc[SOME].reset_index(drop=True), lambda s: s.iloc[SOME], "no label for"),
        (lambda p: p, lambda s: s.iloc[SOME], "20 labels, expected 60"),
        (lambda p: p, lambda s: s.set_index(s.index.map(str)), "no label for 60"),
    ],
)
def test_indexes_that_do_not_fit_are_an_error(
    points: Callable[[pd.DataFrame], pd.DataFrame],
    labels: Callable[[pd.DataFrame], pd.DataFrame],
    said: str,
    tmp_path: Path,
) -> None:
    folder = write_drive(tmp_path)
    before = [pd.read_pickle(path) for path in tables(folder)]
    save(points(before[0]), labels(before[1]), folder)
    with pytest.raises(FileFormatError, match=said):
        open_set(tmp_path)[0]


def test_tables_may_be_plain_pickles(tmp_path: Path) -> None:
    folder = write_drive(tmp_path)
    expected = [open_set(tmp_path)[number] for number in range(3)]
    for path in sorted(folder.rglob("*.pkl.gz"))[1:]:  # one stays as it is
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    dataset = open_set(tmp_path)
    assert dataset.frame_ids == tuple(frame.frame_id for frame in expected)
    for number, frame in enumerate(expected):
        np.testing.assert_array_equal(dataset[number].points, frame.points)
        np.testing.assert_array_equal(dataset[number].labels, frame.labels)
    assert detect_format(tmp_path) == "pandaset"


def test_of_two_tables_of_a_frame_the_published_one_is_read(tmp_path: Path) -> None:
    path, _ = tables(write_drive(tmp_path))
    path.with_suffix("").write_bytes(b"another")
    assert len(open_set(tmp_path)) == 3
    assert len(open_set(tmp_path)[0].points) == 30


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    folder = write_drive(tmp_path)
    shutil.copy(folder / "annotations" / "semseg" / "00.pkl.gz", folder / "lidar" / "00.pkl.gz")
    with pytest.raises(FileFormatError, match=r"its column 'x' is missing.*found 'class'"):
        open_set(tmp_path)[0]


def test_points_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    write_drive(tmp_path, "001", Drive(points=np.full((4, 3), np.nan)))
    with pytest.raises(FileFormatError, match="not finite"):
        open_set(tmp_path)[0]


def test_a_scan_without_points_of_the_sensor_is_an_error(tmp_path: Path) -> None:
    write_drive(tmp_path, "001", Drive(device=np.zeros(60, dtype=int)))
    with pytest.raises(DatasetNotFoundError, match="no point of pandargt"):
        open_set(tmp_path, sensor="pandargt")[0]


@needs_data
@pytest.mark.parametrize("sensor", ["pandar64", "pandargt"])
def test_the_real_drive_has_its_road_under_its_wheels(sensor: str) -> None:
    dataset = open_set(DATA / "pandaset", sensor=sensor, drives=["002"], labels="required")
    frame = dataset[len(dataset) // 2]
    assert frame.labels is not None
    # Its ego frame has y ahead; the road within 25 m lies about 1.7 m below the origin.
    near = np.linalg.norm(frame.points[:, :2], axis=1) < 25
    road = frame.points[near & (frame.labels == dataset.label_map.class_names.index("road"))]
    assert len(road) > 1000
    assert -2.3 < np.median(road[:, 2]) < -1.4
    assert all(view.size_hw == (540, 960) for view in frame.views)
