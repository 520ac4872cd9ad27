import numpy as np
import pytest
import yaml
from fakes.command import run
from fakes.folder import write_folder
from fakes.kitti_raw import write_drive
from fakes.scan_writers import cloud
from numpy.lib.recfunctions import append_fields

from lidistill.data_check.check import check_root
from lidistill.data_check.contents import read_all
from lidistill.data_check.statistics import Moments, sensor_statistics, write_statistics
from lidistill.datasets.kitti.raw import KittiRawConfig
from lidistill.datasets.own.files import read_statistics
from lidistill.datasets.sensors import SENSORS
from lidistill.errors import ConfigError, DatasetNotFoundError


def dataset(root, **options):
    return KittiRawConfig(root=root, **options).build()


def test_pieces_give_the_moments_of_the_whole():
    values = np.random.default_rng(0).normal(1e6, 0.1, 10_001)
    moments = Moments()
    for piece in np.split(values, [0, 1, 700, 5000]):
        moments = moments.with_values(piece)
    assert moments.count == len(values)
    assert moments.mean == pytest.approx(values.mean(), abs=1e-8)
    assert moments.std == pytest.approx(values.std(), rel=1e-6)
    assert (moments.low, moments.high) == (values.min(), values.max())


def test_single_precision_numbers_are_added_in_double():
    values = np.full(3_000_000, 0.1, dtype=np.float32)
    moments = Moments().with_values(values).with_values(values)
    assert moments.mean == pytest.approx(float(np.float32(0.1)), rel=1e-12)
    assert moments.std < 1e-9


def test_no_number_has_no_spread():
    assert Moments().with_values(np.zeros(0)).std == 0


def test_statistics_count_every_point_once(tmp_path):
    write_drive(tmp_path, num_frames=3)
    frames = list(dataset(tmp_path))
    (found,) = sensor_statistics([dataset(tmp_path)])
    intensity = np.concatenate([frame.intensity for frame in frames]).astype(float)
    ranges = np.linalg.norm(np.concatenate([frame.points for frame in frames]), axis=1)
    assert (found.sensor, found.num_frames) == ("semantic_kitti", 3)
    assert found.num_points == len(intensity)
    assert found.intensity_mean == pytest.approx(intensity.mean())
    assert found.intensity_std == pytest.approx(intensity.std())
    assert found.range_max == pytest.approx(ranges.max())
    assert found.shipped_mean == SENSORS["semantic_kitti"].intensity_mean


def test_beams_that_did_not_come_back_are_counted_apart(tmp_path):
    scan = np.tile(np.array([[3, 4, 0, 0.5], [0, 0, 0, 0], [np.inf, 1, 1, 0]], "<f4"), (9, 1))
    write_drive(tmp_path, num_frames=1, scan=scan)
    (found,) = sensor_statistics([dataset(tmp_path)])
    assert (found.num_points, found.num_missing) == (9, 18)
    assert (found.intensity_mean, found.intensity_std) == (0.5, 0)
    assert found.range_mean == 5


def test_data_sets_of_one_sensor_are_taken_together(tmp_path):
    write_drive(tmp_path, num_frames=2)
    (found,) = sensor_statistics([dataset(tmp_path), dataset(tmp_path)])
    assert found.num_frames == 4


def test_a_damaged_frame_is_named_and_counts_nowhere(tmp_path):
    drive = write_drive(tmp_path, num_frames=2)
    (drive / "velodyne_points" / "data" / "0000000000.bin").write_bytes(b"123")
    (found,) = sensor_statistics([dataset(tmp_path)])
    assert found.num_frames == 1
    assert "0000000000.bin" in found.problems[0]
    with pytest.raises(DatasetNotFoundError, match="no frame of semantic_kitti can be read"):
        sensor_statistics([dataset(tmp_path, every=2)])


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_command_fails_after_its_result_where_a_frame_is_unreadable(tmp_path, capsys, options):
    root = write_folder(tmp_path / "set")
    path = root / "statistics.yaml"
    words = ("data", "stats", root, "--output", path, *options)
    assert run(capsys, *words)[0] == 0
    path.unlink()
    np.save(root / "a" / "scans" / "000007.npy", np.zeros((0, 4)))
    status, out, err = run(capsys, *words)
    assert (status, path.exists(), "own" in out) == (2, True, True)
    assert "1 of 5 frames could not be read, first: " in err
    assert "000007.npy is empty, an array of shape (0, 4)" in err


def test_the_file_is_what_the_folder_format_reads(tmp_path):
    write_drive(tmp_path)
    found = sensor_statistics([dataset(tmp_path)])
    path = tmp_path / "out" / "statistics.yaml"
    write_statistics(found, path)
    assert read_statistics(path) == (found[0].intensity_mean, found[0].intensity_std)
    assert yaml.safe_load(path.read_text())["num_points"] == 100
    assert [p.name for p in path.parent.iterdir()] == ["statistics.yaml"]


def test_one_file_is_for_one_sensor_that_measures_something(tmp_path):
    scan = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    scan[:, 3] = 1
    write_drive(tmp_path, scan=scan)
    found = sensor_statistics([dataset(tmp_path)])
    with pytest.raises(ConfigError, match="every intensity of semantic_kitti is 1"):
        write_statistics(found, tmp_path / "statistics.yaml")
    with pytest.raises(ConfigError, match="can hold one sensor"):
        write_statistics(found * 2, tmp_path / "statistics.yaml")
    assert not (tmp_path / "statistics.yaml").exists()


def zero_intensity(root, **columns):
    """Recordings whose intensity is 0; further columns with the values that it had."""
    table = cloud()
    values = table["intensity"].copy()
    table["intensity"] = 0
    for name, factor in columns.items():
        table = append_fields(table, name, values * factor, usemask=False)
    return write_folder(root, table=table)


@pytest.mark.parametrize(
    ("columns", "advice"),
    [
        ({}, "intensity: none"),
        ({"Reflectivity": 0}, "intensity: none"),
        ({"ambient": 1}, "intensity: none"),
        ({"Reflectivity": 1}, "intensity: Reflectivity"),
    ],
)
def test_a_column_that_varies_is_named_in_place_of_an_intensity_of_zeros(tmp_path, columns, advice):
    root = zero_intensity(tmp_path, **columns)
    found = sensor_statistics(read_all(root))
    with pytest.raises(ConfigError, match=f"every intensity of own is 0, .*`{advice}` into"):
        write_statistics(found, tmp_path / "new.yaml")
    told = [f for f in check_root(root).datasets[0].findings if f.fault == "intensity_constant"]
    assert [f"`{advice}`" in finding.text for finding in told] == [advice != "intensity: none"]


def test_two_sensors_for_one_file_are_refused_before_a_frame_is_read(tmp_path, capsys, monkeypatch):
    class Unread:
        def __init__(self, sensor):
            self.sensor = sensor

        def __len__(self):
            return 1

    sets = (Unread("pandar64"), Unread("pandargt"))
    monkeypatch.setattr("lidistill.data_check.contents.read_all", lambda _: sets)
    words = ("data", "stats", tmp_path, "--output", tmp_path / "statistics.yaml")
    status, _, err = run(capsys, *words)
    assert status == 2
    assert "can hold one sensor, found pandar64, pandargt; leave --output out" in err
