import numpy as np
import pytest
from fakes.folder import LABELS, K, calibration, camera, write_yaml

from lidistill.datasets.own.files import read_calibration, read_label_table, read_statistics
from lidistill.errors import DatasetNotFoundError, FileFormatError

STRETCHED = [[0, -2, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]]
MIRRORED = [[0, 1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]]
FAR = [[0, -1, 0, 4e5], [0, 0, -1, 0], [1, 0, 0, 0]]


def one_camera(**changes):
    return calibration(cameras={"front": camera(**changes)})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"camera": {}}, r"camera: Extra inputs"),
        (one_camera(lens="wide"), r"cameras\.front\.lens: Extra inputs"),
        ({"cameras": {"front": {}}}, r"cameras\.front\.size_hw: Field required"),
        (one_camera(size_hw=[0, 80]), r"size_hw\.0"),
        (one_camera(size_hw=[48.5, 80]), r"size_hw\.0"),
        (one_camera(K=K[:2]), r"cameras\.front\.K"),
        (one_camera(K=[row[:2] for row in K]), r"is not \[\[fx, 0, cx\]"),
        (one_camera(K=[*K[:2], [0, 0, 2]]), r"is not \[\[fx, 0, cx\]"),
        (one_camera(K=[[-60, 0, 40], *K[1:]]), "focal lengths"),
        (one_camera(K=[[60, 0, 400], *K[1:]]), "optical axis"),
        (one_camera(T_cam_lidar=STRETCHED), "no rotation and shift"),
        (one_camera(T_cam_lidar=MIRRORED), "no rotation and shift"),
        (one_camera(T_cam_lidar=FAR), "shifts by 400000 m"),
        (one_camera(T_cam_lidar=STRETCHED[:2]), "T_cam_lidar"),
        (one_camera(T_cam_lidar=np.eye(4)[:, :3].tolist()), "three rows of four"),
        (one_camera(T_cam_lidar=(2 * np.eye(4)).tolist()), "a fourth that is not 0 0 0 1"),
        (one_camera(distortion=[0.1] * 3), r"distortion: 3 coefficients, expected k1, .*\(0 where"),
        (one_camera(distortion=[0.1] * 8), "distortion: 8 coefficients.*undistort the images"),
        (calibration(cameras={2: camera()}), r"found 2, expected a text.*quotes around it"),
        (calibration(cameras={True: camera()}), r"found True, expected a text.*quotes"),
        (one_camera(distortion=[float("nan")] * 4), "finite"),
        (one_camera(near_depth=-1), "near_depth"),
        (one_camera(time_offset=1e12), "time_offset"),
        (calibration(match="nearest"), "'name' or 'time'"),
        (calibration(tolerance=0), "tolerance"),
        (calibration(mounting_height=-2), "mounting_height"),
        ([1, 2], "expected keys and values"),
        (None, "expected keys and values"),
    ],
)
def test_a_calibration_that_makes_no_sense_is_an_error(tmp_path, values, said):
    path = tmp_path / "calibration.yaml"
    write_yaml(path, values)
    with pytest.raises(FileFormatError, match=said) as caught:
        read_calibration(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cameras: {front: [", "no YAML"),
        ("cameras: {}\ncameras: {}\n", "'cameras' stands there twice"),
        ("a: &a {tolerance: 0.1}\n<<: *a\n", "'merge' is not used"),
        ("cameras: !!python/object/apply:os.system ['true']", "is not used here"),
        ("a: &a [*a, *a, *a, *a, *a, *a, *a, *a]", "refers to what it is a part of"),
        ("[" * 5000 + "]" * 5000, r"calibration\.yaml"),
        ("\x00", "no YAML"),
        ("#" * (1 << 18) + "\n", "expected at most"),
    ],
)
def test_yaml_that_is_no_plain_data_is_an_error(tmp_path, text, said):
    path = tmp_path / "calibration.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileFormatError, match=said):
        read_calibration(path)


def test_a_missing_calibration_is_named(tmp_path):
    with pytest.raises(
        DatasetNotFoundError, match=r"calibration\.yaml does not exist; .*`cameras: {}`"
    ):
        read_calibration(tmp_path / "calibration.yaml")


def test_numbers_with_exponents_and_shared_values_are_read(tmp_path):
    path = tmp_path / "calibration.yaml"
    path.write_text(
        "cameras:\n"
        "  left: {size_hw: [48, 80], K: &K [[6e1, 0, 40], [0, 60, 24], [0, 0, 1]], T_cam_lidar:"
        " [[0, -1, 0, 1e-1], [0, 0, -1, 0], [1, 0, 0, 0]]}\n"
        "  right: {size_hw: [48, 80], K: *K, T_cam_lidar:"
        " [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]]}\n"
    )
    cameras = read_calibration(path).cameras
    assert cameras["left"].K == cameras["right"].K
    assert cameras["left"].transform[0, 3] == 0.1
    assert cameras["left"].coefficients is None


def test_matrices_and_coefficients_may_be_written_as_ros_writes_them(tmp_path):
    path = tmp_path / "calibration.yaml"
    plain = camera()
    for rows in (3, 4):
        T = np.array([*plain["T_cam_lidar"], [0, 0, 0, 1]])[:rows]
        values = one_camera(
            K=np.ravel(K).tolist(),
            T_cam_lidar=T.ravel().tolist(),
            distortion=[-0.1, 0.02, 1e-3, 2e-3, 0.5, 0, 0, 0],
        )
        write_yaml(path, values)
        front = read_calibration(path).cameras["front"]
        assert tuple(map(tuple, K)) == front.K
        np.testing.assert_array_equal(front.transform[:3], plain["T_cam_lidar"])
        np.testing.assert_array_equal(front.coefficients, [-0.1, 0.02, 1e-3, 2e-3, 0.5])
    by_columns = T.T.ravel().tolist()
    write_yaml(path, one_camera(T_cam_lidar=by_columns))
    with pytest.raises(FileFormatError, match="a fourth that is not 0 0 0 1"):
        read_calibration(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": "kitti"}, "give either classes and ids, or table"),
        ({"classes": []}, "give either classes and ids, or table"),
        ({"classes": ["car", "car"]}, "names of their own"),
        ({"classes": ["car", "ignore"]}, "none of them 'ignore'"),
        ({"classes": [f"c{i}" for i in range(256)]}, "at most 255"),
        ({"ids": {1: "cat"}}, "ids name the class 'cat'"),
        ({"ids": {}}, "there are no ids"),
        ({"ids": {"one": "car"}}, "valid integer"),
        ({"classes": [False, "road"]}, r"classes\.0: found False, expected a text.*quotes"),
        ({"classes": ["9" * 5000, "road"]}, r"labels\.yaml: the file: .{0,600}; mend it\.$"),
    ],
)
def test_a_label_table_that_makes_no_sense_is_an_error(tmp_path, changes, said):
    path = tmp_path / "labels.yaml"
    write_yaml(path, LABELS | changes)
    with pytest.raises(FileFormatError, match=said):
        read_label_table(path)
    write_yaml(path, {"table": "kitti"})
    with pytest.raises(FileFormatError, match="'kitti' is none of nuscenes, pandaset"):
        read_label_table(path)


@pytest.mark.parametrize("std", [0, -1, "nan", "wide", None])
def test_statistics_that_make_no_sense_are_an_error(tmp_path, std):
    path = tmp_path / "statistics.yaml"
    write_yaml(path, {"intensity_mean": 1.0, "intensity_std": 2.0, "num_points": 3})
    assert read_statistics(path) == (1.0, 2.0)
    write_yaml(path, {"intensity_mean": 1.0, "intensity_std": std})
    with pytest.raises(FileFormatError, match="intensity_std"):
        read_statistics(path)


def test_a_file_of_statistics_that_is_not_there_names_the_command_that_writes_one(tmp_path):
    with pytest.raises(
        DatasetNotFoundError, match=r"does not exist; `lidistill data stats` writes"
    ):
        read_statistics(tmp_path / "statistics.yaml")


def test_a_folder_in_place_of_its_statistics_is_told(tmp_path):
    with pytest.raises(FileFormatError, match=r"is a folder, .*`lidistill data stats` writes"):
        read_statistics(tmp_path)
    write_yaml(tmp_path / "statistics.yaml", {"intensity_mean": 1.0, "intensity_std": 2.0})
    with pytest.raises(FileFormatError, match=r"is a folder, .*; give .*statistics\.yaml"):
        read_statistics(tmp_path)
