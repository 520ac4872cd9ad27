"""Files of weights as authors publish them, and the archives that they come in: never trusted."""

import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, cast

from lidistill.errors import CheckpointError, FileFormatError, first_line
from lidistill.reading.bounded_streams import Counted, Gunzip, TooLargeError
from lidistill.reading.files import open_file
from lidistill.reading.names import shown
from lidistill.reading.plain_pickle import Inert
from lidistill.reading.safetensors_file import read_safetensors
from lidistill.reading.torch_file import MAX_BYTES as MAX_FILE
from lidistill.reading.torch_file import how_to_mend, read_torch_file

MAX_BYTES: Final = 2 * 2**30
"""Unpacked size that an archive may have; WI-48-768 with its optimiser takes 0.7 GB."""
_MAX_RATIO: Final = 16
"""Unpacked size, in packed ones; weights hardly shrink when they are packed."""
_SLACK: Final = 1 << 26  # bytes beyond that ratio
_MAX_MEMBERS: Final = 10_000
_MAX_HEADER: Final = 1 << 20  # bytes of a long name and the like, which are read at once
_PIECE: Final = 1 << 22  # bytes copied at a time
_WEIGHT_FILES: Final = {".pth", ".pt", ".ckpt"}
_OTHER_PACKING: Final = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
}


@contextmanager
def weight_file(file: Path) -> Iterator[Path]:
    """The file itself, or the one file of weights in an archive, unpacked for a while.

    Raises:
        CheckpointError: If there is no file, or it is an archive that is damaged, not to be
            trusted, or without exactly one file of weights.
    """
    if not file.is_file():
        msg = f"{file} is not a file; give the .pth, .safetensors or .tar.gz that is published."
        raise CheckpointError(msg)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "weights.pth"
        try:
            with open_file(file, max_bytes=MAX_FILE) as content:
                unpacked = _unpacked(content, file)
                if unpacked is not None:
                    _unpack(unpacked, target, file)
        except FileFormatError as error:
            msg = f"{first_line(error)} Expected a file of weights, or an archive of one."
            raise CheckpointError(msg) from error
        except TooLargeError as error:
            msg = f"{file} is not an archive to trust ({error}); give the file of weights in it."
            raise CheckpointError(msg) from error
        except (tarfile.TarError, EOFError, OSError, ValueError, LookupError) as error:
            msg = f"{file} is a damaged archive ({first_line(error)}); download it again."
            raise CheckpointError(msg) from error
        yield file if unpacked is None else target


class _Header(tarfile.TarInfo):
    """A header that is not believed when it announces a name that would fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        """See ``tarfile.TarInfo.frombuf``."""
        header = super().frombuf(buf, encoding, errors)
        extended = not (header.isfile() or header.isdir())
        if header.size < 0 or (extended and header.size > _MAX_HEADER):
            msg = f"a header of {header.size:,} bytes"
            raise tarfile.TarError(msg)
        return header


def _unpacked(content: BinaryIO, file: Path) -> Counted | None:
    """The tar inside a file, whose bytes are counted as they come; None where there is none."""
    start = content.read(tarfile.BLOCKSIZE)
    size = content.seek(0, 2)
    content.seek(0)
    for magic, name in _OTHER_PACKING.items():
        if start.startswith(magic):
            msg = f"{file} is packed with {name}, which is not read here; give what is in it."
            raise CheckpointError(msg)
    if start.startswith(b"\x1f\x8b"):
        return Counted(Gunzip(content), limit=min(MAX_BYTES, _MAX_RATIO * size + _SLACK))
    is_tar = start[257:262] == b"ustar"
    return Counted(content, limit=MAX_BYTES) if is_tar else None


def _unpack(content: Counted, target: Path, file: Path) -> None:
    """Write the one file of weights; nothing is ever written under a name from the archive."""
    found: list[str] = []
    with tarfile.open(fileobj=cast("BinaryIO", content), mode="r|", tarinfo=_Header) as archive:
        for number, member in enumerate(archive, start=1):
            path = PurePosixPath(member.name)
            _check_member(member, content, file, number)
            if member.isfile() and path.suffix in _WEIGHT_FILES and not path.name.startswith("._"):
                found.append(shown(member.name))
                inner = archive.extractfile(member)
                assert inner is not None  # noqa: S101  it is a file
                with target.open("wb") as copy:
                    while piece := inner.read(_PIECE):
                        copy.write(piece)
    if len(found) != 1:
        names = ", ".join(found[:3]) or "none"
        msg = f"{file} holds {len(found)} files of weights ({names}), expected one; unpack it."
        raise CheckpointError(msg)


def _check_member(member: tarfile.TarInfo, content: Counted, file: Path, number: int) -> None:
    """Refuse a member before a byte of it is read."""
    path = PurePosixPath(member.name)
    plain = (member.isfile() and not member.issparse()) or member.isdir()
    safe = plain and member.size >= 0 and not path.is_absolute() and ".." not in path.parts
    if not safe or number > _MAX_MEMBERS or not content.has_room_for(member.size):
        msg = (
            f"{file} is not an archive to trust: {shown(member.name)} is a link, leaves the "
            f"folder, or goes beyond {content.limit:,} bytes; unpack it yourself and give the file "
            "of weights."
        )
        raise CheckpointError(msg)


def plain_state(weights: Path, file: Path) -> dict[str, Any]:
    """What a file of weights holds, by its names; no code in it is run.

    Args:
        weights: Where it lies.
        file: What the user gave.

    Raises:
        CheckpointError: If it cannot be read, or holds no names.
    """
    try:
        if weights.suffix == ".safetensors":
            state: Any = read_safetensors(weights, max_bytes=MAX_FILE)
        else:
            state = read_torch_file(weights)
    except (OSError, ValueError) as error:
        msg = f"{file} is not a checkpoint of plain tensors ({first_line(error)}); "
        raise CheckpointError(msg + how_to_mend(error, file)) from error
    if isinstance(state, Inert):
        msg = f"{file} holds a whole {state.what}, expected weights by their names; "
        raise CheckpointError(msg + how_to_mend(None, file))
    if not isinstance(state, dict):
        msg = f"{file} holds {type(state).__name__}, expected weights by their names."
        raise CheckpointError(msg)
    return {str(key): value for key, value in state.items()}
