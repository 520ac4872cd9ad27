"""Scan files that claim, repeat or pack more than any scan has: one short line, little memory."""

import io
import resource
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from fakes.scan_writers import cloud, npy, pcd, ply

from lidistill.errors import FileFormatError
from lidistill.scan_formats.columns import MAX_POINTS, MAX_UNPACKED
from lidistill.scan_formats.scan_file import read_scan


def header_only(shape, descr="<f4"):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode().ljust(245)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n" + bytes(64)


def zipped(*members, lie=None, method=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    content = stream.getvalue()
    if lie is not None:  # the unpacked size, in both headers
        true = struct.pack("<I", len(members[0][1]))
        content = content.replace(true, struct.pack("<I", lie))
    return content


def lzf_bomb(num_points):
    size = 16 * num_points
    repeats = size // 264 + 1
    packed = b"\x00\x01" + b"\xe0\xff\x00" * repeats
    head = pcd(cloud(1)[["x", "y", "z", "intensity"]], "binary_compressed")
    head = head[: head.index(b"compressed\n") + 11].replace(b"S 1\n", b"S %d\n" % num_points)
    head = head.replace(b"WIDTH 1\n", b"WIDTH %d\n" % num_points)
    return head + struct.pack("<II", len(packed), size) + packed


def literal_runs(num_bytes):
    """LZF that takes one byte at a time: two steps for every point's number."""
    head = pcd(cloud(1)[["x", "y", "z"]], "binary_compressed", WIDTH=num_bytes // 12,
               POINTS=num_bytes // 12)  # fmt: skip
    head = head[: head.index(b"compressed\n") + 11]
    return head + struct.pack("<II", 2 * num_bytes, num_bytes) + b"\x00\x01" * num_bytes


def many_fields(count):
    names = " ".join(f"a{i % 9}" for i in range(count))
    ones = " ".join("1" for _ in range(count))
    return f"FIELDS {names}\nSIZE {ones}\nTYPE {'U ' * count}\nPOINTS 1\nDATA binary\n".encode()


HOSTILE = {
    "minus.npy": lambda: header_only((-1, 4)),
    "minus_twice.npy": lambda: header_only((-4, -4)),
    "true.npy": lambda: header_only((True, 16)),
    "words.npy": lambda: header_only("ab"),
    "long.npy": lambda: header_only((10**200, 4)),
    "wide.npy": lambda: header_only((4,), f"|V{10**9}"),
    "inner.npy": lambda: header_only((2,), ("<f4", (8,))),
    "points.npy": lambda: npy(np.ones((MAX_POINTS + 1, 3), np.float16)),
    "names.npz": lambda: zipped(*[(f"{i}", b"") for i in range(20_000)]),
    "lie.npz": lambda: zipped(("points.npy", bytes(200 * 2**20)), lie=100),
    "bomb.npz": lambda: zipped(("points.npy", bytes(200 * 2**20))),
    "lzma.npz": lambda: zipped(("points.npy", bytes(2**20)), method=zipfile.ZIP_LZMA),
    "lzf.pcd": lambda: lzf_bomb(2**24),
    "million.pcd": lambda: lzf_bomb(MAX_POINTS + 1),
    "fields.pcd": lambda: many_fields(200_000),
    "names.pcd": lambda: many_fields(6_000),
    "negative.pcd": lambda: pcd(cloud(), "binary", WIDTH=-1, HEIGHT=-1, POINTS=1),
    "name.pcd": lambda: pcd(cloud(), "binary", FIELDS="x y z a" + 2 * (" \x1b[31m" + "z" * 30_000)),
    "columns.npy": lambda: npy(np.zeros(9, [(f"\x1b{i}" + "a" * 90, "u1") for i in range(80)])),
    "lines.pcd": lambda: pcd(cloud(), "ascii") [:-40] + b"\n" * (60 * 2**20),
    "line.pcd": lambda: pcd(cloud(1), "ascii", POINTS=1) [:-9] + b"1 " * (30 * 2**20) + b"\n",
    "properties.ply": lambda: ply(
        cloud(), "ascii", header_changes=[("end_h", "property float x\n" * 3000 + "end_h")]
    ),
    "before.ply": lambda: ply(
        cloud(), "ascii",
        header_changes=[("element vertex", f"element a {10**17}\nelement vertex")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_scans_end_in_one_short_line_and_little_memory(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(HOSTILE[name]())
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(FileFormatError, match=name) as caught:
            read_scan(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 1000
    assert peak < 256 * 2**20
    assert time.process_time() - start < 5


def test_a_sparse_file_is_refused_by_its_size(tmp_path):
    path = tmp_path / "x.bin"
    with path.open("wb") as file:
        file.truncate(3 * 2**30)
    with pytest.raises(FileFormatError, match=f"expected at most {MAX_UNPACKED}"):
        read_scan(path)


def test_slow_steps_are_unpacked_in_no_time(tmp_path):
    path = tmp_path / "x.pcd"
    path.write_bytes(literal_runs(12 * 2**20))
    start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    scan = read_scan(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - start < 5
    np.testing.assert_array_equal(scan.points, np.frombuffer(b"\x01" * 4, "<f4")[0])
