"""SQLite files of ROS 2."""

import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from lidistill.bags.decompression import MAX_BYTES
from lidistill.bags.records import Channel, RawMessage, plain_kind
from lidistill.errors import FileFormatError

MAGIC: Final = b"SQLite format 3\0"
_MAX_TOPICS: Final = 10_000
_LOG: Final = "-wal"
"""Behind the name of the file in which SQLite collects what was written."""
_STEPS: Final = 1_000
_MAX_STEPS: Final = 100_000
"""Times ``_STEPS`` steps of SQLite's machine for one row; a plain table needs a few."""


def _check_merged(path: Path) -> None:
    """Refuse a bag whose recorder was killed before it moved its messages into the bag itself.

    SQLite would move them on opening, but that writes.
    """
    log = path.with_name(path.name + _LOG)
    if log.exists() and log.stat().st_size:
        merge = f"sqlite3 {path.name} 'PRAGMA wal_checkpoint(TRUNCATE)'"
        msg = (
            f"bag {path} was not closed: {log.name} beside it has {log.stat().st_size} bytes of "
            f"messages, expected none. `{merge}` moves them into the bag."
        )
        raise FileFormatError(msg)


class SqliteFile:
    """A file of a ROS 2 bag; see ``RecordFile``.

    Args:
        path: The file.

    Raises:
        FileFormatError: If its last messages lie in a file beside it.
    """

    lost = 0

    def __init__(self, path: Path) -> None:
        _check_merged(path)
        # Nothing is written beside it, and nothing is waited for.
        uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        # A stream opens it here and reads it in a thread of its own, never both at once.
        self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
        self._connection.execute("PRAGMA trusted_schema=OFF")
        self._steps = 0
        self._connection.set_progress_handler(self._count, _STEPS)
        self._numbers: dict[int, Channel] = {}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def channels(self) -> list[Channel]:
        """All topics."""
        names = "SELECT name FROM sqlite_master WHERE type = 'table'"
        if not {"topics", "messages"} <= {name for (name,) in self._connection.execute(names)}:
            msg = "not the tables 'topics' and 'messages' of a bag"
            raise ValueError(msg)
        rows = self._rows("SELECT id, name, type, serialization_format FROM topics")
        for row in rows:
            match row:
                case (int(number), str(topic), str(kind), str(encoding)):
                    self._numbers[number] = Channel(
                        topic=topic, kind=plain_kind(kind), encoding=encoding
                    )
                case _:
                    msg = "a row of the table 'topics' that is none"
                    raise ValueError(msg)
            if len(self._numbers) > _MAX_TOPICS:
                msg = f"more than {_MAX_TOPICS} topics"
                raise ValueError(msg)
        return list(self._numbers.values())

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Messages of some topics, in the order of the file."""
        wanted = [n for n, channel in self._numbers.items() if channel.topic in topics]
        marks = ", ".join("?" * len(wanted))
        query = f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks})"  # noqa: S608  question marks
        for row in self._rows(query, wanted):
            match row:
                case (int(number), int(time_ns), bytes(data)):
                    yield RawMessage(
                        channel=self._numbers[number], time_ns=time_ns, data=memoryview(data)
                    )
                case _:
                    msg = "a row of the table 'messages' that is none"
                    raise ValueError(msg)

    def _rows(self, query: str, values: Collection[int] = ()) -> Iterator[tuple[Any, ...]]:
        for row in self._connection.execute(query, tuple(values)):
            self._steps = 0
            yield row

    def _count(self) -> int:
        self._steps += 1
        return int(self._steps > _MAX_STEPS)
