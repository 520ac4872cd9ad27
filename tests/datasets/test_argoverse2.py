import struct

import numpy as np
import pytest
from fakes.argoverse2 import (
    DOWN,
    FOCAL,
    SIZE_HW,
    SPEED,
    START,
    SWEEP,
    UP,
    default_scan,
    write_log,
    write_poses,
    write_table,
)
from pydantic import ValidationError

from lidistill.data_check.check import check_root
from lidistill.datasets.argoverse2.dataset import CAMERAS, Argoverse2Config
from lidistill.datasets.argoverse2.feather import read_feather
from lidistill.datasets.argoverse2.log import read_calibration
from lidistill.datasets.sensors import sensor_of
from lidistill.errors import DatasetNotFoundError, FileFormatError, UnknownNameError
from lidistill.geometry import quaternion_to_matrix
from lidistill.images.files import read_image
from lidistill.samples.pairing import pair_view

pytest.importorskip("pyarrow")


@pytest.fixture(autouse=True)
def _read_anew():
    read_calibration.cache_clear()


def build(root, **options):
    return Argoverse2Config(root=root, **options).build()


def stored(number, lasers=slice(0, 64)):
    """(N, 3) points of the vehicle's frame and their intensities, of some lasers."""
    scan = default_scan(number)
    keep = np.isin(scan["laser_number"], np.arange(64)[lasers])
    return np.stack([scan[a][keep] for a in "xyz"], axis=1).astype(float), scan["intensity"][keep]


@pytest.mark.parametrize(
    ("lidars", "lasers"),
    [("up", slice(0, 32)), ("down", slice(32, 64)), ("both", slice(0, 64))],
)
def test_points_of_either_lidar_lie_in_the_frame_of_the_upper_one(tmp_path, lidars, lasers):
    write_log(tmp_path)
    frame = build(tmp_path, lidars=lidars)[1]
    ego, intensity = stored(1, lasers)
    back = frame.points @ quaternion_to_matrix(UP[:4]).T + UP[4:]
    np.testing.assert_allclose(back, ego, atol=1e-4)
    np.testing.assert_array_equal(frame.intensity, intensity)
    assert frame.sensor == f"argoverse2-{lidars}"
    assert frame.frame_id == f"0a1b-log/{START + SWEEP}"
    assert frame.labels is None
    assert frame.time == (START + SWEEP) / 1e9
    np.testing.assert_allclose(frame.T_world_lidar[:3, 3], [SPEED * 0.1 + UP[4], 0, UP[6]])


def test_a_point_finds_its_coloured_pixel_again_though_the_vehicle_moves(tmp_path):
    late = 40_000_000  # nanoseconds, in which the vehicle moves 0.4 m
    point = np.array([9.0, 2.5, 1.0])  # without the motion, one pixel to the right
    seen = point - [SPEED * 0.04, 0, 0] - [1.6, 0, 1.4]  # from the camera at the exposure
    u = SIZE_HW[1] / 2 - FOCAL * seen[1] / seen[0]
    v = SIZE_HW[0] / 2 - FOCAL * seen[2] / seen[0]
    image = np.zeros((*SIZE_HW, 3), np.uint8)
    image[int(v), int(u)] = 255, 0, 0
    scan = {name: values[:2] for name, values in default_scan().items()}
    for axis, value in zip("xyz", point, strict=True):
        scan[axis] = np.array([value, -value], np.float16)
    write_log(tmp_path, scan=scan, image=image, late=late)
    frame = build(tmp_path, cameras=("ring_front_center",))[0]
    (view,) = frame.views
    pairs = pair_view(frame.points, view, view.size_hw)
    assert pairs.index.tolist() == [0]
    assert pairs.uv[0].tolist() == [int(u), int(v)]
    column, row = pairs.uv[0].astype(int)
    red, green, _ = read_image(view.image_path)[row, column].tolist()
    assert red > 150
    assert green < 90
    assert view.distortion is None


def test_images_that_are_far_from_every_sweep_are_no_views(tmp_path):
    folder = write_log(tmp_path)
    images = folder / "sensors" / "cameras" / "ring_side_left"
    for path in list(images.iterdir()):
        path.rename(images / f"{int(path.stem) + 60_000_000}.jpg")
    dataset = build(tmp_path)
    # The first sweep's image now lies 0.04 s before the second sweep.
    assert [len(dataset[i].views) for i in range(2)] == [6, 7]
    assert dataset.missing() == ("images of ring_side_left: 1 of 2 frames",)
    with pytest.raises(DatasetNotFoundError, match="1 of 2 frames lack an image"):
        build(tmp_path, images="required")
    assert build(tmp_path, images="none")[0].views == ()


def test_a_root_may_contain_the_words_of_the_format(tmp_path):
    root = tmp_path / "sensors" / "lidar" / "train" / "cameras"
    write_log(root)
    assert len(build(root)[0].views) == len(CAMERAS)


def test_splits_are_folders_and_logs_can_be_chosen(tmp_path):
    write_log(tmp_path, "a", num_sweeps=3)
    write_log(tmp_path, "b")
    write_log(tmp_path, "c", "val")
    assert set(build(tmp_path).drive_ids) == {"a", "b"}
    assert build(tmp_path, split="val").parts.drives == ("c",)
    assert len(build(tmp_path, split="all")) == 7
    assert len(build(tmp_path, every=2)) == 3
    assert set(build(tmp_path, logs=("b",)).drive_ids) == {"b"}
    with pytest.raises(DatasetNotFoundError, match="has not the log c in the split 'train'"):
        build(tmp_path, logs=("c",))
    with pytest.raises(DatasetNotFoundError, match=r"split 'test'; .* found train, val"):
        build(tmp_path, split="test")
    with pytest.raises(DatasetNotFoundError, match="has not a log with sweeps"):
        build(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "options", [{"split": "mini"}, {"lidars": "left"}, {"labels": "required"}, {"logs": ["../a"]}]
)
def test_an_unknown_word_is_refused(tmp_path, options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        Argoverse2Config.model_validate({"root": tmp_path, **options})


def test_intensity_statistics_are_the_users_own(tmp_path):
    write_log(tmp_path)
    with pytest.raises(UnknownNameError, match="data stats ROOT"):
        sensor_of(build(tmp_path)[0])
    assert Argoverse2Config(root=tmp_path).sensor_statistics() is None
    (tmp_path / "statistics.yaml").write_text("intensity_mean: 20.0\nintensity_std: 9.0\n")
    assert build(tmp_path)[0].intensity_statistics == (20.0, 9.0)
    assert Argoverse2Config(root=tmp_path).sensor_statistics().intensity_std == 9.0


def test_a_check_names_the_set_and_where_to_begin(tmp_path):
    write_log(tmp_path)
    report = check_root(tmp_path)
    assert (report.format, report.parts) == ("argoverse2", ("0a1b-log",))
    assert report.first_recipe == "pretrain/argoverse2"
    assert report.datasets[0].num_frames == 2
    assert report.sound


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def drop(name):
    def spoil(path):
        scan = default_scan()
        del scan[name]
        write_table(path, scan)

    return spoil


def replace(name, value):
    def spoil(path):
        write_table(path, default_scan() | {name: np.full(120, value)})

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut, "no whole Arrow file"),
        (drop("intensity"), "no column 'intensity'"),
        (replace("x", "far"), "'x' is string.* expected a number"),
        (replace("x", 5e4), "farther than 10000 m"),
        (replace("laser_number", 77), "not in 0 to 63"),
        (lambda path: path.write_bytes(b"FEA1" + bytes(100)), "no whole Arrow file"),
    ],
)
def test_a_damaged_sweep_is_an_error_that_names_it(tmp_path, spoil, message):
    path = write_log(tmp_path) / "sensors" / "lidar" / f"{START}.feather"
    spoil(path)
    with pytest.raises(FileFormatError, match=message) as error:
        build(tmp_path)[0]
    assert str(START) in str(error.value)


def test_a_sweep_without_points_of_the_wanted_lidar_says_so(tmp_path):
    scan = default_scan() | {"laser_number": np.full(120, 3, np.uint8)}
    write_log(tmp_path, scan=scan)
    assert len(build(tmp_path, lidars="up")[0].points) == 120
    with pytest.raises(DatasetNotFoundError, match="no point of argoverse2-down"):
        build(tmp_path, lidars="down")[0]


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_tables_are_read_however_they_are_packed(tmp_path, compression):
    path = tmp_path / "t.feather"
    write_table(path, default_scan(), compression)
    np.testing.assert_array_equal(
        read_feather(path, {"x": "number"}, max_rows=200)["x"], default_scan()["x"]
    )
    with pytest.raises(FileFormatError, match="claims 120 rows"):
        read_feather(path, {"x": "number"}, max_rows=100)


def test_a_buffer_that_claims_a_terabyte_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "t.feather"
    zeros = {"x": np.zeros(50_000, np.float32)}
    write_table(path, zeros, "zstd")
    content = path.read_bytes()
    claim = struct.pack("<q", 200_000)
    assert content.count(claim) >= 1
    path.write_bytes(content.replace(claim, struct.pack("<q", 1 << 40)))
    with pytest.raises(FileFormatError, match=r"bytes unpacked.*expected at most"):
        read_feather(path, {"x": "number"}, max_rows=1_000_000)


def test_any_cut_or_flipped_byte_is_an_error_or_a_table(tmp_path):
    path = tmp_path / "t.feather"
    write_table(path, default_scan())
    content, rng = path.read_bytes(), np.random.default_rng(0)
    outcomes = set()
    for _ in range(300):
        spoilt = bytearray(content)
        spoilt[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(spoilt))
        try:
            outcomes.add(len(read_feather(path, {"x": "number"}, max_rows=200)["x"]))
        except FileFormatError as error:
            assert len(str(error)) < 1000  # noqa: PT017
            outcomes.add("refused")
    assert "refused" in outcomes


def test_a_damaged_calibration_or_pose_is_an_error_that_names_it(tmp_path):
    folder = write_log(tmp_path)
    sensors = folder / "calibration" / "egovehicle_SE3_sensor.feather"
    write_poses(sensors, ["down_lidar"], [DOWN])
    with pytest.raises(FileFormatError, match="no up_lidar among down_lidar"):
        build(tmp_path)[0]
    write_poses(sensors, ["up_lidar"], [(2.0, *UP[1:])])
    with pytest.raises(FileFormatError, match="no unit quaternion"):
        build(tmp_path)[0]
    write_poses(sensors, ["up_lidar"], [UP])
    with pytest.raises(FileFormatError, match="says nothing of ring_front_center"):
        build(tmp_path)[0]
    read_calibration.cache_clear()
    poses = folder / "city_SE3_egovehicle.feather"
    rows = [(1.0, *[0.0] * 6)] * 2
    write_poses(poses, [1, 2], rows, key="timestamp_ns")
    with pytest.raises(FileFormatError, match="no pose at the time of the sweep"):
        build(tmp_path)[0]
    poses.unlink()
    read_calibration.cache_clear()
    with pytest.raises(DatasetNotFoundError, match="city_SE3_egovehicle"):
        build(tmp_path)[0]


def test_a_jump_between_sweep_and_image_is_named(tmp_path):
    folder = write_log(tmp_path, late=5_000_000)
    moments = [START - SWEEP, START, START + 4_000_000, START + 4 * SWEEP]
    rows = [(1.0, 0.0, 0.0, 0.0, way, 0.0, 0.0) for way in (0.0, 0.0, 5000.0, 5000.0)]
    write_poses(folder / "city_SE3_egovehicle.feather", moments, rows, key="timestamp_ns")
    with pytest.raises(FileFormatError, match=r"city_SE3_egovehicle\.feather: .* shifts by 5000"):
        build(tmp_path)[0]


def test_names_that_are_no_moments_are_passed_over(tmp_path):
    folder = write_log(tmp_path)
    for place in ("lidar/0.feather", "cameras/ring_front_left/0.jpg"):
        path = folder / "sensors" / place
        path.with_stem("9" * 19).write_bytes(b"")
        path.with_stem("notes").write_bytes(b"")
    assert [len(frame.views) for frame in build(tmp_path)] == [7, 7]
