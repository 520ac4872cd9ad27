"""The files of a bag, opened."""

import logging
import re
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from lidistill.bags import bag1, mcap, sqlite_bag
from lidistill.bags.decompression import decoder_of
from lidistill.bags.records import RecordFile
from lidistill.errors import DatasetNotFoundError, FileFormatError, first_line
from lidistill.reading.files import open_file, read_file
from lidistill.reading.names import listed, path_part, shown
from lidistill.reading.yaml_text import parse_yaml

logger = logging.getLogger(__name__)
_MAX_BYTES: Final = 1 << 50  # bags are long


_MAX_FILES: Final = 10_000


ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


_ENDINGS: Final = (".mcap", ".db3", ".bag", ".bag.active", ".zstd")


_BLOCK: Final = 1 << 24


_FREE: Final = 1 << 30


_BARE: Final = 8  # bytes, a magic at most


_RATIO: Final = 256
"""What a packed file may unpack to: so many bytes, and so many more for each of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a bag, and what reads it."""

    path: Path
    magic: bytes
    reader: RecordFile | sqlite_bag.SqliteFile


def files_of(folder: Path) -> tuple[list[Path], bool]:
    """The files of a ROS 2 bag in order, and whether each message is packed by itself."""
    metadata = folder / "metadata.yaml"
    if not metadata.exists():
        found = [path for path in folder.iterdir() if path.name.endswith(_ENDINGS)]
        if not found:
            msg = f"{folder} holds no file in {', '.join(_ENDINGS)}; give the folder of a bag."
            raise DatasetNotFoundError(msg)
        logger.warning("%s has no metadata.yaml; all its files are read.", folder)
        return _begun(sorted(found, key=_natural)[:_MAX_FILES]), False
    try:
        about = parse_yaml(read_file(metadata))["rosbag2_bagfile_information"]
        names = [PurePosixPath(str(name)).name for name in about["relative_file_paths"]]
        files = [folder / path_part(name, "file of a bag") for name in names]
        mode = str(about.get("compression_mode") or "").lower()
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        reason = first_line(error)[:200]
        msg = f"{metadata} is no bag's ({reason}); `ros2 bag reindex {folder.name}` writes it anew."
        raise FileFormatError(msg) from error
    missing = [file.name for file in files if not file.exists()]
    if missing or not files:
        msg = (
            f"{folder} lacks {len(missing)} of the {len(files)} files that its metadata.yaml names"
            f"{', first ' + shown(missing[0]) if missing else ''}; copy them too, or reindex it."
        )
        raise DatasetNotFoundError(msg)
    return _begun(files[:_MAX_FILES]), mode == "message"


def _begun(files: list[Path]) -> list[Path]:
    """Files without those in which a recorder that was killed had written no record yet."""
    bare = [file for file in files if file.stat().st_size <= _BARE]
    if bare and len(bare) < len(files):
        logger.warning(
            "%s: left out %s, which the recorder had only just begun",
            bare[0].parent,
            listed(file.name for file in bare),
        )
        return [file for file in files if file not in bare]
    return files


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """Key by which ``bag_10`` comes after ``bag_9``."""
    parts = re.split(r"([0-9]{1,18})", path.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def open_part(path: Path, scratch: Path, stack: ExitStack) -> Part:
    """A file with the reader of its format, unpacked first where it is packed as a whole."""
    file = stack.enter_context(open_file(path, max_bytes=_MAX_BYTES))
    start = file.read(16)
    if start.startswith(ZSTD_MAGIC):
        unpacked = _unpack_file(path, file, scratch)
        file = stack.enter_context(open_file(unpacked, max_bytes=_MAX_BYTES))
        start = file.read(16)
        location = unpacked
    else:
        location = path
    size = location.stat().st_size
    reader: RecordFile | sqlite_bag.SqliteFile
    if start.startswith(mcap.MAGIC):
        magic, reader = mcap.MAGIC, mcap.McapFile(file, size)
    elif start.startswith(bag1.MAGIC):
        magic, reader = bag1.MAGIC, bag1.Bag1File(file, size)
    elif start.startswith(sqlite_bag.MAGIC):
        magic, reader = sqlite_bag.MAGIC, sqlite_bag.SqliteFile(location)
        stack.callback(reader.close)
    else:
        msg = (
            f"bag {path} begins with {shown(start)}, which is neither MCAP, ROS 1 (2.0) nor SQLite;"
            " convert older bags with `rosbag fix`."
        )
        raise FileFormatError(msg)
    return Part(path=path, magic=magic, reader=reader)


def _unpack_file(path: Path, file: BinaryIO, scratch: Path) -> Path:
    """Unpack a file that is packed as a whole, beside what is being written."""
    decoder, errors = decoder_of("zstd")
    left = _FREE + _RATIO * path.stat().st_size
    file.seek(0)
    with tempfile.NamedTemporaryFile(dir=scratch, prefix=".bag-", delete=False) as target:
        try:
            while not decoder.eof and left >= 0:
                block = file.read(_BLOCK) if decoder.needs_input else b""
                if decoder.needs_input and not block:
                    msg = f"{path} is cut off; copy it again, `zstd -t` says whether it is whole."
                    raise FileFormatError(msg)
                piece: Any = decoder.decompress(block, _BLOCK)
                target.write(piece)
                left -= len(piece)
        except errors as error:
            msg = f"{path} cannot be unpacked ({first_line(error)[:200]}); it is damaged."
            raise FileFormatError(msg) from error
    if left < 0:
        msg = f"{path} holds more than {_RATIO} times its own size; unpack it with `zstd -d` first."
        raise FileFormatError(msg)
    return Path(target.name)
