import io
import json
import logging

import numpy as np
import pytest
from fakes.nuscenes import CAMERAS, FakeNuScenes, default_scan, pose, token
from pydantic import ValidationError

from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.datasets.nuscenes.scenes import official_scenes
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.images.files import read_image
from lidistill.labels import IGNORE
from lidistill.samples.pairing import pair_view

SCENES = ("scene-0061", "scene-0103")
SCAN = f"samples/LIDAR_TOP/{SCENES[0]}__LIDAR_TOP__0.pcd.bin"
FRONT = f"samples/CAM_FRONT/{SCENES[0]}__CAM_FRONT__0.jpg"


@pytest.fixture
def fake(tmp_path):
    fake = FakeNuScenes(tmp_path / "samples" / "LIDAR_TOP" / "v1.0-mini.pcd.bin")
    for scene in reversed(SCENES):
        fake.add_scene(scene)
    fake.write_tables()
    return fake


def read(fake, **changes):
    options = {"version": "v1.0-mini", "split": "all"} | changes
    return NuScenesConfig(root=fake.root, **options).build()


def label_file(fake, frame=0):
    return fake.label_file(token(SCENES[0], frame, "LIDAR_TOP"))


def test_frames_come_by_scene_and_time_with_the_stored_values(fake):
    dataset = read(fake)
    expected = [f"{scene}/{token(scene, number)}" for scene in SCENES for number in (0, 1)]
    assert list(dataset.frame_ids) == expected
    assert len(dataset) == 4
    frame = dataset[1]
    np.testing.assert_array_equal(frame.points, default_scan(1)[:, :3])
    np.testing.assert_array_equal(frame.intensity, default_scan(1)[:, 3])
    assert frame.sensor == dataset.sensor == dataset.config.sensor == "nuscenes"
    assert set(frame.labels) == {dataset.label_map.class_names.index("car")}
    assert [view.name for view in frame.views] == list(CAMERAS)
    assert {(view.near_depth, view.border_px) for view in frame.views} == {(1.0, 1.0)}


def test_a_point_falls_on_its_coloured_pixel_though_the_car_moved(tmp_path):
    image = np.zeros((48, 80, 3), dtype=np.uint8)
    image[20, 52] = (250, 20, 10)
    # 2.05 m to the right of the lidar, 11 m ahead, 0.3 m up; the lidar is 0.5 m behind the camera
    # and 0.3 m above it, and the car drives 0.5 m north until the image is taken:
    # u = 40 + 60 * 2.05 / 10 = 52.3, v = 24 - 60 * 0.6 / 10 = 20.4.
    scan = np.array([[2.05, 11.0, 0.3, 9.0, 3.0], [2.05, -11.0, 0.3, 9.0, 3.0]], np.float32)
    north = [0.5**0.5, 0.0, 0.0, 0.5**0.5]
    ego = {"LIDAR_TOP": pose((400.0, 1200.0, 0.0), north)}
    ego["CAM_FRONT"] = pose((400.0, 1200.5, 0.0), north)
    fake = FakeNuScenes(tmp_path)
    fake.add_scene(SCENES[0], 1, scan=scan, ego=ego, image=image, labels=[17, 17])
    fake.write_tables()
    frame = read(fake, cameras=("CAM_FRONT",))[0]
    pairs = pair_view(frame.points, frame.views[0], (48, 80))
    assert pairs.index.tolist() == [0]
    column, row = pairs.uv[0].astype(int)
    colour = read_image(frame.views[0].image_path)[row, column]
    assert colour.tolist() == [250, 20, 10]
    world = frame.T_world_lidar @ [2.05, 11.0, 0.3, 1.0]
    np.testing.assert_allclose(world[:3], [402.05, 1212.0, 2.1])


def test_official_splits_choose_scenes(tmp_path):
    fake = FakeNuScenes(tmp_path)
    for split in ("mini_train", "mini_val"):
        for scene in official_scenes(split):
            fake.add_scene(scene, 1)
    fake.write_tables()
    for split in ("mini_train", "mini_val"):
        scenes = [frame_id.split("/")[0] for frame_id in read(fake, split=split).frame_ids]
        assert scenes == sorted(official_scenes(split))
    assert set(official_scenes("mini_val")) <= set(official_scenes("val"))


def test_the_tuning_scenes_cut_train_in_two():
    train, fit, tune = (official_scenes(name) for name in ("train", "tune_train", "tune_val"))
    assert (len(fit), len(tune)) == (600, 100)
    assert sorted(fit + tune) == sorted(train)


def test_train_validation_and_test_share_no_scene():
    train, val, test = (official_scenes(split) for split in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (700, 150, 150)
    assert len({*train, *val, *test}) == 1000


def test_scenes_and_every_narrow_the_selection(fake):
    assert read(fake, scenes=SCENES[1:]).frame_ids == read(fake).frame_ids[2:]
    assert read(fake, every=3).frame_ids == read(fake).frame_ids[::3]


def test_cameras_keep_the_order_they_are_named_in(fake):
    views = read(fake, cameras=("CAM_BACK", "CAM_FRONT"))[0].views
    assert [view.name for view in views] == ["CAM_BACK", "CAM_FRONT"]
    assert not read(fake, images="none")[0].views


def test_an_unknown_split_or_scene_is_an_error(fake):
    with pytest.raises(ValidationError, match="mini_train"):
        read(fake, split="minitrain")
    with pytest.raises(DatasetNotFoundError, match=r"'scene-0062'.*did you mean 'scene-0061'"):
        read(fake, scenes=("scene-0062",))
    with pytest.raises(DatasetNotFoundError, match=r"'scene-0061' is no scene.*split=all"):
        read(fake, split="val", scenes=("scene-0061",))


def test_scenes_absent_from_the_tables_are_left_out_only_when_told(fake, caplog):
    with pytest.raises(DatasetNotFoundError, match="lack 7 of the 8 wanted scenes"):
        read(fake, split="mini_train")
    with caplog.at_level(logging.WARNING):
        assert len(read(fake, split="mini_train", missing="skip")) == 2
    assert "left out 7 scenes" in caplog.text
    with pytest.raises(DatasetNotFoundError, match="lack 150 of the 150"):
        read(fake, split="test", missing="skip")


def test_a_missing_folder_or_version_names_what_is_there(fake, tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"holds v1.0-mini"):
        read(fake, version="v1.0-trainval")
    with pytest.raises(DatasetNotFoundError, match="holds no version"):
        NuScenesConfig(root=tmp_path / "nowhere").build()


def test_ids_of_another_order_are_not_read_as_lidarsegs(fake):
    table = fake.root / "v1.0-mini" / "category.json"
    names = read(fake).label_map.raw_names
    rows = [{"token": str(i), "name": names[i], "index": i} for i in range(32)]
    table.write_text(json.dumps(rows))
    assert len(read(fake))
    table.write_text(json.dumps([{"token": "a", "name": "vehicle.car"}]))  # without lidarseg
    assert len(read(fake))
    table.write_text(json.dumps([row | {"index": 31 - row["index"]} for row in rows]))
    with pytest.raises(FileFormatError, match=r"category\.json gives 'noise' the id 31, .*ego'"):
        read(fake)
    assert len(read(fake, labels="none"))


def test_a_missing_table_is_named(fake):
    (fake.root / "v1.0-mini" / "ego_pose.json").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"no table ego_pose\.json"):
        read(fake)


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        (SCAN, {}, "scan"),
        (FRONT, {"images": "required"}, "image"),
        (None, {"labels": "required"}, "label file"),
    ],
)
def test_missing_files_are_an_error_or_leave_their_frame_out(fake, caplog, name, options, what):
    (fake.root / name if name else label_file(fake)).unlink()
    with pytest.raises(
        DatasetNotFoundError, match=rf"1 of 4 frames lack an? {what}, first {SCENES[0]}"
    ):
        read(fake, **options)
    with caplog.at_level(logging.WARNING):
        dataset = read(fake, missing="skip", **options)
    assert len(dataset) == (4 if what == "image" else 3)  # five other cameras remain
    assert SCENES[0] in caplog.text or "1 images are missing" in caplog.text
    assert read(fake, missing="skip", cameras=("CAM_BACK",), **options)[0].labels is not None


def test_missing_labels_are_not_guessed(fake):
    label_file(fake).unlink()
    dataset = read(fake)
    assert dataset[0].labels is None
    assert dataset[1].labels is not None
    assert read(fake, labels="none")[1].labels is None


def test_a_missing_image_costs_one_view(fake):
    (fake.root / FRONT).unlink()
    assert [view.name for view in read(fake)[0].views] == list(CAMERAS[1:])


def test_nothing_left_is_an_error(fake):
    for path in (fake.root / "samples" / "LIDAR_TOP").iterdir():
        path.unlink()
    with pytest.raises(DatasetNotFoundError, match="none of the 4 selected frames"):
        read(fake, missing="skip")


def test_an_unknown_class_id_is_an_error(fake):
    label_file(fake).write_bytes(bytes([17] * 49 + [33]))
    with pytest.raises(FileFormatError, match=r"lidarseg\.bin: unknown class id 33"):
        read(fake)[0]


def test_classes_that_robo3d_adds_are_ignored(fake):
    label_file(fake).write_bytes(bytes([41, 42, 43, 44] + [30] * 46))
    labels = read(fake)[0].labels
    assert labels[:4].tolist() == [IGNORE] * 4
    assert IGNORE not in labels[4:]


def test_labels_of_another_scan_are_an_error(fake):
    label_file(fake).write_bytes(bytes(49))
    with pytest.raises(FileFormatError, match=r"has 49 bytes, expected 50 for the 50 points"):
        read(fake)[0]


@pytest.mark.parametrize("num_bytes", [0, 19, 20 * 49 + 4])
def test_a_truncated_scan_is_an_error(fake, num_bytes):
    path = fake.root / SCAN
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(FileFormatError, match=rf"{path.name} has {num_bytes} bytes"):
        read(fake)[0]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        (1, 1e30, "farther than 10000 m .* first point 7"),
        (3, np.inf, "not finite"),
        (4, 0.5, "does not count rings"),
        (4, -2, "does not count rings"),
    ],
)
def test_values_that_no_lidar_measures_are_an_error(fake, column, value, said):
    scan = default_scan(0)
    scan[7, column] = value
    (fake.root / SCAN).write_bytes(scan.tobytes())
    with pytest.raises(FileFormatError, match=said):
        read(fake)[0]


@pytest.mark.parametrize("rings", [np.arange(50) % 128, np.full(50, -1), np.zeros(50)])
def test_other_lidars_may_have_any_rings_or_none(fake, rings):
    scan = default_scan(0)
    scan[:, 4] = rings
    (fake.root / SCAN).write_bytes(scan.tobytes())
    np.testing.assert_array_equal(read(fake)[0].points, scan[:, :3])


def npy(scan):
    file = io.BytesIO()
    np.save(file, scan)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npy, "is a NumPy file"),
        (lambda scan: scan.astype("<f8").tobytes(), "is float64 records"),
        (lambda scan: scan[:, :4].astype("<f8").tobytes(), "is float64 records"),
        (lambda scan: b"# .PCD v0.7" + scan.tobytes(), "is a PCD file"),
        (lambda scan: np.ascontiguousarray(scan[:, :4]).tobytes(), "does not count rings"),
    ],
    ids=["npy", "float64", "four float64", "pcd", "four"],
)
def test_another_layout_is_named_and_nothing_is_called_damaged(fake, content, said):
    scan = default_scan(0, num_points=400)
    (fake.root / SCAN).write_bytes(content(scan))
    with pytest.raises(FileFormatError, match=said) as caught:
        read(fake)[0]
    message = str(caught.value)
    assert "5 float32" in message or "five" in message
    assert "damaged" not in message


def test_a_file_that_vanishes_after_the_start_is_named(fake):
    dataset = read(fake)
    (fake.root / SCAN).unlink()
    with pytest.raises(DatasetNotFoundError, match=r"__0\.pcd\.bin does not exist"):
        dataset[0]
