import logging
import unicodedata

import numpy as np
import pytest
from fakes.folder import camera, write_folder, write_scan, write_yaml
from fakes.scan_writers import WRITERS, cloud
from pydantic import ValidationError

from lidistill.data_check.statistics import sensor_statistics
from lidistill.datasets.own.dataset import FolderConfig
from lidistill.errors import FileFormatError

SCAN, LABEL, IMAGE = "scans/000000.pcd", "labels/000000.label", "cameras/front/000000.png"


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / "root")


def read(root, **changes):
    return FolderConfig(root=root, **changes).build()


@pytest.mark.parametrize("name", ["../a", "/etc", ".hidden", "a/b", ""])
def test_names_cannot_lead_out_of_the_root(root, name):
    with pytest.raises(ValidationError):
        read(root, drives=[name])
    write_yaml(root / "calibration.yaml", {"cameras": {name: camera()}})
    with pytest.raises(FileFormatError, match=r"calibration\.yaml: cameras"):
        read(root)


@pytest.mark.parametrize(
    "name",
    [f"a/{SCAN}", f"a/{IMAGE}", f"a/{LABEL}", "a/scans", "a/cameras", "calibration.yaml", "a"],
)
def test_links_are_refused(root, name):
    path = root / name
    path.rename(root.parent / "elsewhere")
    path.symlink_to(root.parent / "elsewhere")
    with pytest.raises(FileFormatError, match="is a link"):
        read(root)


def test_the_root_may_be_a_link(root):
    link = root.parent / "link"
    link.symlink_to(root)
    assert read(link).frame_ids == read(root).frame_ids
    (root / "a").rename(root.parent / "alone")
    (root.parent / "alone" / "calibration.yaml").write_bytes(
        (root / "calibration.yaml").read_bytes()
    )
    link.unlink()
    link.symlink_to(root.parent / "alone")
    assert read(link, labels="none").frame_ids == ("000000", "000001")


@pytest.mark.parametrize("name", ["Fahrt 1", "Straße", "数据", "a.b-c (2)", "x" * 120])
def test_names_may_be_of_any_alphabet(root, name):
    (root / "a").rename(root / name)
    for drive in (name, "b"):
        (root / drive / "cameras" / "front").rename(root / drive / "cameras" / name)
    write_yaml(root / "calibration.yaml", {"cameras": {name: camera()}})
    dataset = read(root, drives=[name], cameras=[name])
    assert dataset.frame_ids == (f"{name}/000000", f"{name}/000001")
    assert [view.name for view in dataset[0].views] == [name]


@pytest.mark.parametrize("name", [" a", "a ", "a\x1b[2J", "a\u202eb", "a\udcffb", "x" * 201])
def test_names_that_cannot_be_printed_are_refused(root, name):
    with pytest.raises(ValidationError) as error:
        read(root, drives=[name])
    assert "\x1b" not in str(error.value)


def test_drives_without_leading_zeros_are_counted(tmp_path):
    write_folder(tmp_path, drives=("d1", "d2", "d10"), num_frames=1)
    dataset = read(tmp_path, val_fraction=0.1, split="val")
    assert dataset.frame_ids == ("d10/000000",)


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_lists_may_begin_with_a_byte_order_mark(root, mark):
    (root / "splits").mkdir()
    (root / "splits" / "train.txt").write_bytes(mark + b"a\r\n")
    (root / "splits" / "val.txt").write_bytes(mark + b"b/000001\r\n")
    assert read(root, split="train").frame_ids == ("a/000000", "a/000001")
    assert read(root, split="val").frame_ids == ("b/000001",)
    (root / "splits" / "val.txt").write_bytes("b".encode("utf-16"))
    with pytest.raises(FileFormatError, match=r"val\.txt: it is UTF-16, expected UTF-8"):
        read(root, split="val")


@pytest.mark.parametrize("name", ["calibration.yaml", "labels.yaml", "statistics.yaml"])
def test_yaml_may_begin_with_a_byte_order_mark(root, name):
    content = (root / name).read_bytes().replace(b"\n", b"\r\n")
    (root / name).write_bytes(b"\xef\xbb\xbf" + content)
    assert len(read(root)[0].views) == 2


def test_two_scans_of_one_name_are_an_error(root):
    write_scan(root / "a" / "scans" / "000000.bin", cloud(), ".bin")
    with pytest.raises(FileFormatError, match=r"000000\.pcd and 000000\.bin have one name"):
        read(root)


def test_strange_files_are_left_out_with_a_warning(root, caplog):
    (root / "a" / "scans" / "notes.txt").write_text("rain")
    with caplog.at_level(logging.WARNING):
        assert len(read(root)) == 4
    assert "left out 1 entries" in caplog.text


def test_beams_that_did_not_come_back_count_in_no_statistics(root):
    table = cloud()
    for path in root.glob("*/scans/*"):
        path.write_bytes(WRITERS["_binary.pcd"](table))
    (whole,) = sensor_statistics([read(root)])
    table["intensity"][3] = 0
    for axis in "xyz":
        table[axis][3] = np.nan
    for path in root.glob("*/scans/*"):
        path.write_bytes(WRITERS["_binary.pcd"](table))
    (statistics,) = sensor_statistics([read(root)])
    assert (whole.num_points, statistics.num_points) == (160, 156)
    expected = np.delete(cloud()["intensity"].astype(float), 3)
    assert statistics.intensity_mean == pytest.approx(expected.mean())


def test_letters_with_marks_are_found_however_a_disk_writes_them(tmp_path):
    on_disk, typed = (unicodedata.normalize(form, "Zürich") for form in ("NFD", "NFC"))
    assert on_disk != typed
    root = write_folder(tmp_path, drives=(on_disk, "b"))
    (root / "splits").mkdir()
    (root / "splits" / "train.txt").write_text(f"{typed}\n", encoding="utf-8")
    for chosen in (read(root, split="train"), read(root, drives=[typed])):
        assert set(chosen.drive_ids) == {on_disk}
        assert chosen[0].points.shape == (40, 3)
