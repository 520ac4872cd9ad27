import json
import os

import pytest

from lidistill.datasets.scan_times import (
    seconds_of_date,
    time_in_list,
    time_in_name,
    time_of_line,
)


def test_kittis_dates_and_seconds_are_read_line_by_line(tmp_path):
    raw, odometry = tmp_path / "timestamps.txt", tmp_path / "times.txt"
    raw.write_text("2011-09-26 13:02:25.964389445\n2011-09-26 13:02:26.067\n")
    odometry.write_text("0.000000e+00\n1.037875e-01\n")
    first, second = (time_of_line(raw, n, seconds_of_date) for n in range(2))
    assert first == pytest.approx(1317042145.964389, abs=1e-6)
    assert second - first == pytest.approx(0.102611, abs=1e-6)
    assert [time_of_line(odometry, n, float) for n in range(3)] == [0.0, 0.1037875, None]


def test_pandasets_list_and_nuscenes_names(tmp_path):
    file = tmp_path / "timestamps.json"
    file.write_text(json.dumps([10.5, 10.6]))
    assert [time_in_list(file, n) for n in range(3)] == [10.5, 10.6, None]
    name = "n015-2018-07-24-11-22-45+0800__LIDAR_TOP__1532402927647951.pcd.bin"
    assert time_in_name(name) == 1532402927.647951
    assert time_in_name("000001.bin") is None


@pytest.mark.parametrize("content", [b"", b"[", b"{}", b'["a"]', b"[[1]]", b"nan", b"\xff\xfe"])
def test_a_file_that_says_nothing_costs_no_frame(tmp_path, content):
    file = tmp_path / "x"
    assert time_in_list(file, 0) is None
    assert time_of_line(tmp_path / "y", 0, float) is None
    os.mkfifo(tmp_path / "pipe")
    assert time_in_list(tmp_path / "pipe", 0) is None
    (tmp_path / "z").write_bytes(content)
    assert time_in_list(tmp_path / "z", 0) is None
    assert time_of_line(tmp_path / "z", 0, float) is None
    assert time_of_line(tmp_path / "z", 0, seconds_of_date) is None
