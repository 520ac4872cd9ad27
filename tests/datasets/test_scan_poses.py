import numpy as np
import pytest
from fakes.folder import calibration, write_scan, write_times, write_yaml
from fakes.scan_writers import cloud

from lidistill.datasets.own.dataset import FolderConfig
from lidistill.errors import FileFormatError


def write_drive(root, names, along, times=None):
    """Scans of some names, and poses that many metres along x."""
    write_yaml(root / "calibration.yaml", calibration(cameras={}))
    for name in names:
        write_scan(root / "scans" / f"{name}.bin", cloud(3), ".bin")
    lines = [f"1 0 0 {x} 0 1 0 0 0 0 1 0\n" for x in along]
    (root / "poses.txt").write_text("".join(lines))
    if times is not None:
        write_times(root / "scans", dict(zip(names, times, strict=True)))


def along(root):
    dataset = FolderConfig(root=root).build()
    frames = [dataset[index] for index in range(len(dataset))]
    return {frame.frame_id: frame.T_world_lidar[0, 3] for frame in frames}


@pytest.mark.parametrize("prefix", ["", "scan_", "drive7-"])
def test_scans_without_leading_zeros_get_the_pose_of_their_number(tmp_path, prefix, caplog):
    names = [f"{prefix}{number}" for number in range(12)]
    write_drive(tmp_path, names, [10 * number for number in range(12)])
    found = along(tmp_path)
    assert list(found.items()) == [(name, 10.0 * i) for i, name in enumerate(names)]
    assert "belong to the scans counted as numbers" in caplog.text


def test_leading_zeros_need_no_word(tmp_path, caplog):
    names = [f"{number:06d}" for number in range(12)]
    write_drive(tmp_path, names, range(12))
    assert list(along(tmp_path).values()) == list(range(12))
    assert not caplog.text


def test_names_that_are_seconds_follow_their_values(tmp_path):
    names = ["9.5", "10.25", "10.3", "100.0"]
    write_drive(tmp_path, names, range(4))
    assert list(along(tmp_path).items()) == list(zip(names, range(4), strict=True))


def test_poses_written_in_the_order_of_texts_are_refused(tmp_path):
    names = [str(number) for number in range(30)]
    write_drive(tmp_path, names, [2.0 * int(name) for name in sorted(names)])
    with pytest.raises(FileFormatError, match=r"in the order of texts \(0, 1, 10, 11, …\).*zeros"):
        along(tmp_path)


@pytest.mark.parametrize(
    ("names", "times", "said"),
    [
        (["1", "01", "2"], None, "'01' and '1' have the same number"),
        (["a", "b", "c"], ["10.0", "10.2", "10.1"], "'b' and 'c' follow each other, but their"),
        (["a", "b", "c"], ["10.0", "10.0", "10.1"], "'a' and 'b' have the same time"),
    ],
)
def test_an_order_that_is_not_clear_is_refused(tmp_path, names, times, said):
    write_drive(tmp_path, names, range(3), times)
    with pytest.raises(FileFormatError, match=said):
        along(tmp_path)


def test_poses_with_times_need_no_order(tmp_path):
    write_drive(tmp_path, ["c", "b", "a"], [], ["10.0", "10.1", "10.2"])
    (tmp_path / "poses.txt").write_text("10 0 0 0 0 0 0 1\n10.2 4 0 0 0 0 0 1\n")
    found = along(tmp_path)
    np.testing.assert_allclose([found[name] for name in "cba"], [0, 2, 4], atol=1e-6)
