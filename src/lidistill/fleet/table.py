"""The index on disk or on an object store: LanceDB tables of objects and of frames.

Shape letters: C channels, T channels of the teacher.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lidistill.errors import ConfigError, DatasetNotFoundError, FileFormatError, first_line, require
from lidistill.fleet.objects import IndexedObject
from lidistill.fleet.schema import AboutIndex, frame_schema, object_row, object_schema

logger = logging.getLogger(__name__)

OBJECTS, FRAMES, ABOUT = "objects", "frames", "about"
BRUTE_FORCE_ROWS: Final = 50_000
"""Up to so many rows, every row is looked at, which takes milliseconds."""
_PROBED: Final = 0.06  # share of the partitions that a search looks into
_REFINE: Final = 20  # times the rows that are asked for are compared exactly
_SUB_VECTOR: Final = 4  # channels that one byte of a compressed vector stands for

Space: TypeAlias = Literal["vector", "head"]
"""Features of the network, or of its head in the teacher's space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedFrame:
    """A frame that was looked at, and its objects."""

    frame: str
    drive: str
    number: int
    """In the data set, from 0."""
    objects: tuple[IndexedObject, ...]
    reason: str = ""
    """Why it could not be used; empty where it could."""


class FleetIndex:
    """Tables of objects and frames; ``create`` and ``open`` make it.

    A batch of frames is added in two steps, objects first, and each row says the number of its
    batch. Objects of a batch that has no frames are therefore what a stopped call has left behind;
    the next one drops them.

    Args:
        database: The connection.
        about: What its rows are.
    """

    def __init__(self, database: Any, about: AboutIndex) -> None:
        self.about = about
        self._objects, self._frames = (database.open_table(name) for name in (OBJECTS, FRAMES))
        batches = self._frames.search().select(["batch"]).to_arrow()["batch"].to_pylist()
        self._batch = max(batches, default=-1) + 1

    @classmethod
    def create(cls, address: str, about: AboutIndex) -> Self:
        """A new index, or the one that is there, to go on with.

        Args:
            address: A folder, or what an object store calls it: ``s3://bucket/path``.
            about: What its rows will be.

        Raises:
            ConfigError: If an index of something else is there.
            MissingPackageError: If LanceDB is not installed.
        """
        database = _connect(address)
        names = _tables(database)
        if ABOUT in names:
            index = cls.open(address)
            there, here = index.about.model_dump(), about.model_dump()
            if there["boxes"] is None:  # of a version that did not say them
                del here["boxes"]
            different = [key for key in here if there[key] != here[key]]
            if different:
                key = different[0]
                msg = (
                    f"{address} was made with {key} {str(there[key])[:80]!r}, this call has "
                    f"{str(here[key])[:80]!r}; choose another index, or delete that one."
                )
                raise ConfigError(msg)
            return index
        if names:
            msg = f"{address} holds other tables ({', '.join(names)[:80]}); choose another place."
            raise ConfigError(msg)
        arrow = require("pyarrow", extra="fleet")
        database.create_table(OBJECTS, schema=object_schema(about))
        database.create_table(FRAMES, schema=frame_schema())
        # Last: with it the index is whole.
        database.create_table(ABOUT, arrow.table({"json": [about.model_dump_json()]}))
        return cls(database, about)

    @classmethod
    def open(cls, address: str) -> Self:
        """An index that is there.

        Raises:
            DatasetNotFoundError: If there is none.
            FileFormatError: If it is damaged, or of a newer format.
            MissingPackageError: If LanceDB is not installed.
        """
        # Connecting would make a folder.
        there = "://" in address or Path(address).exists()
        database = _connect(address) if there else None
        if database is None or ABOUT not in _tables(database):
            msg = f"{address} is no index; make one with `lidistill index RUN DATA --output INDEX`."
            raise DatasetNotFoundError(msg)
        text = database.open_table(ABOUT).to_arrow()["json"].to_pylist()
        try:
            about = AboutIndex.model_validate(json.loads(text[0]))
        except (ValidationError, ValueError, IndexError, TypeError) as error:
            msg = (
                f"{address} does not describe itself as this lidistill does "
                f"({first_line(error)}); make it anew, or use the version that wrote it."
            )
            raise FileFormatError(msg) from error
        return cls(database, about)

    @property
    def num_objects(self) -> int:
        """Rows of all frames."""
        return int(self._objects.count_rows())

    def frames(self) -> list[dict[str, Any]]:
        """Every frame that was looked at: frame, drive, number, objects, reason."""
        rows: list[dict[str, Any]] = self._frames.to_arrow().to_pylist()
        return sorted(rows, key=lambda row: row["number"])

    def drop_unfinished(self) -> None:
        """Forget what a call had not finished when it ended, and frames that it could not use."""
        self._frames.delete("reason != ''")
        self._objects.delete(f"batch >= {self._batch}")

    def add(self, frames: Sequence[IndexedFrame]) -> None:
        """Add frames with their objects; a stop in between leaves nothing half."""
        arrow = require("pyarrow", extra="fleet")
        batch = self._batch
        rows = [object_row(one, batch) for frame in frames for one in frame.objects]
        if rows:
            self._objects.add(arrow.Table.from_pylist(rows, schema=object_schema(self.about)))
        entries = [
            {
                "frame": one.frame,
                "drive": one.drive,
                "number": one.number,
                "objects": len(one.objects),
                "reason": one.reason,
                "batch": batch,
            }
            for one in frames
        ]
        self._frames.add(arrow.Table.from_pylist(entries, schema=frame_schema()))
        self._batch += 1

    def build(self) -> None:
        """Put small pieces together, and make large tables quick to search."""
        self._objects.optimize()
        if self.num_objects <= BRUTE_FORCE_ROWS:
            return
        for space, channels in (
            ("vector", self.about.channels),
            ("head", self.about.head_channels),
        ):
            if channels:
                build_vectors(self._objects, space, channels)

    def nearest(
        self, vector: NDArray[np.floating], space: Space, count: int, *, exact: bool = False
    ) -> list[dict[str, Any]]:
        """The most alike objects, the most alike first: rows with their ``similarity``.

        Args:
            vector: (C,) or (T,); its length plays no part.
            space: That it is of.
            count: How many rows.
            exact: Look at every row.
        """
        return nearest(self._objects, vector, space, count, exact=exact)

    def of_class(self, name: str, count: int) -> list[dict[str, Any]]:
        """Objects that are predicted to be of a class, the surest first."""
        quoted = name.replace("'", "''")
        columns = [one for one in self._objects.schema.names if one not in ("vector", "head")]
        query = self._objects.search().where(f"label = '{quoted}'").select(columns)
        rows: list[dict[str, Any]] = query.to_list()
        return sorted(rows, key=lambda row: (-row["confidence"], row["frame"], row["object"]))[
            :count
        ]

    def column_arrays(self) -> tuple[NDArray[np.float32], list[str], list[float | None]]:
        """(objects, C) vectors, and the frame and confidence of each.

        Only those whose frames were there when the index was opened: a call that adds to it now,
        or was stopped, writes objects before their frames.
        """
        rows = self._objects.search().where(f"batch < {self._batch}")
        table = rows.select(["vector", "frame", "confidence"]).to_arrow()
        flat = table["vector"].combine_chunks().flatten().to_numpy()
        vectors = np.asarray(flat, np.float32).reshape(-1, self.about.channels)
        return vectors, table["frame"].to_pylist(), table["confidence"].to_pylist()


def build_vectors(table: Any, space: str, channels: int) -> None:
    """Partitions by nearness and compressed vectors of a column (IVF-PQ).

    Args:
        table: Of LanceDB.
        space: Its column.
        channels: Of the column.
    """
    rows = table.count_rows()
    parts = next(size for size in (_SUB_VECTOR, 2, 1) if channels % size == 0)
    kinds = require("lancedb.index", extra="fleet")
    config = kinds.IvfPq(
        distance_type="cosine",
        num_partitions=_partitions(rows),
        num_sub_vectors=channels // parts,
    )
    table.create_index(space, config=config, replace=True)


def nearest(
    table: Any, vector: NDArray[np.floating], space: str, count: int, *, exact: bool = False
) -> list[dict[str, Any]]:
    """See ``FleetIndex.nearest``."""
    query = table.search(vector.astype(np.float32), vector_column_name=space)
    query = query.distance_type("cosine").limit(count)
    if exact:
        query = query.bypass_vector_index()
    elif table.list_indices():
        probes = max(20, round(_PROBED * _partitions(table.count_rows())))
        query = query.nprobes(probes).refine_factor(_REFINE)
    columns = [one for one in table.schema.names if one not in ("vector", "head")]
    rows = query.select([*columns, "_distance"]).to_list()
    for row in rows:
        row["similarity"] = 1 - row.pop("_distance")
    order = sorted(rows, key=lambda row: (-row["similarity"], row["frame"], row["object"]))
    return list(order)


def _partitions(rows: int) -> int:
    return max(1, round(rows**0.5))


def _connect(address: str) -> Any:
    lancedb = require("lancedb", extra="fleet")
    try:
        return lancedb.connect(address)
    except (ValueError, RuntimeError) as error:
        msg = f"{address} cannot be opened as an index ({first_line(error)}); check the address."
        raise ConfigError(msg) from error


def _tables(database: Any) -> list[str]:
    return list(database.list_tables().tables)
