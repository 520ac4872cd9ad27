import logging
import shutil

import numpy as np
import pytest
from fakes.semantic_kitti import P2, SIZE_HW, TR, calibration_text, default_scan, write_sequence
from faults.limits import bounded
from PIL import Image
from pydantic import ValidationError

from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.images.files import read_image
from lidistill.labels import IGNORE
from lidistill.samples.pairing import pair_view

ALL = "velodyne/000000.bin", "labels/000000.label", "image_2/000000.png"


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "velodyne" / "sequences" / "labels.bin"
    for sequence in (8, 0):
        write_sequence(root, sequence)
    return root


def read(root, **changes):
    return SemanticKittiConfig(root=root, **({"split": "all"} | changes)).build()


def test_frames_come_in_order_with_the_stored_values(root):
    dataset = read(root)
    assert dataset.frame_ids == ("00/000000", "00/000001", "08/000000", "08/000001")
    assert len(dataset) == 4
    frame = dataset[1]
    np.testing.assert_array_equal(frame.points, default_scan(1)[:, :3])
    np.testing.assert_array_equal(frame.intensity, default_scan(1)[:, 3])
    assert frame.sensor == dataset.sensor == dataset.config.sensor == "semantic_kitti"
    (view,) = frame.views
    assert (view.name, view.size_hw, view.near_x, view.border_px) == ("image_2", SIZE_HW, 1.0, 1.0)


def test_instances_are_cut_off_and_moving_classes_join_the_parked(root):
    dataset = read(root)
    assert set(dataset[0].labels) == {dataset.label_map.class_names.index("car")}
    assert dataset.label_map.num_classes == 19


@pytest.mark.parametrize("dtype", ["<f4", ">u4"])
def test_labels_of_another_type_are_not_unlabelled_points(root, dtype):
    path = root / "sequences" / "00" / "labels" / "000000.label"
    num_points = path.stat().st_size // 4
    path.write_bytes(np.full(num_points, 10, dtype).tobytes())
    with pytest.raises(FileFormatError, match="has 0 in the low 16 bits"):
        read(root)[0]
    path.write_bytes(bytes(4 * num_points))
    assert (read(root)[0].labels == IGNORE).all()


def test_a_point_falls_on_its_coloured_pixel(tmp_path):
    image = np.zeros((*SIZE_HW, 3), dtype=np.uint8)
    image[20, 52] = (250, 20, 10)
    # Seen from the grey camera the point lies 2.08 m right, 0.62 m up, 10 m ahead; P2 shifts it:
    # u = (60 * 2.08 + 40 * 10 + 6) / 10.004 = 53.05 and
    # v = (60 * -0.62 + 24 * 10 - 0.3) / 10.004 = 20.24.
    scan = np.array([[10.3, -2.09, 0.57, 0.5], [0.9, 0.0, 0.0, 0.5], [-9.0, 0, 0, 0.5]], np.float32)
    image[20, 53] = (10, 240, 30)
    write_sequence(tmp_path, 0, 1, scan=scan, image=image)
    frame = read(tmp_path)[0]
    pairs = pair_view(frame.points, frame.views[0], SIZE_HW)
    assert pairs.index.tolist() == [0]
    column, row = pairs.uv[0].astype(int)
    assert read_image(frame.views[0].image_path)[row, column].tolist() == [10, 240, 30]


def test_the_camera_matrix_and_the_shift_of_p2_give_the_same_pixels(root):
    view = read(root)[0].views[0]
    points = np.random.default_rng(0).uniform(2, 20, (20, 3))
    homogeneous = np.column_stack([points, np.ones(20)])
    direct = homogeneous @ np.vstack([TR, [0, 0, 0, 1]]).T @ np.array(P2).T
    ours = (homogeneous @ view.T_cam_lidar.T)[:, :3] @ view.K.T
    np.testing.assert_allclose(ours, direct, rtol=1e-12, atol=1e-12)


def test_poses_lead_to_the_first_scan(tmp_path):
    forward = np.eye(4)[:3].copy()
    forward[2, 3] = 1.5  # the grey camera looks along z
    write_sequence(tmp_path, 0, poses=[np.eye(4)[:3], forward])
    write_sequence(tmp_path, 1)
    frames = list(read(tmp_path))
    np.testing.assert_allclose(frames[0].T_world_lidar, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(frames[1].T_world_lidar[:3, 3], [1.5, 0, 0], atol=1e-12)
    assert frames[2].T_world_lidar is None


@pytest.mark.parametrize(
    ("split", "sequences"),
    [("train", (0, 1, 2, 3, 4, 5, 6, 7, 9, 10)), ("val", (8,)), ("test", tuple(range(11, 22)))],
)
def test_official_splits_choose_sequences(tmp_path, split, sequences):
    for sequence in range(22):
        write_sequence(tmp_path, sequence, 1)
    found = [int(frame_id[:2]) for frame_id in read(tmp_path, split=split).frame_ids]
    assert found == list(sequences)


def test_sequences_frames_and_every_narrow_the_selection(root):
    assert read(root, sequences=["08"]).frame_ids == ("08/000000", "08/000001")
    assert read(root, frames=[1]).frame_ids == ("00/000001", "08/000001")
    assert read(root, every=3).frame_ids == ("00/000000", "08/000001")


def test_the_folder_that_the_archives_unpack_into_is_found(root, tmp_path):
    shutil.move(root, tmp_path / "dataset")
    assert len(read(tmp_path)) == 4


@pytest.mark.parametrize("place", ["calib/00/calib.txt", "calib/00.txt"])
def test_the_calibration_may_lie_apart(root, place):
    (root / place).parent.mkdir(parents=True)
    shutil.move(root / "sequences" / "00" / "calib.txt", root / place)
    assert read(root, sequences=[0])[0].views


def test_a_sequence_outside_of_the_split_is_an_error(root):
    with pytest.raises(DatasetNotFoundError, match="sequence 08 is not in the split 'train'"):
        read(root, split="train", sequences=[8])
    with pytest.raises(ValidationError, match="'train', 'val', 'test' or 'all'"):
        read(root, split="valid")
    with pytest.raises(ValidationError, match="less than 22"):
        read(root, sequences=[22])


def test_absent_sequences_are_left_out_only_when_told(root, caplog):
    with pytest.raises(DatasetNotFoundError, match="no sequences/01/velodyne; found 00, 08"):
        read(root, split="train")
    with caplog.at_level(logging.WARNING):
        assert len(read(root, split="train", missing="skip")) == 2
    assert "absent sequences 01, 02" in caplog.text
    with pytest.raises(DatasetNotFoundError, match="sequences/11"):
        read(root, split="test", missing="skip")


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="has no folder sequences/"):
        read(tmp_path / "nowhere")
    (tmp_path / "sequences").mkdir()
    with pytest.raises(DatasetNotFoundError, match="no sequence with velodyne; found none"):
        read(tmp_path)


def test_frames_without_image_have_no_view(root):
    shutil.rmtree(root / "sequences" / "08" / "image_2")
    (root / "sequences" / "08" / "calib.txt").unlink()
    dataset = read(root)
    assert [len(frame.views) for frame in dataset] == [1, 1, 0, 0]
    with pytest.raises(DatasetNotFoundError, match="2 of 4 frames lack an image, first 08/000000"):
        read(root, images="required")
    distillable = read(root, images="required", missing="skip")
    assert distillable.frame_ids == ("00/000000", "00/000001")
    assert not read(root, images="none")[0].views


def test_missing_labels_are_not_guessed(root):
    (root / "sequences" / "00" / ALL[1]).unlink()
    assert read(root)[0].labels is None
    assert read(root)[1].labels is not None
    assert read(root, labels="none")[1].labels is None
    with pytest.raises(DatasetNotFoundError, match="1 of 4 frames lack a label file"):
        read(root, labels="required")
    assert len(read(root, labels="required", missing="skip")) == 3


def test_an_unknown_class_id_is_an_error(root):
    path = root / "sequences" / "00" / ALL[1]
    path.write_bytes(np.full(50, (3 << 16) + 12, dtype="<u4").tobytes())
    with pytest.raises(FileFormatError, match=r"000000\.label: unknown class id 12"):
        read(root)[0]


def test_classes_that_robo3d_adds_are_ignored(root):
    path = root / "sequences" / "00" / ALL[1]
    path.write_bytes(np.array([21, 22, 23] + [40] * 47, dtype="<u4").tobytes())
    labels = read(root)[0].labels
    assert labels[:3].tolist() == [IGNORE] * 3
    assert IGNORE not in labels[3:]


def test_labels_of_another_scan_are_an_error(root):
    path = root / "sequences" / "00" / ALL[1]
    path.write_bytes(bytes(204))
    with pytest.raises(FileFormatError, match=r"has 204 bytes, expected 200 for the 50 points"):
        read(root)[0]


@pytest.mark.parametrize(("kind", "bits"), [("u1", 8), ("<u2", 16), ("<i8", 64)])
def test_labels_of_another_width_are_told(root, kind, bits):
    path = root / "sequences" / "00" / ALL[1]
    path.write_bytes(np.frombuffer(path.read_bytes(), "<u4").astype(kind).tobytes())
    with pytest.raises(FileFormatError, match=rf"ids of {bits} bits.*write them with 32 bits"):
        read(root)[0]


@pytest.mark.parametrize("num_bytes", [0, 15, 16 * 49 + 4])
def test_a_truncated_scan_is_an_error(root, num_bytes):
    path = root / "sequences" / "00" / ALL[0]
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(FileFormatError, match=rf"000000\.bin has {num_bytes} bytes"):
        read(root)[0]


def test_a_scan_of_another_format_is_an_error(root):
    scan = np.random.default_rng(0).uniform(-30, 30, (40, 5)).astype("<f4")  # nuScenes' columns
    (root / "sequences" / "00" / ALL[0]).write_bytes(scan.tobytes())
    with pytest.raises(FileFormatError, match="remission, is not in 0 to 1"):
        read(root)[0]


def test_a_image_that_does_not_decode_is_an_error(root):
    path = root / "sequences" / "00" / ALL[2]
    path.write_bytes(b"no image")
    with pytest.raises(FileFormatError, match=r"000000\.png does not decode"):
        read(root)[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no line 'P2', found none"),
        (calibration_text().replace("Tr:", "Tr_velo:"), "no line 'Tr', found P0, P1, P2"),
        (calibration_text().replace("e+01", "e+x1"), "line P2: could not convert"),
        (calibration_text(np.array(P2)[:, :3]), "line P2 holds 9 numbers"),
        (calibration_text(np.eye(4)[:3] * 2), "is no pinhole projection"),
        (calibration_text(tr=np.ones((3, 4))), "line Tr: a transform is no rotation"),
        (calibration_text(tr=np.full((3, 4), np.nan)), "expected 12 finite"),
    ],
)
def test_a_damaged_calibration_is_an_error(root, text, said):
    (root / "sequences" / "00" / "calib.txt").write_text(text, encoding="utf-8")
    with pytest.raises(FileFormatError, match=said):
        read(root)


def test_a_missing_or_binary_calibration_is_an_error(root):
    path = root / "sequences" / "00" / "calib.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match="is not a text file"):
        read(root)
    path.unlink()
    with pytest.raises(DatasetNotFoundError, match=r"calib\.txt does not exist"):
        read(root)


@pytest.mark.parametrize("images", ["absent", "none"])
def test_points_and_labels_need_no_calibration(tmp_path, caplog, images):
    folder = write_sequence(tmp_path, 0, poses=[np.eye(4)[:3]] * 2)
    (folder / "calib.txt").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"calib\.txt does not exist"):
        read(tmp_path)
    if images == "absent":
        shutil.rmtree(folder / "image_2")
    frame = read(tmp_path, images="none" if images == "none" else "optional")[0]
    assert frame.labels is not None
    assert frame.T_world_lidar is None
    assert "left out the poses of 00, whose calib.txt is not there" in caplog.text


def test_a_sequence_without_calibration_costs_its_images_where_frames_may_be_missing(root, caplog):
    (root / "sequences" / "00" / "calib.txt").unlink()
    dataset = read(root, missing="skip")
    assert [len(frame.views) for frame in dataset] == [0, 0, 1, 1]
    assert "left out the images of 00, whose calib.txt is not there" in caplog.text
    assert read(root, missing="skip", images="required").drive_ids == ("08", "08")


def test_poses_may_lie_in_the_odometry_sets_own_folder(tmp_path):
    folder = write_sequence(tmp_path, 0, poses=[np.eye(4)[:3]] * 2)
    expected = read(tmp_path)[1].T_world_lidar
    (tmp_path / "poses").mkdir()
    (folder / "poses.txt").rename(tmp_path / "poses" / "00.txt")
    np.testing.assert_array_equal(read(tmp_path)[1].T_world_lidar, expected)


def test_an_image_that_was_resized_is_an_error(root):
    path = root / "sequences" / "00" / "image_2" / "000000.png"
    for file in path.parent.iterdir():
        with Image.open(file) as image:
            image.resize((image.width * 3 // 5, image.height * 3 // 5)).save(file)
    with pytest.raises(FileFormatError, match=r"calib\.txt: the optical axis .*was it resized"):
        read(root)[0]


def test_fewer_poses_than_scans_are_an_error(tmp_path):
    write_sequence(tmp_path, 0, poses=[np.eye(4)[:3]])
    with pytest.raises(FileFormatError, match=r"has 1 poses, expected at least 2"):
        read(tmp_path)


def test_text_files_may_begin_with_a_byte_order_mark(tmp_path):
    write_sequence(tmp_path, 0, poses=[np.eye(4)[:3]] * 2)
    for name in ("calib.txt", "poses.txt"):
        path = tmp_path / "sequences" / "00" / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read(tmp_path)[1].T_world_lidar is not None
    path.write_text("1 0 0 0\n", encoding="utf-16")
    with pytest.raises(FileFormatError, match=r"is not a text file \(it is UTF-16"):
        read(tmp_path)


POSE = "1 0 0 0 0 1 0 0 0 0 1 0\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("calib.txt", ("\x1b[2J" + "x" * 99_999 + ":1\n") * 20, id="long names"),
        pytest.param("calib.txt", "".join(f"{n}:\n" for n in range(300_000)), id="many names"),
        pytest.param("calib.txt", "P2: " + "9" * (1 << 21) + "\n", id="a long number"),
        pytest.param("calib.txt", "P2: " + "1.0 " * (1 << 19) + "\n", id="many numbers"),
        pytest.param("poses.txt", "1.0000" + "0" * (1 << 20) + "\n" + "1.5", id="cut"),
        pytest.param("poses.txt", POSE * 10_000 + "1 0\n", id="many poses"),
        pytest.param("poses.txt", POSE * 1_000_000, id="too many poses"),
    ],
)
def test_hostile_text_files_end_in_one_short_line(root, name, text):
    folder = root / "sequences" / "00"
    (folder / "poses.txt").write_text(POSE * 2)
    (folder / name).write_text(text)
    with bounded(), pytest.raises(FileFormatError) as caught:
        read(root)
    message = str(caught.value).replace(str(root), "")
    assert message.isprintable()
    assert len(message) < 400


@pytest.mark.parametrize("ending", [".jpg", ".JPEG"])
def test_images_that_were_packed_as_jpeg_are_found(root, ending):
    for path in (root / "sequences").glob("*/image_2/*.png"):
        Image.open(path).save(path.with_suffix(ending), quality=100)
        path.unlink()
    (view,) = read(root, images="required")[0].views
    assert view.image_path.suffix == ending
    assert read_image(view.image_path).shape == (*view.size_hw, 3)
