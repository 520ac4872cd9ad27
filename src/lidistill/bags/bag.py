"""A bag, whatever it consists of: one file or a folder of them, of either version of ROS."""

import logging
import sqlite3
import struct
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from lidistill.bags import bag1, mcap, sqlite_bag
from lidistill.bags.decompression import decompress
from lidistill.bags.parts import ZSTD_MAGIC, Part, files_of, open_part
from lidistill.bags.records import Channel, RawMessage, RecordFile
from lidistill.errors import DatasetNotFoundError, FileFormatError, first_line

logger = logging.getLogger(__name__)

_DAMAGED: Final = (ValueError, struct.error, sqlite3.Error, OverflowError)
_RECOVER: Final = {
    mcap.MAGIC: "`mcap recover FILE` keeps what is whole",
    bag1.MAGIC: "`rosbag reindex FILE` keeps what is whole",
    sqlite_bag.MAGIC: "`sqlite3 FILE .recover` keeps what is whole",
}


class Bag:
    """An open bag.

    Args:
        parts: Its files, in order.
        packed: Whether each message is packed with zstd by itself.
    """

    def __init__(self, parts: list[Part], *, packed: bool) -> None:
        self._parts, self._packed = parts, packed
        self._channels: list[Channel] = []
        for part in parts:
            with _blamed(part):
                found = part.reader.channels()
                if not found and isinstance(part.reader, RecordFile) and not part.reader.ended:
                    msg = "it is cut off in front of its first whole message"
                    raise ValueError(msg)
                self._channels += found

    @property
    def channels(self) -> list[Channel]:
        """Of all files; a topic may have several."""
        return self._channels

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Messages of some topics, as they lie in the files.

        Raises:
            FileFormatError: If a file is damaged.
        """
        for part in self._parts:
            with _blamed(part):
                for message in part.reader.messages(topics):
                    data = message.data
                    # Without its metadata.yaml a bag does not say so; no CDR begins like this.
                    if self._packed or (part.magic != bag1.MAGIC and bytes(data[:4]) == ZSTD_MAGIC):
                        data = memoryview(decompress(data, "zstd"))
                    yield RawMessage(channel=message.channel, time_ns=message.time_ns, data=data)

    def losses(self) -> list[str]:
        """One line for every file that was not closed; after all messages were read."""
        return [
            f"{part.path.name} was cut off or never closed: of its last "
            f"{part.reader.lost} bytes only whole messages were read"
            for part in self._parts
            if isinstance(part.reader, RecordFile) and part.reader.unfinished
        ]


@contextmanager
def open_bag(path: Path, *, scratch: Path) -> Iterator[Bag]:
    """Open a bag.

    Args:
        path: A file (``.bag``, ``.mcap``, ``.db3``), or the folder of a ROS 2 bag.
        scratch: Folder with room for files that are packed as a whole.

    Raises:
        DatasetNotFoundError: If there is no such bag, or a file of it is missing.
        FileFormatError: If it is damaged or none.
        MissingPackageError: If the package that unpacks it is not installed.
    """
    if not path.exists():
        msg = f"{path} does not exist; give a .bag or .mcap file, or the folder of a ROS 2 bag."
        raise DatasetNotFoundError(msg)
    files, packed = files_of(path) if path.is_dir() else ([path], False)
    with ExitStack() as stack:
        yield Bag([open_part(file, scratch, stack) for file in files], packed=packed)


@contextmanager
def _blamed(part: Part) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        reason = "".join(c if c.isprintable() else "?" for c in first_line(error)[:300])
        recover = _RECOVER[part.magic].replace("FILE", part.path.name)
        msg = f"bag {part.path} cannot be read: {reason}; it is damaged. {recover}."
        raise FileFormatError(msg) from error
