from pathlib import Path

import numpy as np
import pytest
from fakes.scan_writers import WRITERS, cloud

from lidistill.errors import FileFormatError
from lidistill.scan_formats.scan_file import read_scan
from lidistill.scan_formats.scan_folder import scans_of


def write(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(WRITERS[".bin"](cloud()))
    return root


def names_of(root):
    return [str(path.relative_to(root)) for path in scans_of(root)]


def test_beside_drives_only_drives_are_taken_and_the_others_named(tmp_path, caplog):
    scans = ["a/scans/0.bin", "b/scans/0.bin", "more/c/scans/1.bin"]
    beside = ["features/a/0.bin", "teacher_labels/0.bin", "a/scratch/7.bin"]
    write(tmp_path, *scans, *beside, "a/labels/0.bin")
    (tmp_path / "notes").mkdir()
    assert names_of(tmp_path) == scans
    (line,) = caplog.messages
    assert "left out features, teacher_labels, whose files look like scans" in line
    caplog.clear()
    assert names_of(tmp_path / "features") == ["a/0.bin"]
    assert not caplog.messages


def test_without_drives_all_folders_are_taken(tmp_path, caplog):
    write(tmp_path, "x/0.bin", "y/z/0.bin", "lidarseg/0.bin")
    assert names_of(tmp_path) == ["lidarseg/0.bin", "x/0.bin", "y/z/0.bin"]
    assert not caplog.messages


def test_labels_of_nuscenes_are_no_scans(tmp_path):
    scans = ["samples/LIDAR_TOP/0.pcd.bin", "sweeps/LIDAR_TOP/1.pcd.bin"]
    write(tmp_path, *scans, "lidarseg/v1.0-mini/x_lidarseg.bin", "panoptic/v1.0-mini/x.npz")
    assert names_of(tmp_path) == scans


@pytest.mark.parametrize(("columns", "fine"), [(10, True), (16, True), (17, False), (96, False)])
def test_features_are_no_scan(tmp_path: Path, columns, fine):
    path = tmp_path / "0.npy"
    np.save(path, np.random.default_rng(0).normal(size=(100, columns)).astype(np.float32))
    if fine:
        assert len(read_scan(path).points) == 100
        return
    with pytest.raises(FileFormatError, match=f"has {columns} columns, .* looks like features"):
        read_scan(path)
