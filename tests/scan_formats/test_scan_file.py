import io
import zipfile

import numpy as np
import pytest
from fakes.scan_writers import NAMES, WRITERS, cloud, npy, pcd, ply
from numpy.lib import recfunctions

from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.scan_formats.scan_file import SCAN_SUFFIXES, read_scan, scan_suffix
from lidistill.scan_formats.scan_folder import scans_of

HUGE = 10**12


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.usefixtures("both_forms")
@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_every_format_gives_back_what_was_written(tmp_path, suffix):
    table = cloud()
    scan = read_scan(write(tmp_path, f"000007{suffix}", WRITERS[suffix](table)))
    expected = np.stack([table["x"], table["y"], table["z"]], axis=1)
    np.testing.assert_array_equal(scan.points, expected)
    np.testing.assert_array_equal(scan.intensity, table["intensity"])
    assert scan.points.dtype == scan.intensity.dtype == np.float32
    for name, values in scan.columns.items():
        np.testing.assert_array_equal(values, table[name])
    kept = {".bin": 0, ".pcd.bin": 1}.get(suffix, 2)
    assert tuple(scan.columns) == NAMES[4 : 4 + kept]


@pytest.mark.usefixtures("both_forms")
@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_a_cut_file_is_an_error_and_one_without_a_header_may_not_be_longer(tmp_path, suffix):
    content = WRITERS[suffix](cloud())
    longer = content + b"17\n"
    for changed in (content[:-3], content[: len(content) // 2 - 3], content[:1], b"", longer):
        path = write(tmp_path, f"x{suffix}", changed)
        if changed == longer and suffix not in {".bin", ".pcd.bin"}:
            continue  # what does not belong to the points is passed over
        if changed == content[:-3] and "ascii" in suffix:
            continue  # its last number may be whole
        with pytest.raises(FileFormatError, match=str(path)):
            read_scan(path)


@pytest.mark.usefixtures("both_forms")
@pytest.mark.parametrize("suffix", sorted(WRITERS))
@pytest.mark.parametrize("value", [2e4, -1e30])
def test_impossible_coordinates_are_an_error(tmp_path, suffix, value):
    table = cloud()
    table["y"][3] = value
    with pytest.raises(FileFormatError, match="first point 3"):
        read_scan(write(tmp_path, f"x{suffix}", WRITERS[suffix](table)))


@pytest.mark.usefixtures("both_forms")
@pytest.mark.parametrize("suffix", sorted(WRITERS))
@pytest.mark.parametrize(
    "lost", [(np.nan,) * 4, (0, 0, 0, 0), (0, 0, 0, 7), (np.inf, -np.inf, np.inf, np.nan)]
)
def test_beams_that_did_not_come_back_stay_in_their_place(tmp_path, suffix, lost):
    table = cloud()
    table["y"][9] = lost[1] or np.nan  # one coordinate is enough, unless it is 0
    table["x"][20] = 0
    for name, value in zip(NAMES[:4], lost, strict=True):
        table[name][5] = value
    scan = read_scan(write(tmp_path, f"x{suffix}", WRITERS[suffix](table)))
    assert np.flatnonzero(np.isnan(scan.points).all(axis=1)).tolist() == [5, 9]
    rest = np.delete(np.arange(40), [5, 9])
    expected = np.stack([table[axis] for axis in "xyz"], axis=1)
    np.testing.assert_array_equal(scan.points[rest], expected[rest])
    np.testing.assert_array_equal(scan.intensity[rest], table["intensity"][rest])
    for axis, value in zip("xyz", lost, strict=False):
        table[axis] = value
    with pytest.raises(FileFormatError, match="none of its 40 points has a place"):
        read_scan(write(tmp_path, f"x{suffix}", WRITERS[suffix](table)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("suffix", [".bin", ".pcd.bin"])
def test_impossible_intensities_are_an_error(tmp_path, value, suffix):
    table = cloud()
    table["intensity"][2] = value
    path = write(tmp_path, f"x{suffix}", WRITERS[suffix](table))
    for intensity in (None, "none"):
        with pytest.raises(FileFormatError, match=r"intensities .* first point 2"):
            read_scan(path, intensity=intensity)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("suffix", sorted({*WRITERS} - {".bin", ".pcd.bin"}))
def test_points_without_intensity_are_beams_without_an_echo(tmp_path, caplog, value, suffix):
    table = cloud()
    table["intensity"][[2, 9]] = value
    content = WRITERS[suffix](table)
    scans = [read_scan(write(tmp_path, f"{n}{suffix}", content)) for n in "ab"]
    for scan in scans:
        assert np.flatnonzero(np.isnan(scan.points).all(axis=1)).tolist() == [2, 9]
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path}: points whose intensity (column 'intensity') is not finite")
    assert np.isfinite(read_scan(tmp_path / f"a{suffix}", intensity="none").points).all()
    assert np.isfinite(read_scan(tmp_path / f"a{suffix}", intensity="ring").points).all()
    table["intensity"] = value
    path = write(tmp_path, f"c{suffix}", WRITERS[suffix](table))
    with pytest.raises(FileFormatError, match=r"none of its intensities .* go without"):
        read_scan(path)
    assert np.isfinite(read_scan(path, intensity="none").points).all()


def test_a_scan_without_intensity_says_so(tmp_path):
    table = recfunctions.drop_fields(cloud(), "intensity", asrecarray=False)
    assert read_scan(write(tmp_path, "x.npy", npy(table))).intensity is None


def test_the_intensity_may_have_another_name(tmp_path):
    table = recfunctions.rename_fields(cloud(), {"intensity": "scalar_Intensity"})
    path = write(tmp_path, "x.ply", ply(table, "binary_little_endian"))
    np.testing.assert_array_equal(read_scan(path).intensity, table["scalar_Intensity"])
    np.testing.assert_array_equal(read_scan(path, intensity="ring").intensity, table["ring"])
    assert "scalar_Intensity" in read_scan(path, intensity="ring").columns
    with pytest.raises(FileFormatError, match=r"'rings'.*did you mean 'ring'"):
        read_scan(path, intensity="rings")


@pytest.mark.parametrize("num_columns", [3, 4, 6])
def test_plain_arrays_are_points_and_intensity(tmp_path, num_columns):
    array = np.abs(np.random.default_rng(0).normal(size=(9, num_columns)))
    for name, order in (("c.npy", "C"), ("f.npy", "F")):
        scan = read_scan(write(tmp_path, name, npy(np.asarray(array, order=order))))
        np.testing.assert_allclose(scan.points, array[:, :3])
        assert (scan.intensity is None) == (num_columns == 3)


@pytest.mark.parametrize(
    "array",
    [np.zeros(9), np.zeros((9, 2)), np.zeros((0, 4)), np.array([["a", "b", "c"]]), np.float32(1)],
)
def test_arrays_of_another_shape_are_an_error(tmp_path, array):
    with pytest.raises(FileFormatError, match=r"x\.npy"):
        read_scan(write(tmp_path, "x.npy", npy(array)))


def test_nothing_is_unpickled(tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}, print], dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match="holds objects"):
        read_scan(write(tmp_path, "x.npy", stream.getvalue()))


def claim(shape):
    stream = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + bytes(64)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.npy", claim((HUGE, 4))),
        ("binary.pcd", pcd(cloud(), "binary", POINTS=HUGE, WIDTH=HUGE)),
        ("ascii.pcd", pcd(cloud(), "ascii", POINTS=HUGE, WIDTH=HUGE)),
        ("packed.pcd", pcd(cloud(), "binary_compressed", POINTS=HUGE, WIDTH=HUGE)),
        ("count.pcd", pcd(cloud(), "binary", COUNT=f"1 1 1 1 1 {HUGE}")),
        (
            "little.ply",
            ply(cloud(), "binary_little_endian", header_changes=[("x 40", f"x {HUGE}")]),
        ),
        ("ascii.ply", ply(cloud(), "ascii", header_changes=[("x 40", f"x {HUGE}")])),
        ("digits.ply", ply(cloud(), "ascii", header_changes=[("x 40", "x " + "9" * 5000)])),
    ],
)
def test_headers_that_claim_a_million_million_points_are_an_error(tmp_path, name, content):
    with pytest.raises(FileFormatError, match=name):
        read_scan(write(tmp_path, name, content))


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("lidistill.scan_formats.arrays.MAX_UNPACKED", 10**6)
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in range(6):
            archive.writestr(f"{member}.npy", bytes(200_000))
    with pytest.raises(FileFormatError, match="6 arrays of 1200000 bytes"):
        read_scan(path)


def test_compressed_points_that_claim_too_much_are_an_error(tmp_path):
    content = pcd(cloud(), "binary_compressed")
    start = content.index(b"binary_compressed\n") + len(b"binary_compressed\n")
    lie = content[: start + 4] + (2**32 - 1).to_bytes(4, "little") + content[start + 8 :]
    with pytest.raises(FileFormatError, match="claim to be"):
        read_scan(write(tmp_path, "x.pcd", lie))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"TYPE": "F F F F U Q"}, "field 'time' has 1 values of the type 'Q8'"),
        ({"SIZE": "4 4 4 3 2 8"}, "type 'F3'"),
        ({"SIZE": "4 4 4 4 2"}, "differ in length"),
        ({"FIELDS": "x y z z ring time"}, "two columns 'z'"),
        ({"FIELDS": "a b c intensity ring time"}, "expected x, y and z"),
        ({"WIDTH": 41}, "WIDTH 41 times HEIGHT 1 is not POINTS 40"),
        ({"POINTS": "many"}, "does not count its points .*many"),
        ({"POINTS": None, "WIDTH": None}, "no POINTS, and no WIDTH"),
        ({"POINTS": 40, "WIDTH": -1, "HEIGHT": -40}, "WIDTH is -1, expected none below 0"),
        ({"DATA": "gzip"}, "DATA 'gzip' is not known"),
    ],
)
def test_a_pcd_header_that_makes_no_sense_is_an_error(tmp_path, changes, said):
    with pytest.raises(FileFormatError, match=said):
        read_scan(write(tmp_path, "x.pcd", pcd(cloud(), "binary", **changes)))


def test_padding_and_fields_of_several_values_are_passed_over(tmp_path):
    types = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("_", "<u1"), ("h", "<f4"), ("pad", "<u1")]
    table = np.ones(7, dtype=types)
    content = pcd(table, "binary", FIELDS="x y z _ h _")
    scan = read_scan(write(tmp_path, "x.pcd", content))
    assert tuple(scan.columns) == ("h",)
    wide = np.ones(7, dtype=[("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("h", "<f4", (3,))])
    header = pcd(table[:0], "binary", FIELDS="x y z h", SIZE="4 4 4 4", TYPE="F F F F",
                 COUNT="1 1 1 3", WIDTH=7, POINTS=7)  # fmt: skip
    assert not read_scan(write(tmp_path, "y.pcd", header + wide.tobytes())).columns


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("property float x", "property list uchar float x"), "property 'list uchar float x'"),
        (("property float x", "property quad x"), "property 'quad x'"),
        (("format ascii", "format text"), "does not know"),
        (("element vertex", "element face"), "its elements are face"),
        (("end_header", "end"), "cut off"),
        (("ply", "plu"), "is no PLY file"),
        (("property float y", "property float x"), "two columns 'x'"),
    ],
)
def test_a_ply_header_that_makes_no_sense_is_an_error(tmp_path, change, said):
    with pytest.raises(FileFormatError, match=said):
        read_scan(write(tmp_path, "x.ply", ply(cloud(), "ascii", header_changes=[change])))


@pytest.mark.parametrize("encoding", ["ascii", "binary_big_endian"])
def test_faces_behind_the_points_are_passed_over(tmp_path, encoding):
    after = "element face 1\nproperty list uchar int vertex_indices"
    content = ply(cloud(), encoding, after=after) + b"3 0 1 2\n"
    assert len(read_scan(write(tmp_path, "x.ply", content)).points) == 40


@pytest.mark.parametrize("old", [b" 63 ", b" 0.1\n"])
def test_text_that_is_no_number_of_its_column_is_an_error(tmp_path, old):
    table = cloud()
    table["ring"] = 63
    for new in (b" word\n", b" 1.5 ", b" 99999 "):
        content = pcd(table, "ascii").replace(old, new, 1)
        if old == b" 0.1\n" and new != b" word\n":
            content = content.replace(new, b" 1 2\n", 1)
        with pytest.raises(FileFormatError, match=r"x\.pcd"):
            read_scan(write(tmp_path, "x.pcd", content))


def test_names_tell_the_format(tmp_path):
    assert scan_suffix(tmp_path / "a.b.pcd.bin") == ".pcd.bin"
    assert scan_suffix(tmp_path / "A.PCD") == ".pcd"
    assert scan_suffix(tmp_path / ".pcd") is None
    assert set(SCAN_SUFFIXES) == {
        ".bin", ".pcd.bin", ".npy", ".npz", ".pcd", ".ply", ".las", ".laz", ".e57"
    }  # fmt: skip
    with pytest.raises(FileFormatError, match="unknown format; expected a name that ends in"):
        read_scan(write(tmp_path, "x.xyz", b"1 2 3"))
    with pytest.raises(DatasetNotFoundError, match="does not exist"):
        read_scan(tmp_path / "gone.pcd")


def test_an_array_header_that_is_no_python_is_an_error(tmp_path):
    path = tmp_path / "x.npy"
    content = bytearray(npy(cloud()))
    content[content.index(b"}")] = ord("(")
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="is no NumPy file, or its header is damaged"):
        read_scan(path)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a.bag", "lidistill data unpack"),
        ("a_0.DB3", "lidistill data unpack"),
        ("00.pkl.gz", "read from its root by `view` and `index`"),
    ],
)
def test_what_holds_scans_in_another_form_is_told_where_to_take_it(tmp_path, name, advice):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / name).write_bytes(b"x")
    with pytest.raises(FileFormatError, match=f"unknown format.*{advice}"):
        read_scan(tmp_path / "deep" / name)
    with pytest.raises(DatasetNotFoundError, match=f"holds no scan.*{advice}"):
        scans_of(tmp_path)
