import multiprocessing
import struct

import numpy as np
import pytest
from fakes.scan_writers import cloud
from fakes.surveys import e57, las

from lidistill.errors import FileFormatError, MissingPackageError
from lidistill.scan_formats import surveys
from lidistill.scan_formats.scan_file import read_scan


@pytest.mark.parametrize("suffix", [".las", ".laz"])
@pytest.mark.parametrize("point_format", [1, 6])
def test_las_and_laz_give_back_what_was_written(tmp_path, suffix, point_format):
    table = cloud()
    scan = read_scan(las(tmp_path / f"x{suffix}", table, point_format))
    for axis, values in zip("xyz", scan.points.T, strict=True):
        np.testing.assert_allclose(values, table[axis], atol=6e-4)
    np.testing.assert_array_equal(scan.intensity, table["intensity"])
    np.testing.assert_array_equal(scan.columns["classification"], table["ring"] % 32)


def test_laz_is_read_in_a_process_forked_after_a_first_scan(tmp_path):
    path = las(tmp_path / "x.laz", cloud())
    read_scan(path)
    child = multiprocessing.get_context("fork").Process(target=read_scan, args=(path,))
    child.start()
    child.join(timeout=60)
    hangs = child.is_alive()
    child.kill()
    assert not hangs
    assert child.exitcode == 0


def test_e57_is_read_in_the_frame_of_its_scanner(tmp_path):
    table = cloud()
    scan = read_scan(e57(tmp_path / "x.e57", table))
    np.testing.assert_allclose(scan.points[:, 0], table["x"])
    np.testing.assert_array_equal(scan.intensity, table["intensity"])


def test_an_e57_file_of_several_scans_is_an_error(tmp_path):
    with pytest.raises(FileFormatError, match="2 scans in one file, expected 1"):
        read_scan(e57(tmp_path / "x.e57", cloud(), num_scans=2))


@pytest.mark.parametrize("suffix", [".las", ".laz", ".e57"])
def test_cut_empty_and_foreign_files_are_an_error(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    content = (e57 if suffix == ".e57" else las)(path, cloud(400)).read_bytes()
    for changed in (content[:-100], content[: len(content) // 2], content[:90], b"", b"x" * 4096):
        path.write_bytes(changed)
        with pytest.raises(FileFormatError, match=str(path)):
            read_scan(path)


@pytest.mark.parametrize("suffix", [".las", ".laz"])
@pytest.mark.parametrize(
    ("offset", "code", "value"),
    [(247, "<Q", 10**12), (100, "<I", 2**32 - 1), (243, "<I", 2**31), (96, "<I", 2**32 - 1)],
)
def test_las_headers_that_count_too_much_are_an_error(tmp_path, suffix, offset, code, value):
    path = las(tmp_path / f"x{suffix}", cloud())
    content = bytearray(path.read_bytes())
    struct.pack_into(code, content, offset, value)
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=str(path)):
        read_scan(path)


@pytest.mark.parametrize(("suffix", "package"), [(".las", "laspy"), (".e57", "pye57")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, suffix, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"")
    with pytest.raises(MissingPackageError, match=rf"extra \[{suffix[1:]}\]"):
        read_scan(path)


@pytest.mark.parametrize("suffix", [".las", ".laz", ".e57"])
def test_flipped_bits_end_in_a_clear_error_or_a_scan(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    content = (e57 if suffix == ".e57" else las)(path, cloud(100)).read_bytes()
    rng = np.random.default_rng(0)
    for number in range(30):
        changed = bytearray(content)
        place = int(rng.integers(len(content) if number % 2 else 400))
        changed[place] ^= 1 << int(rng.integers(8))
        if number % 3 == 0:  # numbers out of all bounds, and many of them
            changed[place : place + 40] = b"\xff" * len(changed[place : place + 40])
        path.write_bytes(changed)
        try:
            assert len(read_scan(path).points) <= 100
        except FileFormatError as error:
            text = str(error)
            assert str(path) in text
            assert text.isprintable()
            assert len(text) < 600


@pytest.mark.parametrize(("suffix", "script"), [(".laz", "laz_child"), (".e57", "e57_child")])
def test_a_library_that_ends_its_process_ends_one_scan(tmp_path, monkeypatch, suffix, script):
    """As lazrs does on some damaged files, with SIGABRT."""
    path = (e57 if suffix == ".e57" else las)(tmp_path / f"x{suffix}", cloud())
    (tmp_path / f"{script}.py").write_text("import os; os.abort()")
    monkeypatch.setattr(surveys, "__file__", str(tmp_path / "surveys.py"))
    with pytest.raises(FileFormatError, match=f"x{suffix} cannot be read .*ended by signal 6"):
        read_scan(path)


def test_points_that_an_e57_file_marks_as_invalid_stay_in_their_rows(tmp_path):
    table = cloud()
    state = np.zeros(len(table), np.int32)
    state[[3, 8]] = 2
    scan = read_scan(e57(tmp_path / "x.e57", table, cartesianInvalidState=state))
    assert np.flatnonzero(np.isnan(scan.points).all(axis=1)).tolist() == [3, 8]
    rest = np.delete(np.arange(len(table)), [3, 8])
    np.testing.assert_allclose(scan.points[rest, 0], table["x"][rest])
