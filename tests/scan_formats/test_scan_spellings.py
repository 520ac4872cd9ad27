"""What other people's tools write and read, told from what is damaged."""

import io
import logging
import struct
import zipfile

import numpy as np
import pytest
from fakes.scan_writers import NAMES, cloud, npy, npz, pcd, ply

from lidistill.errors import FileFormatError
from lidistill.scan_formats.scan_file import read_scan


def read(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return read_scan(path)


def check_whole(scan, table=None):
    table = cloud() if table is None else table
    np.testing.assert_array_equal(scan.points, np.stack([table[axis] for axis in "xyz"], axis=1))
    np.testing.assert_array_equal(scan.intensity, table["intensity"])


def raw_bytes(**changes):
    """A PCD whose writer stored the columns as they are, because compression did not help."""
    content = pcd(cloud(), "binary_compressed", **changes)
    start = content.index(b"binary_compressed\n") + len(b"binary_compressed\n")
    columns = b"".join(cloud()[name].tobytes() for name in NAMES)
    return content[:start] + struct.pack("<II", len(columns), len(columns)) + columns


def crlf_header(content, last):
    end = content.index(last) + len(last)
    return content[:end].replace(b"\n", b"\r\n") + content[end:]


PCDS = {
    "raw bytes, compressed by name": raw_bytes(),
    "COUNT 0": pcd(cloud(), "binary", COUNT="0 1 1 0 1 1"),
    "no COUNT": pcd(cloud(), "binary", COUNT=None),
    "no POINTS": pcd(cloud(), "binary", POINTS=None, WIDTH=8, HEIGHT=5),
    "no POINTS, no HEIGHT": pcd(cloud(), "ascii", POINTS=None, HEIGHT=None),
    "no WIDTH": pcd(cloud(), "binary", WIDTH=None, HEIGHT=None),
    "no VIEWPOINT, no VERSION": pcd(cloud(), "binary", VIEWPOINT=None, VERSION=None),
    "COLUMNS": pcd(cloud(), "binary").replace(b"FIELDS", b"COLUMNS"),
    "lower case types": pcd(cloud(), "binary", TYPE="f f f f u f"),
    "CRLF": crlf_header(pcd(cloud(), "binary"), b"DATA binary\n"),
    "CRLF, ascii": pcd(cloud(), "ascii").replace(b"\n", b"\r\n"),
    "comments": pcd(cloud(), "binary").replace(b"FIELDS", b"# made by me: DATA ascii\nFIELDS"),
    "byte order mark": b"\xef\xbb\xbf" + pcd(cloud(), "binary").split(b"\n", 1)[1],
    "page of zeros behind": pcd(cloud(), "binary") + bytes(4096),
    "page of zeros behind, compressed": pcd(cloud(), "binary_compressed") + bytes(4096),
    "empty lines behind": pcd(cloud(), "ascii") + b"\n\n",
}
PLYS = {
    "CRLF": crlf_header(ply(cloud(), "binary_little_endian"), b"end_header\n"),
    "CRLF, ascii": ply(cloud(), "ascii").replace(b"\n", b"\r\n"),
    "CR": ply(cloud(), "ascii").replace(b"\n", b"\r"),
    "comment that ends nothing": ply(
        cloud(), "ascii", header_changes=[("written by a test", "end_header comes later")]
    ),
    "zeros behind": ply(cloud(), "binary_big_endian") + bytes(16),
    "camera first": ply(
        cloud(),
        "binary_little_endian",
        header_changes=[
            ("element vertex", "element camera 2\nproperty double f\nelement vertex"),
        ],
    ).replace(b"end_header\n", b"end_header\n" + bytes(16)),
}


@pytest.mark.parametrize(
    ("ending", "name"), [(".pcd", name) for name in PCDS] + [(".ply", name) for name in PLYS]
)
def test_spellings_of_other_tools_are_read(tmp_path, caplog, ending, name):
    content = {".pcd": PCDS, ".ply": PLYS}[ending][name]
    check_whole(read(tmp_path, f"x{ending}", content))
    assert not caplog.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ascii.pcd", pcd(cloud(), "ascii") + b"1 2 3 4 5 6\n"),
        ("binary.pcd", pcd(cloud(), "binary") + b"more"),
        ("packed.pcd", pcd(cloud(), "binary_compressed") + b"more"),
        ("x.ply", ply(cloud(), "binary_little_endian") + b"more"),
        ("x.npy", npy(cloud()) + npy(cloud())),
    ],
)
def test_what_follows_the_last_point_is_passed_over_and_said(tmp_path, caplog, name, content):
    with caplog.at_level(logging.WARNING, logger="lidistill"):
        check_whole(read(tmp_path, name, content))
    assert "behind" in caplog.text


@pytest.mark.parametrize(
    ("name", "content"), [("a.pcd", pcd(cloud(), "ascii")), ("a.ply", ply(cloud(), "ascii"))]
)
def test_text_without_its_last_line_break_is_read_and_said(tmp_path, caplog, name, content):
    check_whole(read(tmp_path, name, content[:-1]))
    (line,) = caplog.messages
    assert f"{name} does not end with a line break, so its last number, '0.1', may" in line
    # Without the last number, and within one that is none then.
    for cut in (content[: content.rindex(b" ")], content[:-4] + b"1e-"):
        with pytest.raises(FileFormatError, match=name):
            read(tmp_path, name, cut)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_structured_points_may_lie_in_rows(tmp_path, name):
    rows = cloud().reshape(8, 5)
    check_whole(read(tmp_path, name, npy(rows) if name == "x.npy" else saved(points=rows)))


def test_times_in_nanoseconds_are_read_from_text(tmp_path):
    table = cloud()
    types = [(name, "u8" if name == "time" else table.dtype[name]) for name in NAMES]
    table = table.astype(types)
    table["time"] = 1_732_820_000_123_456_789
    scan = read(tmp_path, "x.pcd", pcd(table, "ascii"))
    np.testing.assert_allclose(scan.columns["time"].astype(float), 1.732820000123456789e18)


def test_colours_and_double_coordinates_do_no_harm(tmp_path):
    table = cloud()
    types = [(n, "f8" if n in "xyz" else table.dtype[n]) for n in NAMES] + [("rgb", "f4")]
    wide = np.zeros(len(table), types)
    for name in NAMES:
        wide[name] = table[name]
    wide["rgb"] = np.frombuffer(bytes([0, 0, 192, 127]), "<f4")[0]  # NaN as a number
    for name, content in (("a.pcd", pcd(wide, "binary")), ("a.npy", npy(wide))):
        check_whole(read(tmp_path, name, content), table)


@pytest.mark.parametrize("rows", [3, 4, 5, 6])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_a_transposed_array_is_always_told(tmp_path, rows, positive, name):
    rng = np.random.default_rng(rows)
    array = rng.uniform(0 if positive else -30, 30, (rows, 6000)).astype(np.float32)
    stream = io.BytesIO()
    if name == "x.npz":
        np.savez(stream, points=array)
    else:
        np.save(stream, array)
    with pytest.raises(FileFormatError, match=r"looks transposed .*Save its \.T"):
        read(tmp_path, name, stream.getvalue())


def test_names_that_latin_does_not_know_are_read(tmp_path):
    table = cloud()
    renamed = table.astype([*table.dtype.descr[:5], ("时间", "f8")])
    with pytest.warns(UserWarning, match=r"format 3\.0"):
        content = npy(renamed)
    scan = read(tmp_path, "x.npy", content)
    check_whole(scan)
    np.testing.assert_array_equal(scan.columns["时间"], table["time"])


def test_an_array_of_one_column_of_structures_is_read(tmp_path):
    check_whole(read(tmp_path, "x.npy", npy(cloud().reshape(-1, 1))))


def test_an_archive_that_is_not_compressed_is_read(tmp_path):
    check_whole(read(tmp_path, "x.npz", npz(cloud(), compressed=False)))


def test_an_archive_with_one_array_of_any_name_and_one_with_a_pose_are_read(tmp_path):
    points = np.stack([cloud()[name] for name in NAMES[:4]], axis=1)
    for name, arrays in (
        ("one.npz", {"arr_0": points}),
        ("named.npz", {"xyz": points, "K": np.eye(3), "T": np.eye(4), "ring": cloud()["ring"]}),
        ("upper.npz", {"Points": points, "further": np.ones((7, 3))}),
        ("pose.npz", {"points": points, "pose": np.ones(7), "stamp": np.float64(3)}),
        ("axes.npz", {**{n: cloud()[n] for n in NAMES}, "pose": np.ones(7)}),
    ):
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        scan = read(tmp_path, name, stream.getvalue())
        check_whole(scan)
        assert "pose" not in scan.columns


def saved(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def test_what_an_archive_holds_beside_numbers_does_no_harm(tmp_path):
    points = np.stack([cloud()[name] for name in NAMES[:4]], axis=1)
    objects = np.array({"town": "Ulm"}, dtype=object)
    content = saved(boxes=np.zeros((0, 7)), about=objects, mask=None, points=points, name="")
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("readme.txt", "points: x y z intensity")
    scan = read(tmp_path, "x.npz", stream.getvalue())
    check_whole(scan)
    assert not scan.columns
    with pytest.raises(FileFormatError, match=r"'points\.npy' holds objects"):
        read(tmp_path, "x.npz", saved(points=objects, pose=np.eye(4)))
    with pytest.raises(FileFormatError, match=r"'boxes\.npy' is empty, an array of shape \(0, 7\)"):
        read(tmp_path, "x.npz", saved(boxes=np.zeros((0, 7))))


def test_reflectances_in_decibel_are_read(tmp_path):
    table = cloud()
    table["intensity"] -= 300
    for name, content in (("x.pcd", pcd(table, "binary")), ("x.npy", npy(table))):
        check_whole(read(tmp_path, name, content), table)


@pytest.mark.parametrize("num_columns", [3, 5, 6, 7, 8])
@pytest.mark.parametrize("positive", [False, True])
def test_a_bin_of_another_number_of_columns_is_told(tmp_path, num_columns, positive):
    rng = np.random.default_rng(0)
    scan = rng.normal(0, 1, (6000, 8)) * [20, 20, 1, 0, 0, 0, 0, 0]
    scan[:, 3:] = rng.uniform(0, [255, 1, 32, 0.1, 1], (6000, 5))
    scan = (np.abs(scan) if positive else scan)[:, :num_columns].astype("<f4")
    with pytest.raises(FileFormatError, match=rf"looks like {num_columns} a .*five for \.pcd\.bin"):
        read(tmp_path, "x.bin", scan.tobytes())
    with pytest.raises(FileFormatError, match=r"x\.bin"):
        read(tmp_path, "x.bin", scan.astype("<f8").tobytes())


@pytest.mark.parametrize("share", [0, 0.1, 1])
@pytest.mark.parametrize("lost", [0, np.nan])
def test_a_second_return_of_every_beam_may_be_missing(tmp_path, share, lost):
    rng = np.random.default_rng(0)
    first = rng.normal(0, 1, (3000, 4)) * [20, 20, 1, 0]
    first[:, 3] = rng.uniform(0, 1, 3000)
    second = first * 1.1
    second[rng.uniform(size=3000) >= share] = [lost, lost, lost, 0]
    scan = np.stack([first, second], axis=1).reshape(-1, 4).astype("<f4")
    points = read(tmp_path, "x.bin", scan.tobytes()).points
    there = np.isfinite(scan).all(axis=1) & scan[:, :3].any(axis=1)
    np.testing.assert_array_equal(points[there], scan[there, :3])
    assert np.isnan(points[~there]).all()


def test_intensities_of_corrupted_sets_are_read_as_they_are(tmp_path):
    scan = np.random.default_rng(0).normal(0, [20, 20, 1, 1], (6000, 4)).astype("<f4")
    scan[:, 3] = np.clip(scan[:, 3], -3, 3)
    np.testing.assert_array_equal(read(tmp_path, "x.bin", scan.tobytes()).intensity, scan[:, 3])


def test_what_windows_writes_for_no_number_is_read(tmp_path):
    table = cloud()
    for axis in "xyz":
        table[axis][3] = np.nan
    for name, content in (("x.pcd", pcd(table, "ascii")), ("x.ply", ply(table, "ascii"))):
        assert content.count(b"nan") == 3
        for word in (b"-nan(ind)", b"1.#QNAN", b"-1.#IND00", b"nan(snan)"):
            check_whole(read(tmp_path, name, content.replace(b"nan", word)), table)


def test_an_organised_array_is_read_row_by_row(tmp_path):
    points = np.stack([cloud()[name] for name in NAMES[:4]], axis=1)
    check_whole(read(tmp_path, "rows.npy", npy(points.reshape(5, 8, 4))))
    check_whole(read(tmp_path, "one.npy", npy(points[None])))
    with pytest.raises(FileFormatError, match=r"of shape \(4, 4, 10\), expected"):
        read(tmp_path, "first.npy", npy(points.T.reshape(4, 4, 10)))


def test_intensities_as_a_column_of_an_archive_are_not_lost(tmp_path):
    stream = io.BytesIO()
    points = np.stack([cloud()[axis] for axis in "xyz"], axis=1)
    np.savez(stream, points=points, intensity=cloud()["intensity"][:, None])
    check_whole(read(tmp_path, "x.npz", stream.getvalue()))


def test_an_archive_says_which_arrays_could_be_meant(tmp_path):
    stream = io.BytesIO()
    np.savez(stream, first=np.ones((9, 3)), second=np.ones((8, 4)))
    said = r"holds the arrays first \(9, 3\), second \(8, 4\), expected one of points.*'points'\."
    with pytest.raises(FileFormatError, match=said):
        read(tmp_path, "x.npz", stream.getvalue())


def test_long_whole_numbers_of_a_ply_are_read(tmp_path):
    table = cloud()
    table = table.astype([(n, "i8" if n == "time" else table.dtype[n]) for n in NAMES])
    table["time"] = 1_732_820_000_123_456_789
    content = ply(table, "binary_little_endian")
    scan = read(tmp_path, "x.ply", content)
    check_whole(scan)
    assert (scan.columns["time"] == 1_732_820_000_123_456_789).all()
