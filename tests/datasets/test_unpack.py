import dataclasses
import os

import numpy as np
import pytest
import yaml
from fakes.bag import NUM_SCANS, PACKED, POINTS, RAW, BagMaker, image
from fakes.folder import T_CAM_LIDAR, K
from fakes.scan_writers import cloud

from lidistill.datasets.own.dataset import FolderConfig
from lidistill.datasets.own.unpack import camera_name, unpack_bag
from lidistill.errors import ConfigError, DatasetNotFoundError, FileFormatError, MissingPackageError
from lidistill.images.files import read_image

pytest.importorskip("rosbags")
BAGS = {"ros1": (1, "drive.bag", {}), "sqlite": (2, "drive", {}), "mcap": (2, "m", {"mcap": True})}


@pytest.fixture(params=sorted(BAGS))
def bag(request, tmp_path):
    version, name, options = BAGS[request.param]
    path = BagMaker(version).write(tmp_path / name, **options)
    return next(path.glob("*.mcap")) if request.param == "mcap" else path


def unpack(bag, tmp_path, **changes):
    options = {"points": POINTS, "images": (RAW, PACKED)} | changes
    return unpack_bag(bag, tmp_path / "out", **options)


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", ["x.bag", "x.mcap", "x/x.db3"])
def test_what_may_never_end_is_no_bag(tmp_path, name, kind):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    bag = path.parent if name.startswith("x/") else path
    with pytest.raises(FileFormatError, match=f"{path.name} is a folder, a pipe or a device"):
        unpack(bag, tmp_path)


def test_an_mcap_record_that_claims_more_than_any_memory_is_an_error(tmp_path):
    (path,) = BagMaker(2).write(tmp_path / "m", mcap=True).glob("*.mcap")
    content = bytearray(path.read_bytes())
    length = int.from_bytes(content[9:17], "little")  # of the record in front of the first chunk
    content[17 + length + 1 : 17 + length + 9] = (1 << 62).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"claims more bytes than the file has.*mcap recover"):
        unpack(path, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_bag_becomes_a_folder_that_is_read(bag, tmp_path):
    report = unpack(bag, tmp_path)
    assert report.num_scans == NUM_SCANS
    assert report.num_images == {"front": NUM_SCANS, "back": NUM_SCANS}
    assert [line.split(": ")[1] for line in report.to_do] == ["cameras.back"] * 2
    path = report.root / "calibration.yaml"
    values = yaml.safe_load(path.read_text())
    with pytest.raises(FileFormatError, match=r"cameras\.back\.size_hw: Field required"):
        FolderConfig(root=report.root).build()
    values["cameras"]["back"] = values["cameras"]["front"]
    path.write_text(yaml.safe_dump(values))
    dataset = FolderConfig(root=report.root, images="required").build()
    assert len(dataset) == NUM_SCANS
    for number, frame in enumerate(dataset):
        table = cloud(seed=number)
        np.testing.assert_array_equal(frame.points[:, 1], table["y"])
        np.testing.assert_array_equal(frame.intensity, table["intensity"])
        back, front = frame.views
        np.testing.assert_array_equal(read_image(front.image_path), image())
        assert back.image_path.suffix == ".jpg"
        np.testing.assert_allclose(front.T_cam_lidar[:3], T_CAM_LIDAR, atol=1e-12)
        np.testing.assert_allclose(front.K, K)
        np.testing.assert_allclose(front.distortion, [-0.1, 0.01, 0, 0, 0])


@pytest.mark.parametrize("encoding", ["bgr8", "mono16"])
def test_images_without_a_pixel_are_left_out(tmp_path, encoding):
    maker = BagMaker(2)
    blank = {"height": 0, "width": 0, "step": 0, "data": np.zeros(0, dtype=np.uint8)}
    messages = list(maker.messages())
    start = messages[0][1]
    none = dataclasses.replace(maker.compressed(start), data=blank["data"])
    messages += [
        (RAW, start, maker.image(start, encoding, **blank)),
        (PACKED, start, none),
        (RAW, start + 10**9, maker.image(start + 10**9, "mono16", np.zeros((48, 160), np.uint8))),
    ]
    report = unpack(maker.write(tmp_path / "bag", messages=messages), tmp_path)
    assert report.num_images == {"front": NUM_SCANS + 1, "back": NUM_SCANS}
    assert "2 images without a pixel, left out" in report.notes
    claims = blank | {"height": 48, "width": 80}
    bag = one_message(tmp_path, RAW, lambda maker: maker.image(start, **claims))
    with pytest.raises(FileFormatError, match="0 bytes for an image of 48 rows"):
        unpack(bag, tmp_path / "damaged")


def test_a_topic_that_is_not_there_is_an_error(bag, tmp_path):
    with pytest.raises(ConfigError, match=rf"'/lidar/point' is not in the bag.*{POINTS}"):
        unpack(bag, tmp_path, points="/lidar/point")
    with pytest.raises(
        ConfigError, match=r"is a sensor_msgs/PointCloud2 written as .*, expected sensor_msgs/Image"
    ):
        unpack(bag, tmp_path, images=(POINTS,))
    with pytest.raises(ConfigError, match=r"is a sensor_msgs/Image .*, expected sensor_msgs/Point"):
        unpack(bag, tmp_path, points=RAW, images=(RAW,))
    assert not (tmp_path / "out").exists()


def test_a_damaged_bag_is_an_error(bag, tmp_path):
    path = next(bag.glob("*.db3")) if bag.is_dir() else bag
    content = path.read_bytes()
    for number, changed in enumerate((content[:100], b"", b"x" * 5000)):
        path.write_bytes(changed)
        with pytest.raises(FileFormatError, match=str(bag)):
            unpack(bag, tmp_path / str(number))


def test_output_that_is_not_empty_is_left_alone(bag, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not an empty folder"):
        unpack(bag, tmp_path)


def test_a_bag_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="does not exist"):
        unpack(tmp_path / "gone.bag", tmp_path)


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    bag = BagMaker(1).write(tmp_path / "drive.bag", pack="LZ4")
    monkeypatch.setitem(__import__("sys").modules, "lz4.frame", None)
    with pytest.raises(MissingPackageError, match=r"extra \[ros\]"):
        unpack(bag, tmp_path)


def one_message(tmp_path, topic, message):
    maker = BagMaker(2)
    messages = [*maker.messages(), (topic, 1_700_000_001_000_000_000, message(maker))]
    return maker.write(tmp_path / "one", messages=messages)


def broken(**changes):
    def make(maker):
        message = maker.points(0, cloud())
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    return make


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"point_step": 20}, "lies outside of the 20 bytes"),
        ({"width": 10**9}, "of 2 rows of 29000000000 bytes"),
        ({"height": 0}, "bytes for 0 rows"),
        ({"data": np.zeros(7, dtype=np.uint8)}, "7 bytes for a cloud of 2 rows"),
    ],
)
def test_clouds_that_contradict_themselves_are_an_error(tmp_path, changes, said):
    bag = one_message(tmp_path, POINTS, broken(**changes))
    with pytest.raises(FileFormatError, match=f"message 4 of {POINTS} has .*{said}"):
        unpack(bag, tmp_path)


def test_images_of_an_unknown_encoding_are_an_error(tmp_path):
    bag = one_message(tmp_path, RAW, lambda maker: maker.image(0, encoding="32FC1"))
    with pytest.raises(FileFormatError, match="'32FC1', expected one of rgb8"):
        unpack(bag, tmp_path)
    assert not (tmp_path / "out").exists()  # what was unpacked so far is in nobody's way


def test_a_lens_that_is_not_known_is_left_to_the_user(tmp_path):
    bag = one_message(tmp_path, "/front/camera_info", lambda maker: maker.info(0, "equidistant"))
    report = unpack(bag, tmp_path)
    assert any("'equidistant' with 5 coefficients" in line for line in report.to_do)


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("/front/image_raw", "front"),
        ("/cam/left/image_raw/compressed", "cam_left"),
        ("/image", "image"),
        ("/../../etc/image_raw", "______etc"),
    ],
)
def test_folders_are_named_after_topics(topic, name):
    assert camera_name(topic) == name
