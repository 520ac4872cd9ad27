"""Files from elsewhere made to do harm: archives that reach out, arrays of objects, bombs."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_BOMB = 768 * 2**20  # bytes that unpack from a few kilobytes


class RunsCode:
    """Pickles as a call that leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self._mark}",))


def _write_tar(file: Path, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    with tarfile.open(file, "w:gz") as archive:
        for info, content in members:
            info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content))


def _link(kind: bytes, target: Path) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo("way")
    info.type, info.linkname = kind, str(target)
    return info, b""


def _climbs(file: Path, mark: Path) -> None:
    _write_tar(file, (tarfile.TarInfo("../" * 30 + str(mark).lstrip("/")), b"x"))


def _absolute(file: Path, mark: Path) -> None:
    _write_tar(file, (tarfile.TarInfo(str(mark)), b"x"))


def _through_a_link(file: Path, mark: Path) -> None:
    way = _link(tarfile.SYMTYPE, mark.parent)
    _write_tar(file, way, (tarfile.TarInfo(f"way/{mark.name}"), b"x"))


def _hard_link(file: Path, mark: Path) -> None:
    _write_tar(file, _link(tarfile.LNKTYPE, mark))


def _packed_code(file: Path, mark: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([RunsCode(mark)]), allow_pickle=True)
    _write_tar(file, (tarfile.TarInfo("model.pth"), buffer.getvalue()))


def _huge_member(file: Path, mark: Path) -> None:
    info = tarfile.TarInfo("model.pth")
    info.size = 1 << 42
    file.write_bytes(gzip.compress(info.tobuf() + bytes(1024)))


def _object_array(scan: Path, mark: Path) -> None:
    with scan.with_suffix(".npy").open("wb") as file:
        np.save(file, np.array([RunsCode(mark)]), allow_pickle=True)


def _huge_array(scan: Path, mark: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 4)}".ljust(117)
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n"
    scan.with_suffix(".npy").write_bytes(content)


def _packed_objects(scan: Path, mark: Path) -> None:
    np.savez(scan.with_suffix(".npz"), points=np.array([RunsCode(mark)]))


def _bomb(scan: Path, mark: Path) -> None:
    with (
        zipfile.ZipFile(scan.with_suffix(".npz"), "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("points.npy", "w", force_zip64=True) as member,
    ):
        array: Any = np.lib.format
        array.write_array_header_1_0(
            member, {"descr": "<f4", "fortran_order": False, "shape": (_BOMB // 16, 4)}
        )
        for _ in range(_BOMB >> 22):
            member.write(bytes(1 << 22))


ARCHIVES: tuple[Callable[[Path, Path], None], ...] = (
    _climbs,
    _absolute,
    _through_a_link,
    _hard_link,
    _packed_code,
    _huge_member,
)
"""Each writes an archive to import weights from."""
SCANS: tuple[Callable[[Path, Path], None], ...] = (
    _object_array,
    _huge_array,
    _packed_objects,
    _bomb,
)
"""Each writes a scan under a name without its ending."""
