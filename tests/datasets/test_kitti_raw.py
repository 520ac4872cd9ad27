import numpy as np
import pytest
from fakes.kitti_raw import P2, R_RECT, R, T, cameras_text, lidar_text, write_drive
from fakes.semantic_kitti import SIZE_HW, default_scan
from golden_cases import DATA, needs_data
from PIL import Image
from pydantic import ValidationError

from lidistill.datasets.kitti.raw import KittiRawConfig
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.images.files import read_image
from lidistill.samples.pairing import pair_view


def build(root, **options):
    return KittiRawConfig(root=root, **options).build()


def scan_file(drive, number=0):
    return drive / "velodyne_points" / "data" / f"{number:010d}.bin"


def test_scans_are_read_as_they_are_stored(tmp_path):
    write_drive(tmp_path)
    dataset = build(tmp_path)
    assert dataset.frame_ids == tuple(f"2011_09_26_drive_0001_sync/{i:010d}" for i in range(2))
    frame, stored = dataset[1], default_scan(1)
    np.testing.assert_array_equal(frame.points, stored[:, :3])
    np.testing.assert_array_equal(frame.intensity, stored[:, 3])
    assert frame.labels is None
    assert frame.sensor == "semantic_kitti"


def test_a_point_finds_its_coloured_pixel_again(tmp_path):
    T_cam0_lidar = np.eye(4)
    T_cam0_lidar[:3, :3], T_cam0_lidar[:3, 3] = R, T
    rectify = np.eye(4)
    rectify[:3, :3] = R_RECT
    point = np.array([8.0, 1.5, -0.5, 1.0])
    u, v, w = np.array(P2) @ rectify @ T_cam0_lidar @ point
    column, row = int(u / w), int(v / w)
    image = np.zeros((*SIZE_HW, 3), dtype=np.uint8)
    image[row, column] = 255, 0, 0
    scan = np.array([[*point[:3], 0.5], [-8.0, 1.5, -0.5, 0.5]], dtype=np.float32)
    write_drive(tmp_path, scan=scan, image=image)
    frame = build(tmp_path)[0]
    (view,) = frame.views
    pairs = pair_view(frame.points, view, view.size_hw)
    assert pairs.index.tolist() == [0]
    assert (view.name, view.size_hw) == ("image_02", SIZE_HW)
    x, y = pairs.uv[0].astype(int)
    assert read_image(view.image_path)[y, x].tolist() == [255, 0, 0]


def test_both_colour_cameras_stand_side_by_side(tmp_path):
    write_drive(tmp_path, cameras=("02", "03"))
    left, right = build(tmp_path, cameras=("image_02", "image_03"))[0].views
    shift = right.T_cam_lidar[:3, 3] - left.T_cam_lidar[:3, 3]
    assert shift[0] == pytest.approx(-32 / 60, abs=0.01)


def test_a_root_may_contain_the_words_of_the_format(tmp_path):
    root = tmp_path / "image_02" / "velodyne_points" / "data"
    write_drive(root)
    assert build(root)[0].views[0].image_path.is_file()


def test_drives_and_scans_can_be_chosen(tmp_path):
    write_drive(tmp_path, "0001", num_frames=5)
    write_drive(tmp_path, "0002", num_frames=2)
    assert len(build(tmp_path)) == 7
    assert len(build(tmp_path, every=3)) == 3
    chosen = build(tmp_path, drives=("2011_09_26_drive_0002_sync",))
    assert {frame_id.split("/")[0] for frame_id in chosen.frame_ids} == {
        "2011_09_26_drive_0002_sync"
    }


def test_an_absent_drive_or_folder_is_an_error(tmp_path):
    folder = write_drive(tmp_path)
    with pytest.raises(DatasetNotFoundError, match="has no 2011_09_26_drive_0009_sync"):
        build(tmp_path, drives=("2011_09_26_drive_0009_sync",))
    with pytest.raises(DatasetNotFoundError, match="has no drive"):
        build(tmp_path / "nowhere")
    with pytest.raises(DatasetNotFoundError, match=f"single day: give {tmp_path}"):
        build(folder.parent)


def test_missing_images_are_views_that_are_not_there(tmp_path):
    folder = write_drive(tmp_path)
    (folder / "image_02" / "data" / "0000000000.png").unlink()
    dataset = build(tmp_path)
    assert [len(dataset[i].views) for i in range(2)] == [0, 1]
    with pytest.raises(DatasetNotFoundError, match="1 of 2 frames lack an image"):
        build(tmp_path, images="required")
    assert len(build(tmp_path, images="required", missing="skip")) == 1


def test_labels_cannot_be_required(tmp_path):
    with pytest.raises(ValidationError):
        KittiRawConfig.model_validate({"root": tmp_path, "labels": "required"})


def test_a_truncated_scan_is_an_error_that_names_it(tmp_path):
    path = scan_file(write_drive(tmp_path))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(FileFormatError, match=r"0000000000\.bin has 797 bytes"):
        build(tmp_path)[0]


def test_a_scan_of_another_format_is_an_error(tmp_path):
    scan = np.random.default_rng(0).uniform(-30, 30, (50, 4)).astype("<f4")
    write_drive(tmp_path, scan=scan)
    with pytest.raises(FileFormatError, match="the reflectance, is not in 0 to 1"):
        build(tmp_path)[0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("calib_cam_to_cam.txt", "corner_dist: 0.1\n", "P_rect_02.*holds 0 numbers, expected 12"),
        ("calib_cam_to_cam.txt", cameras_text(r_rect=np.eye(3) * 2), "expected rotations"),
        ("calib_cam_to_cam.txt", cameras_text(p2=np.zeros((3, 4))), "no pinhole"),
        ("calib_velo_to_cam.txt", lidar_text(shift=[1.0, 2.0]), "'T' holds 2 numbers, expected 3"),
        ("calib_velo_to_cam.txt", "R: a b c\n", "'R' holds 0 numbers, expected 9"),
    ],
)
def test_a_damaged_calibration_is_an_error_that_names_it(tmp_path, name, text, message):
    path = write_drive(tmp_path).parent / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileFormatError, match=message) as error:
        build(tmp_path)
    assert name in str(error.value)


def test_a_image_of_another_size_than_its_camera_takes_is_an_error(tmp_path):
    images = write_drive(tmp_path, num_frames=3) / "image_02" / "data"
    Image.new("RGB", (70, 40)).save(images / f"{1:010d}.png")
    with pytest.raises(FileFormatError, match=r"0000000001\.png has 70 x 40 pixels, others"):
        build(tmp_path)[1]


def test_an_optical_axis_beside_the_image_is_an_error(tmp_path):
    write_drive(tmp_path)
    beside = [[60.0, 0.0, -1.0, 6.0], *P2[1:]]
    file = tmp_path / "2011_09_26" / "calib_cam_to_cam.txt"
    file.write_text(cameras_text(p2=beside), encoding="utf-8")
    with pytest.raises(FileFormatError, match="calib_cam_to_cam"):
        build(tmp_path)[0]


def test_without_images_no_calibration_is_needed(tmp_path):
    (write_drive(tmp_path).parent / "calib_cam_to_cam.txt").unlink()
    assert build(tmp_path, images="none")[0].views == ()
    with pytest.raises(DatasetNotFoundError, match="calib_cam_to_cam"):
        build(tmp_path)


def test_a_day_without_calibration_costs_its_images_where_frames_may_be_missing(tmp_path, caplog):
    (write_drive(tmp_path).parent / "calib_velo_to_cam.txt").unlink()
    assert build(tmp_path, missing="skip")[0].views == ()
    assert "left out the images of 2011_09_26, where calib_cam_to_cam.txt and" in caplog.text


@needs_data
def test_real_scans_meet_their_images():
    for frame in build(DATA / "kitti_raw"):
        (view,) = frame.views
        seen = pair_view(frame.points, view, view.size_hw)
        assert 0.1 < len(seen.index) / len(frame.points) < 0.2
        road = frame.points[:, 2] < -1.5
        assert pair_view(frame.points[road], view, view.size_hw).uv[:, 1].min() > view.K[1, 2] - 10
        assert frame.intensity.max() <= 1


def test_images_that_were_packed_as_jpeg_are_found(tmp_path):
    drive = write_drive(tmp_path, image=np.full((*SIZE_HW, 3), (200, 30, 60), np.uint8))
    for path in (drive / "image_02" / "data").iterdir():
        Image.open(path).save(path.with_suffix(".jpg"), quality=100, subsampling=0)
        path.unlink()
    (view,) = build(tmp_path, images="required")[0].views
    assert view.image_path.name == "0000000000.jpg"
    np.testing.assert_allclose(read_image(view.image_path)[0, 0], (200, 30, 60), atol=4)


def test_recordings_that_are_not_synchronised_are_told(tmp_path):
    drive = write_drive(tmp_path)
    for path in (drive / "velodyne_points" / "data").iterdir():
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(DatasetNotFoundError, match=r"holds no scan.*_extract\) have text.*…_sync"):
        build(tmp_path)


def test_a_calibration_in_millimetres_is_named(tmp_path):
    drive = write_drive(tmp_path)
    shift = [1000 * metres for metres in T]
    (drive.parent / "calib_velo_to_cam.txt").write_text(lidar_text(shift=shift))
    with pytest.raises(FileFormatError, match=r"calib_cam_to_cam\.txt: a transform shifts by 30"):
        build(tmp_path)[0]
