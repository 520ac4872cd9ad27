"""What somebody has marked or fitted on the page, as files that the other commands read.

Below the output folder: ``labels/<frame>.npy`` (uint8, one id for every point of the file, 255
where nothing is known) and ``labels/labels.yaml``; ``heads/<name>.head.json``.
"""

import hashlib
import json
import re
import threading
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from lidistill.atomic_write import replace_text, replacing
from lidistill.config import reason_of
from lidistill.datasets.own.files import read_label_table
from lidistill.datasets.own.label_files import CLASS_TABLE, read_ids, write_class_table
from lidistill.errors import ConfigError, FileFormatError
from lidistill.labels import IGNORE
from lidistill.segment.few_shot_head import ClassName, parse_few_shot_head
from lidistill.viewer.content import Content

M = TypeVar("M", bound=BaseModel)
_UNSAFE: Final = re.compile(r"[^\w.+-]+")
_MAX_STEM: Final = 120
_MAX_POINTS: Final = 1 << 21


class _Labels(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    frame: Annotated[int, Field(ge=0)]
    class_name: Annotated[ClassName | None, Field(alias="class")]
    points: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=_MAX_POINTS)]


class _Head(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[int, Field(ge=0)]
    space: str
    classes: list[ClassName]
    weights: list[list[FiniteFloat]]
    bias: list[FiniteFloat]


class Saver:
    """Writes below one folder, and nowhere else.

    Args:
        content: What the page shows.
        folder: Made when something is saved.
    """

    def __init__(self, content: Content, folder: Path) -> None:
        self._content, self._folder = content, folder
        self._lock = threading.Lock()

    def save_labels(self, values: Any) -> dict[str, Any]:
        """Give some points of a frame a class; those marked before stay marked.

        Args:
            values: ``{frame, class, points}`` as the page sends them; class null takes it away.

        Returns:
            The file, and how many of its points have a class now.

        Raises:
            ConfigError: If they say nothing that can be done.
            FileFormatError: If what was saved before is damaged.
        """
        asked = validated(_Labels, values)
        if asked.frame >= len(self._content.frames):
            msg = f"frame {asked.frame} is none of the {len(self._content.frames)} that are shown."
            raise ConfigError(msg)
        viewed = self._content.frames[asked.frame]
        points = np.array(asked.points, dtype=np.int64)
        if len(points) and points.max() >= len(viewed.frame.points):
            msg = f"point {points.max()} is none of the {len(viewed.frame.points)} of the frame."
            raise ConfigError(msg)
        rows = points if viewed.rows is None else viewed.rows[points]
        name = self._content.frames.frame_id(asked.frame)
        with self._lock:
            folder = self._folder / "labels"
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{file_stem(name)}.npy"
            ids = self._read(file, viewed.num_rows)
            ids[rows] = self._class_id(folder, asked.class_name)
            with replacing(file) as side, side.open("wb") as stream:
                np.save(stream, ids)
        return {"path": str(file), "num_points": int(np.count_nonzero(ids != IGNORE))}

    def save_head(self, values: Any) -> dict[str, Any]:
        """Write a head that was fitted on the page; ``lidistill predict --head`` takes it.

        Args:
            values: ``{model, space, classes, weights, bias}`` as the page sends them.

        Raises:
            ConfigError: If they are no head of a network that is shown.
        """
        asked = validated(_Head, values)
        models = self._content.models
        if asked.model >= len(models) or asked.space not in models[asked.model].spaces:
            msg = f"there is no space {asked.space[:40]!r} of a network {asked.model} here."
            raise ConfigError(msg)
        found = asked.model_dump(exclude={"model", "space"})
        record = self._content.head(asked.model, asked.space) | found
        try:
            parse_few_shot_head(record)
        except ValueError as error:
            msg = f"this is no head: {error}"
            raise ConfigError(msg) from error
        stem = file_stem("-".join(name for name in asked.classes if name != "other"))
        with self._lock:
            folder = self._folder / "heads"
            folder.mkdir(parents=True, exist_ok=True)
            file = _free(folder, stem, ".head.json")
            replace_text(file, json.dumps(record, indent=1))
        return {"path": str(file)}

    def _class_id(self, folder: Path, name: str | None) -> int:
        """Id of a class in the table beside the files, which gets it where it is new."""
        if name is None:
            return IGNORE
        table = folder / CLASS_TABLE
        known = list(read_label_table(table).classes) if table.exists() else []
        if name not in known:
            if len(known) == IGNORE or name == "ignore":
                msg = f"the class {name[:40]!r} cannot be added to the {len(known)} there are."
                raise ConfigError(msg)
            known.append(name)
            write_class_table(known, table)
        return known.index(name)

    @staticmethod
    def _read(file: Path, num_rows: int) -> NDArray[np.uint8]:
        """What was saved of a frame before; 255 everywhere where nothing was."""
        if not file.exists():
            return np.full(num_rows, IGNORE, dtype=np.uint8)
        ids = read_ids(file, num_rows)
        if ids.shape != (num_rows,) or ids.dtype != np.uint8:
            msg = (
                f"{file} has {ids.dtype.name} of shape {ids.shape}, expected uint8 for each of "
                f"{num_rows} points; it is of another scan. Move it away."
            )
            raise FileFormatError(msg)
        return ids.astype(np.uint8)


def file_stem(name: str) -> str:
    """A frame's or a class's name as one part of a path, with nothing that leads elsewhere."""
    plain = _UNSAFE.sub("-", name.replace("/", "__")).strip(".-")
    if len(plain) > _MAX_STEM:  # frames of one drive begin alike, so the rest must not go unsaid
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:12]
        plain = f"{plain[: _MAX_STEM - len(digest) - 1]}-{digest}"
    return plain or "unnamed"


def _free(folder: Path, stem: str, suffix: str) -> Path:
    """A file that is not there yet."""
    numbers = iter(range(2, 1 << 20))
    file = folder / f"{stem}{suffix}"
    while file.exists():
        file = folder / f"{stem}-{next(numbers)}{suffix}"
    return file


def validated(form: type[M], values: Any) -> M:
    """What a page has sent, in its form.

    Raises:
        ConfigError: If it has not that form; says where.
    """
    try:
        return form.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:60] or "the body"
        msg = f"{where}: {reason_of(first['msg'])[:200]}"
        raise ConfigError(msg) from error
