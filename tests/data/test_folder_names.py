import logging

import numpy as np
import pytest
from fakes.folder import camera, write_folder, write_scan, write_yaml
from fakes.scan_writers import WRITERS, cloud
from pydantic import ValidationError

from lidistill.data.folder import FolderConfig
from lidistill.data.stats import sensor_statistics
from lidistill.errors import FileFormatError

SCAN, LABEL, PICTURE = "scans/000000.pcd", "labels/000000.label", "cameras/front/000000.png"


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
    [f"a/{SCAN}", f"a/{PICTURE}", f"a/{LABEL}", "a/scans", "a/cameras", "calibration.yaml", "a"],
)
def test_links_are_refused(root, name):
    path = root / name
    path.rename(root.parent / "elsewhere")
    path.symlink_to(root.parent / "elsewhere")
    with pytest.raises(FileFormatError, match="is a link"):
        read(root)


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
