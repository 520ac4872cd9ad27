import shutil

import numpy as np
import pytest
from fakes.batches import waffle
from fakes.folder import (
    LABELS,
    SIZE_HW,
    calibration,
    camera,
    write_drive,
    write_folder,
    write_image,
    write_scan,
    write_yaml,
)
from fakes.scan_writers import WRITERS, cloud, npy, ply
from numpy.lib import recfunctions
from pydantic import ValidationError

from lidistill.datasets.own.dataset import FolderConfig
from lidistill.datasets.sensors import SENSORS
from lidistill.errors import DatasetNotFoundError, FileFormatError, UnknownNameError
from lidistill.images.files import read_image
from lidistill.labels import IGNORE
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import scan_sample
from lidistill.samples.pairing import pair_view

SCAN, LABEL, IMAGE = "scans/000000.pcd", "labels/000000.label", "cameras/front/000000.png"


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / "scans" / "cameras" / "drive.pcd")


def read(root, **changes):
    return FolderConfig(root=root, **changes).build()


def test_a_recording_without_drives_is_one_scene(tmp_path):
    root = tmp_path / "yard"
    write_folder(root, drives=("",))
    alone = read(root)
    assert len(alone) > 1
    assert set(alone.drive_ids) == {"yard"}
    assert alone.parts.drives == ("yard",)


def test_a_frame_says_when_its_scan_was_taken_where_the_recording_does(root):
    (root / "a" / "scans" / "times.csv").write_text("name,seconds\n000000,10\n000001,10.5\n")
    dataset = read(root)
    assert [dataset[i].time for i in range(4)] == [10.0, 10.5, None, None]


def test_frames_come_in_order_with_the_stored_values(root):
    dataset = read(root)
    assert dataset.frame_ids == ("a/000000", "a/000001", "b/000000", "b/000001")
    assert len(dataset) == 4
    table, frame = cloud(seed=1), dataset[1]
    np.testing.assert_array_equal(frame.points[:, 2], table["z"])
    np.testing.assert_array_equal(frame.intensity, table["intensity"])
    assert frame.sensor == dataset.sensor == dataset.config.sensor == "own"
    assert [(view.name, view.size_hw) for view in frame.views] == [
        ("back", SIZE_HW),
        ("front", SIZE_HW),
    ]
    assert frame.labels[:3].tolist() == [0, 1, IGNORE]
    assert dataset.label_map.class_names == ("car", "road")


def test_the_root_may_be_the_only_drive(tmp_path):
    assert read(write_folder(tmp_path, drives=("",))).frame_ids == ("000000", "000001")


def test_a_point_falls_on_its_coloured_pixel(tmp_path):
    image = np.zeros((*SIZE_HW, 3), dtype=np.uint8)
    # Front camera: the point lies 2.1 m right, 0.8 m up and 9.7 m ahead of it;
    # u = 60 * 2.1 / 9.7 + 40 = 52.99 and v = -60 * 0.8 / 9.7 + 24 = 19.05.
    image[19, 52] = (10, 240, 30)
    table = cloud(3)
    for name, values in {"x": (10.0, 0.2, -9), "y": (-2.0, 0, 40), "z": (0.6, 0, 0)}.items():
        table[name] = values
    frame = read(write_folder(tmp_path, table=table, image=image), cameras=["front"])[0]
    pairs = pair_view(frame.points, frame.views[0], SIZE_HW)
    assert pairs.index.tolist() == [0]
    column, row = pairs.uv[0].astype(int)
    assert read_image(frame.views[0].image_path)[row, column].tolist() == [10, 240, 30]


def test_distortion_moves_the_pixel(root):
    straight = read(root, cameras=["front"])[0]
    lens = camera(distortion=[-0.1, 0.01, 0.002, -0.001])
    write_yaml(root / "calibration.yaml", calibration(cameras={"front": lens}))
    bent = read(root)[0]
    np.testing.assert_array_equal(bent.views[0].distortion, [-0.1, 0.01, 0.002, -0.001, 0])
    pixels = [pair_view(f.points, f.views[0], (480, 800)).uv for f in (straight, bent)]
    assert not np.array_equal(*pixels)


@pytest.mark.parametrize("writer", sorted(WRITERS))
def test_scans_may_have_any_format(tmp_path, writer):
    write_folder(tmp_path, drives=("a",))
    (tmp_path / "a" / SCAN).unlink()
    suffix = writer[writer.index(".") :]
    write_scan(tmp_path / "a" / "scans" / f"000000{suffix}", cloud(), writer)
    frame = read(tmp_path)[0]
    np.testing.assert_array_equal(frame.points[:, 0], cloud()["x"])
    assert len(frame.views) == 2


def test_statistics_of_the_users_own_standardise_the_intensity(root):
    frame = read(root)[0]
    assert frame.intensity_statistics == (127.0, 74.0)
    sample = scan_sample(frame, SamplingConfig(), waffle())
    expected = (frame.intensity[sample.source.numpy()] - 127) / 74
    np.testing.assert_allclose(sample.features[:, 0], expected, rtol=1e-6)


def test_without_statistics_the_command_that_computes_them_is_named(root):
    (root / "statistics.yaml").unlink()
    frame = read(root)[0]
    with pytest.raises(UnknownNameError, match="lidistill data stats"):
        scan_sample(frame, SamplingConfig(), waffle())


def test_a_known_sensor_brings_its_own_statistics(root):
    (root / "statistics.yaml").unlink()
    frame = read(root, sensor="pandar64")[0]
    assert frame.sensor in SENSORS
    assert frame.intensity_statistics is None


def test_the_intensity_column_is_named_or_given_up(root):
    table = recfunctions.rename_fields(cloud(), {"intensity": "signal"})
    for path in [*root.glob("*/scans/*"), *root.glob("*/labels/000001*")]:
        path.unlink()
    write_scan(root / "a" / "scans" / "000000.npy", table, ".npy")
    write_scan(root / "b" / "scans" / "000000.npy", table, ".npy")
    with pytest.raises(FileFormatError, match="has no intensity among x, y, z, signal"):
        read(root)[0]
    write_yaml(root / "calibration.yaml", calibration(intensity="signal"))
    np.testing.assert_array_equal(read(root)[0].intensity, table["signal"])
    write_yaml(root / "calibration.yaml", calibration(intensity="none"))
    frame = read(root)[0]
    assert frame.intensity is None
    assert frame.intensity_statistics is None


def test_intensity_that_plays_no_part_may_be_anything(root):
    table = cloud()
    table["intensity"] = np.nan
    write_scan(root / "a" / "scans" / "000000.pcd", table, "_binary.pcd")
    with pytest.raises(FileFormatError, match="none of its intensities"):
        read(root)[0]
    write_yaml(root / "calibration.yaml", calibration(intensity="none"))
    dataset = read(root)
    assert np.isfinite(dataset[0].points).all()
    assert set(dataset.columns(0)) == {"ring", "time"}


def test_labels_may_be_arrays_or_a_column_of_the_scan(root):
    path = root / "a" / LABEL
    path.with_suffix(".npy").write_bytes(npy(np.full(40, 40, dtype=np.uint16)))
    path.unlink()
    assert read(root)[0].labels.tolist() == [1] * 40
    for wrong in (40.5, np.nan, np.inf, 1e300):
        path.with_suffix(".npy").write_bytes(npy(np.full(40, wrong)))
        with pytest.raises(FileFormatError, match=r"ids are float64 of .* whole number for each"):
            read(root)[0]
    path.with_suffix(".npy").write_bytes(npy(np.full(39, 40)))
    with pytest.raises(FileFormatError, match="for each of the 40 points"):
        read(root)[0]
    ids = {int(ring): "car" for ring in np.unique(cloud()["ring"])}
    write_yaml(root / "labels.yaml", {"classes": ["car"], "ids": ids, "column": "ring"})
    assert read(root)[0].labels.tolist() == [0] * 40
    write_yaml(root / "labels.yaml", {"classes": ["car"], "ids": ids, "column": "kind"})
    with pytest.raises(FileFormatError, match=r"no column 'kind' of class ids among ring, time"):
        read(root)[0]


def test_labels_may_be_floats_as_some_tools_write_every_column(root):
    table = cloud()
    kinds = np.resize([40, 10, 0], len(table)).astype(np.float32)
    labelled = recfunctions.append_fields(table, "scalar_kind", kinds, usemask=False)
    scan = root / "a" / "scans" / "000000.ply"
    scan.write_bytes(ply(labelled, "binary_little_endian"))
    scan.with_suffix(".pcd").unlink()
    write_yaml(root / "labels.yaml", LABELS | {"column": "scalar_kind"})
    assert read(root, drives=["a"])[0].labels[:3].tolist() == [1, 0, 255]


def test_a_shipped_table_may_name_the_classes(root):
    write_yaml(root / "labels.yaml", {"table": "semantic_kitti"})
    dataset = read(root)
    names = [dataset.label_map.class_names[i] for i in dataset[0].labels[:2]]
    assert names == ["car", "road"]


def test_missing_labels_are_not_guessed(root):
    (root / "a" / LABEL).unlink()
    assert read(root)[0].labels is None
    assert read(root)[1].labels is not None
    assert read(root, labels="none")[1].labels is None
    with pytest.raises(DatasetNotFoundError, match="1 of 4 frames lack a label file"):
        read(root, labels="required")
    assert len(read(root, labels="required", missing="skip")) == 3


def test_labels_whose_scan_is_absent_are_told(root):
    (root / "a" / "scans" / "000001.pcd").unlink()
    with pytest.raises(DatasetNotFoundError, match="1 of 4 frames lack a scan, first a/000001"):
        FolderConfig(root=root).build()
    assert len(FolderConfig(root=root, missing="skip").build()) == 3
    assert len(FolderConfig(root=root, labels="none").build()) == 3


@pytest.mark.parametrize("dtype", ["<f4", ">u4"])
def test_labels_of_another_type_are_not_class_0(root, dtype):
    path = root / "a" / "labels" / "000000.label"
    ids = np.frombuffer(path.read_bytes(), "<u4") & 0xFFFF
    path.write_bytes(ids.astype(dtype).tobytes())
    looks = "float32" if dtype == "<f4" else "big-endian"
    with pytest.raises(FileFormatError, match=f"000000.label has 0 in .* looks like .*{looks}"):
        read(root)[0]
    path.write_bytes(bytes(4 * len(ids)))
    assert (read(root)[0].labels == IGNORE).all()


def test_labels_without_a_table_are_an_error(root):
    (root / "labels.yaml").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"has labels, and no labels\.yaml"):
        read(root)
    assert read(root, labels="none")[0].labels is None


def test_looking_at_labels_without_a_table_leaves_them_out(root, caplog):
    assert FolderConfig.everything(root)[0].labels == "optional"
    (root / "labels.yaml").unlink()
    (config,) = FolderConfig.everything(root)
    assert "has labels, and no labels.yaml that says what they mean: they are not" in caplog.text
    assert config.build()[0].labels is None
    caplog.clear()
    for drive in "ab":
        shutil.rmtree(root / drive / "labels")
        (root / drive / "labels").mkdir()
    assert FolderConfig.everything(root)[0].labels == "optional"
    assert not caplog.messages


def test_an_unknown_class_id_is_an_error(root):
    (root / "a" / LABEL).write_bytes(np.full(40, 11, dtype="<u4").tobytes())
    with pytest.raises(FileFormatError, match=r"000000\.label: unknown class id 11"):
        read(root)[0]


@pytest.mark.parametrize("name", [SCAN, LABEL, IMAGE])
def test_truncated_files_are_an_error(root, name):
    path = root / "a" / name
    path.write_bytes(path.read_bytes()[: 7 if name == IMAGE else -7])
    with pytest.raises(FileFormatError, match=path.name):
        read(root)[0]


def test_a_image_of_another_size_is_an_error(root):
    write_image(root / "a" / IMAGE, np.zeros((20, 30, 3), dtype=np.uint8))
    with pytest.raises(FileFormatError, match=r"is 20 x 30 .* expected size_hw \[48, 80\]"):
        read(root)[0]


def test_frames_without_image_have_no_view(root):
    for path in root.glob("a/cameras/*/000000.png"):
        path.unlink()
    assert [len(frame.views) for frame in read(root)] == [0, 2, 2, 2]
    with pytest.raises(DatasetNotFoundError, match="1 of 4 frames lack an image, first a/000000"):
        read(root, images="required")
    assert not read(root, images="none")[1].views


def test_lists_split_drives_and_frames(root):
    (root / "splits").mkdir()
    (root / "splits" / "train.txt").write_text("# by hand\na\nb/000001\n")
    (root / "splits" / "val.txt").write_text("b/000000\n")
    assert read(root, split="train").frame_ids == ("a/000000", "a/000001", "b/000001")
    assert read(root, split="val").frame_ids == ("b/000000",)
    assert len(read(root)) == 4
    with pytest.raises(DatasetNotFoundError, match="none of the 2 selected frames"):
        read(root, split="val", drives=["a"])
    (root / "splits" / "val.txt").write_text("c\n")
    with pytest.raises(DatasetNotFoundError, match="names 'c', which is no drive"):
        read(root, split="val")
    (root / "splits" / "val.txt").write_text("../a\n")
    with pytest.raises(DatasetNotFoundError, match=r"'\.\./a', which is no drive"):
        read(root, split="val")
    (root / "splits" / "val.txt").write_text("a\n")
    with pytest.raises(DatasetNotFoundError, match="both lists name 'a'"):
        read(root, split="val")


def test_a_drive_in_one_list_and_its_frame_in_the_other_are_refused(root):
    (root / "splits").mkdir()
    for whole, part in (("train", "val"), ("val", "train")):
        (root / "splits" / f"{whole}.txt").write_text("b\n")
        (root / "splits" / f"{part}.txt").write_text("a\nb/000001\n")
        with pytest.raises(DatasetNotFoundError, match="drive 'b', the other its frame 'b/000001'"):
            read(root, split=whole)


@pytest.mark.parametrize(("there", "absent"), [("train", "val"), ("val", "train")])
def test_what_the_only_list_does_not_name_is_the_other_split(root, there, absent):
    (root / "splits").mkdir()
    (root / "splits" / f"{there}.txt").write_text("a\nb/000001\n")
    for fraction in (None, 0.5):  # which has no say where there is a list
        listed = read(root, split=there, val_fraction=fraction).frame_ids
        assert listed == ("a/000000", "a/000001", "b/000001")
        assert read(root, split=absent, val_fraction=fraction).frame_ids == ("b/000000",)
    (root / "splits" / f"{there}.txt").write_text("a\nb\n")
    with pytest.raises(DatasetNotFoundError, match=rf"'{absent}'; .* change splits/{there}\.txt"):
        read(root, split=absent)


def test_a_share_of_the_drives_validates(tmp_path):
    write_folder(tmp_path, drives=("a", "b", "c", "d"), num_frames=1)
    parts = {
        split: read(tmp_path, split=split, val_fraction=0.3).frame_ids for split in ("train", "val")
    }
    assert parts == {"train": ("a/000000", "b/000000"), "val": ("c/000000", "d/000000")}
    narrowed = read(tmp_path, split="val", val_fraction=0.3, drives=["b", "c"])
    assert narrowed.frame_ids == ("c/000000",)
    with pytest.raises(DatasetNotFoundError, match=r"has no splits/val\.txt"):
        read(tmp_path, split="val")
    with pytest.raises(ValidationError, match="'train', 'val' or 'all'"):
        read(tmp_path, split="test")


def test_drives_cameras_and_every_narrow_the_selection(root):
    assert read(root, drives=["b"]).frame_ids == ("b/000000", "b/000001")
    assert read(root, every=3).frame_ids == ("a/000000", "b/000001")
    assert [view.name for view in read(root, cameras=["back"])[0].views] == ["back"]
    with pytest.raises(DatasetNotFoundError, match="not c"):
        read(root, drives=["a", "c"])
    with pytest.raises(DatasetNotFoundError, match="has no camera 'left', found back, front"):
        read(root, cameras=["left"])


def test_missing_folders_are_an_error(tmp_path, root):
    with pytest.raises(DatasetNotFoundError, match="is not a folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(DatasetNotFoundError, match="holds neither"):
        read(root / "a" / "labels")
    write_drive(root)
    with pytest.raises(DatasetNotFoundError, match="holds both"):
        read(root)
    (tmp_path / "empty" / "scans").mkdir(parents=True)
    with pytest.raises(DatasetNotFoundError, match=r"calibration\.yaml does not exist"):
        read(tmp_path / "empty")
    write_yaml(tmp_path / "empty" / "calibration.yaml", {})
    with pytest.raises(DatasetNotFoundError, match="holds no scan"):
        read(tmp_path / "empty")


def test_a_drive_may_have_a_calibration_of_its_own(root):
    moved = camera(T_cam_lidar=[[0, -1, 0, 0.5], [0, 0, -1, 0], [1, 0, 0, 0]])
    write_yaml(root / "b" / "calibration.yaml", calibration(cameras={"front": moved}))
    shifts = [frame.views[-1].T_cam_lidar[0, 3] for frame in read(root)]
    assert shifts == [0.1, 0.1, 0.5, 0.5]
