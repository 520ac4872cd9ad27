"""Which file the output for a scan goes to."""

from pathlib import Path

import pytest
from fakes.closed import close

from lidistill.apps.scan_jobs import plan_jobs
from lidistill.errors import ConfigError, DatasetNotFoundError


def touch(root: Path, *names: str) -> None:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")


def outputs(sources, folder, existing="refuse"):
    jobs = plan_jobs(sources, folder, suffix=".npy", existing=existing)
    return {str(job.file.relative_to(folder)): job.scan for job in jobs.to_do}


def test_all_drives_of_a_folder_of_recordings_keep_their_names(tmp_path):
    root = tmp_path / "own"
    touch(root, *(f"Fahrt {i}/scans/00{j}.bin" for i in (1, 2) for j in (1, 2)))
    touch(root, "Fahrt 1/cameras/front/001.npy", "Fahrt 1/labels/001.npy", "calibration.yaml")
    assert outputs([root], tmp_path / "out") == {
        f"Fahrt {i}/00{j}.npy": root / f"Fahrt {i}" / "scans" / f"00{j}.bin"
        for i in (1, 2)
        for j in (1, 2)
    }


def test_a_drive_alone_and_a_folder_of_scans_have_no_folder(tmp_path):
    touch(tmp_path, "a/scans/1.pcd.bin", "a/cameras/front/1.npy", "b/2.ply")
    out = tmp_path / "out"
    assert outputs([tmp_path / "a"], out) == {"1.npy": tmp_path / "a/scans/1.pcd.bin"}
    both = outputs([tmp_path / "a" / "scans", tmp_path / "b"], out)
    assert list(both) == ["1.npy", "2.npy"]


def test_layouts_of_benchmarks_keep_their_folders(tmp_path):
    names = ["sequences/00/velodyne/000000.bin", "sequences/01/velodyne/000000.bin"]
    touch(tmp_path / "kitti", *names, "sequences/00/labels/000000.label")
    found = outputs([tmp_path / "kitti"], tmp_path / "out")
    assert list(found) == [name.replace(".bin", ".npy") for name in names]


def test_folders_with_scans_of_the_same_names_get_a_folder_each(tmp_path):
    touch(tmp_path, "monday/1.bin", "tuesday/1.bin")
    found = outputs([tmp_path / "monday", tmp_path / "tuesday"], tmp_path / "out")
    assert list(found) == ["monday/1.npy", "tuesday/1.npy"]
    touch(tmp_path, "other/monday/1.bin")
    with pytest.raises(ConfigError, match=r"both become monday/1\.npy"):
        outputs([tmp_path / "monday", tmp_path / "other" / "monday"], tmp_path / "out")


def test_outputs_inside_of_the_source_are_no_scans_of_the_next_call(tmp_path):
    touch(tmp_path, "drive/scans/1.bin", "features/drive/1.npy")
    assert list(outputs([tmp_path], tmp_path / "features", "overwrite")) == ["drive/1.npy"]


def test_what_is_there_is_refused_replaced_or_left(tmp_path):
    touch(tmp_path, "scans/1.bin", "scans/2.bin", "out/1.npy")
    source, out = [tmp_path / "scans"], tmp_path / "out"
    with pytest.raises(ConfigError, match="--skip-existing"):
        outputs(source, out)
    assert list(outputs(source, out, "overwrite")) == ["1.npy", "2.npy"]
    assert list(outputs(source, out, "skip")) == ["2.npy"]
    jobs = plan_jobs(source, out, suffix=".npy", existing="skip")
    assert [job.file.name for job in jobs.done] == ["1.npy"]


def test_folders_that_are_closed_hold_no_scans(tmp_path, monkeypatch):
    touch(tmp_path, "disk/a/scans/1.bin")
    close(tmp_path / "disk" / "lost+found", monkeypatch)
    assert list(outputs([tmp_path / "disk"], tmp_path / "out")) == ["a/1.npy"]


def test_links_to_folders_are_not_followed_in_a_circle(tmp_path):
    touch(tmp_path, "own/a/scans/1.bin")
    (tmp_path / "own" / "a" / "loop").symlink_to(tmp_path / "own")
    (tmp_path / "own" / "b").symlink_to(tmp_path / "own")
    assert list(outputs([tmp_path / "own"], tmp_path / "out")) == ["a/1.npy"]


@pytest.mark.parametrize(("name", "said"), [("x.bin", "does not exist"), ("e", "holds no scan")])
def test_a_source_without_a_scan_is_named(tmp_path, name, said):
    (tmp_path / "e" / "inner").mkdir(parents=True)
    with pytest.raises(DatasetNotFoundError, match=said):
        outputs([tmp_path / name], tmp_path / "out")
