"""Files of weights as authors publish them, and the archives that they come in: never trusted."""

import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final

import torch

from lidistill.errors import UNREADABLE, CheckpointError, first_line

MAX_BYTES: Final = 8 * 2**30
"""Unpacked size that an archive may have; WI-48-768 with its optimiser takes 0.7 GB."""
_MAX_MEMBERS: Final = 10_000
_MAX_HEADER: Final = 1 << 20  # bytes of a long name and the like, which are read at once
_PIECE: Final = 1 << 22  # bytes copied at a time
_WEIGHT_FILES: Final = {".pth", ".pt", ".ckpt"}


@contextmanager
def weight_file(file: Path) -> Iterator[Path]:
    """The file itself, or the one file of weights in an archive, unpacked for a while.

    Raises:
        CheckpointError: If there is no file, or it is an archive that is damaged, not to be
            trusted, or without exactly one file of weights.
    """
    if not file.is_file():
        msg = f"{file} is not a file; give the .pth or .tar.gz that the authors publish."
        raise CheckpointError(msg)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "weights.pth"
        try:
            archive = _open(file)
            if archive is not None:
                with archive:
                    _unpack(archive, target, file)
        except (tarfile.TarError, EOFError, OSError) as error:
            msg = f"{file} is a damaged archive ({first_line(error)}); download it again."
            raise CheckpointError(msg) from error
        yield file if archive is None else target


class _Header(tarfile.TarInfo):
    """A header that is not believed when it announces a name that would fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        """See ``tarfile.TarInfo.frombuf``."""
        header = super().frombuf(buf, encoding, errors)
        if not (header.isfile() or header.isdir()) and header.size > _MAX_HEADER:
            msg = f"a header of {header.size:,} bytes"
            raise tarfile.TarError(msg)
        return header


def _open(file: Path) -> tarfile.TarFile | None:
    """The archive, or None where the file is none."""
    try:
        return tarfile.open(file, tarinfo=_Header)
    except tarfile.ReadError:
        return None


def _unpack(archive: tarfile.TarFile, target: Path, file: Path) -> None:
    """Write the one file of weights; nothing is ever written under a name from the archive."""
    found: list[str] = []
    total = 0
    for number, member in enumerate(archive, start=1):
        path = PurePosixPath(member.name)
        safe = (member.isfile() or member.isdir()) and not path.is_absolute()
        total += member.size
        if not safe or ".." in path.parts or total > MAX_BYTES or number > _MAX_MEMBERS:
            msg = (
                f"{file} is not an archive to trust: {member.name!r} is a link, leaves the folder, "
                f"or goes beyond {MAX_BYTES // 2**30} GiB; get it from its authors."
            )
            raise CheckpointError(msg)
        if member.isfile() and path.suffix in _WEIGHT_FILES and not path.name.startswith("._"):
            found.append(member.name)
            content = archive.extractfile(member)
            assert content is not None  # noqa: S101  it is a file
            with target.open("wb") as copy:
                while piece := content.read(_PIECE):
                    copy.write(piece)
    if len(found) != 1:
        names = ", ".join(found[:3]) or "none"
        msg = f"{file} holds {len(found)} files of weights ({names}), expected one; unpack it."
        raise CheckpointError(msg)


def plain_state(weights: Path, file: Path) -> dict[str, Any]:
    """What a file of weights holds, by its names; no code in it is run.

    Args:
        weights: Where it lies.
        file: What the user gave.

    Raises:
        CheckpointError: If it holds anything but tensors, or no names.
    """
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        # PyTorch's own text recommends weights_only=False, which would run what the file says.
        msg = (
            f"{file} is not a checkpoint of plain tensors ({first_line(error)}); download it "
            "again from its authors."
        )
        raise CheckpointError(msg) from error
    if not isinstance(state, dict):
        msg = f"{file} holds {type(state).__name__}, expected weights by their names."
        raise CheckpointError(msg)
    return {str(key): value for key, value in state.items()}
