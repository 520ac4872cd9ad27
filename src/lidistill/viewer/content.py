"""Everything that a page asks for, by name; a server and a static page hand out the same bytes.

Shape letters: N points of a frame, K classes.
"""

import base64
import datetime
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lidistill import __version__
from lidistill.datasets import FrameDataset
from lidistill.figures.colors import label_colors
from lidistill.images.files import read_image, resize
from lidistill.segment.few_shot_head import weights_digest
from lidistill.viewer.cache import RecentlyUsed
from lidistill.viewer.frames import ViewedFrame, frame_columns, pack_frame, view_frame
from lidistill.viewer.models import TITLES, ViewedModel
from lidistill.viewer.spaces import colours_json

FORMAT: Final = 1
_FRAME_BYTES: Final = 1 << 28
_BLOCK_BYTES: Final = 1 << 28
_SAMPLED: Final = 4096  # points of a frame that a column's usual range is taken from
_USUAL: Final = (1.0, 99.0)  # per cent
_QUALITY: Final = 82  # of JPEG
_UNITS: Final = {"height": "m", "range": "m"}
_LEARNED: Final = {
    "prediction": {"kind": "class", "unit": None, "low": None, "high": None},
    "error": {"kind": "number", "unit": None, "low": 0.0, "high": 1.0},
    "confidence": {"kind": "number", "unit": None, "low": 0.0, "high": 1.0},
    "cluster": {"kind": "id", "unit": None, "low": None, "high": None},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFinding:
    """Something that looks wrong, and where to look at it."""

    severity: str
    text: str
    frame: int | None = None
    """Position among the frames that are shown."""
    view: str | None = None
    drive: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some bytes for the page."""

    content: bytes
    media_type: str = "application/octet-stream"

    @property
    def is_packed(self) -> bool:
        """Whether gzip would gain nothing."""
        return self.media_type == "image/jpeg"


class Content:
    """Frames of a data set, and what networks say about them, as a page shows them.

    Args:
        dataset: What is shown.
        indices: Frames of it, in the order in which they come.
        title: What the page is called.
        image_width: Images wider than this are made smaller, pixels.
        on_frame: Called after each frame that is read, for a progress bar.
    """

    def __init__(
        self,
        dataset: FrameDataset,
        indices: Sequence[int],
        *,
        title: str,
        image_width: int,
        on_frame: Callable[[], None] = lambda: None,
    ) -> None:
        self.dataset, self.indices, self.title = dataset, tuple(indices), title
        self.models: list[ViewedModel] = []
        self.findings: tuple[ShownFinding, ...] | None = None
        self.can_save = False
        self._image_width = image_width
        self._frames: RecentlyUsed[ViewedFrame] = RecentlyUsed(_FRAME_BYTES, _bytes_of)
        self._blocks: RecentlyUsed[bytes] = RecentlyUsed(_BLOCK_BYTES, len)
        self._class_names = list(dataset.label_map.class_names)
        self._has_classes = False
        self._told, self._columns = self._look_at_frames(on_frame)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.indices)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of the data set, then those that only a network has learned."""
        return tuple(self._class_names)

    def frame(self, number: int) -> ViewedFrame:
        """One of the frames; kept for a while."""
        return self._frames.get(number, lambda: view_frame(self.dataset, self.indices[number]))

    def add(self, model: ViewedModel) -> None:
        """Show a network's features, too."""
        self.models.append(model)
        for name in model.model.class_names:
            if name not in self._class_names:
                self._class_names.append(name)

    def manifest(self) -> dict[str, Any]:
        """What there is, as docs/viewer-format.md describes it."""
        palette = label_colors(self._class_names)
        shown = self._has_classes or any(m.model.class_names for m in self.models)
        learned = {name: _LEARNED[name] for one in self.models for name in self._predictions(one)}
        return {
            "format": FORMAT,
            "title": self.title,
            "lidistill": __version__,
            "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "frames": self._told,
            "columns": self._columns | learned,
            "classes": [
                {"name": name, "color": "#{:02x}{:02x}{:02x}".format(*palette[number])}
                for number, name in enumerate(self._class_names)
            ]
            if shown
            else None,
            "models": [self._tell_model(one) for one in self.models],
            "findings": None
            if self.findings is None
            else [
                {name: getattr(one, name) for name in ShownFinding.__slots__}
                for one in self.findings
            ],
            "capabilities": {
                "save_labels": self.can_save,
                "save_head": self.can_save and bool(self.models),
            },
        }

    def names(self) -> Iterator[str]:
        """Everything that ``get`` takes, the manifest first and then frame by frame."""
        yield "manifest"
        for number, model in enumerate(self.models):
            yield from (f"head/{number}/{space}" for space in model.spaces)
        for index, told in enumerate(self._told):
            yield f"frame/{index}"
            yield from (f"image/{index}/{view}" for view in range(len(told["images"])))
            for number, model in enumerate(self.models):
                yield from (f"features/{number}/{space}/{index}" for space in self._spaces(model))
                yield f"predictions/{number}/{index}"

    def get(self, name: str) -> Block | None:
        """The bytes of a name; None where there is nothing of that name.

        Raises:
            LidistillError: If a file cannot be read.
        """
        match name.split("/"):
            case ["manifest"]:
                return _json(self.manifest())
            case ["frame", index] if self._is_frame(index):
                return self._block(name, lambda: self._pack_frame(int(index)))
            case ["image", index, view] if self._is_frame(index):
                return self._image(int(index), view)
            case [kind, number, *rest] if _is_below(number, len(self.models)):
                return self._of_model(name, kind, int(number), rest)
        return None

    def _of_model(self, name: str, kind: str, number: int, rest: list[str]) -> Block | None:
        model = self.models[number]
        match kind, rest:
            case "head", [space] if space in model.spaces:
                return _json(self.head(number, space))
            case "predictions", [index] if self._is_frame(index):
                ids = self._class_ids(model)
                return self._block(name, lambda: model.pack_predictions(int(index), ids))
            case "features", [space, index] if space in self._spaces(model) and self._is_frame(
                index
            ):
                return self._block(name, lambda: model.pack_features(space, int(index)))
        return None

    def head(self, number: int, space: str) -> dict[str, Any]:
        """What a head in a space of a network needs beside its weights; see ``few_shot_head``."""
        model = self.models[number]
        basis = model.spaces[space].basis
        return {
            "lidistill_head": 1,
            "space": space,
            "checkpoint_sha256": weights_digest(model.model.checkpoint),
            "num_channels": basis.shape[1],
            "dims": basis.shape[0],
            "basis": base64.b64encode(basis.astype("<f4").tobytes()).decode(),
        }

    def _block(self, name: str, make: Callable[[], bytes]) -> Block:
        return Block(content=self._blocks.get(name, make))

    def _is_frame(self, index: str) -> bool:
        return _is_below(index, len(self.indices))

    @staticmethod
    def _spaces(model: ViewedModel) -> tuple[str, ...]:
        return (*model.spaces, *(("teacher",) if model.teacher is not None else ()))

    def _predictions(self, model: ViewedModel) -> tuple[str, ...]:
        wrong = ("error",) if model.model.class_names and self._has_classes else ()
        return (*model.predictions, *wrong)

    def _class_ids(self, model: ViewedModel) -> NDArray[np.uint8]:
        ids = [self._class_names.index(name) for name in model.model.class_names]
        return np.array(ids, dtype=np.uint8)

    def _tell_model(self, model: ViewedModel) -> dict[str, Any]:
        spaces = []
        for name in self._spaces(model):
            space = model.spaces["head" if name == "teacher" else name]
            spaces.append(
                {
                    "name": name,
                    "title": TITLES[name],
                    "dims": len(space.basis),
                    "of_points": name != "teacher",
                    "pca_rgb": colours_json(space.colours),
                    "pca_rgb_without_position": colours_json(space.colours_without_position),
                }
            )
        return {"name": model.name, "spaces": spaces, "predictions": self._predictions(model)}

    def _look_at_frames(
        self, on_frame: Callable[[], None]
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """What the manifest says about every frame, and about every column."""
        told: list[dict[str, Any]] = []
        samples: dict[str, list[NDArray[np.float64]]] = {"height": [], "range": []}
        scenes, ids = self.dataset.drive_ids, self.dataset.frame_ids
        for number, index in enumerate(self.indices):
            viewed = self.frame(number)
            frame, columns = viewed.frame, frame_columns(viewed)
            step = max(1, len(frame.points) // _SAMPLED)
            samples["height"].append(frame.points[::step, 2].astype(np.float64))
            samples["range"].append(np.linalg.norm(frame.points[::step], axis=1))
            for name, values in columns.items():
                samples.setdefault(name, []).append(values[::step].astype(np.float64))
            self._has_classes |= frame.labels is not None
            classes = ["class"] if frame.labels is not None else []
            told.append(
                {
                    "index": number,
                    "id": ids[index],
                    "drive": scenes[index],
                    "timestamp_s": None,
                    "num_points": len(frame.points),
                    "num_rows": viewed.num_rows,
                    "columns": [*columns, *classes],
                    "images": [
                        _tell_image(view.name, self._size_of(view.size_hw)) for view in frame.views
                    ],
                }
            )
            on_frame()
        ranges = {name: _usual_range(name, values) for name, values in samples.items()}
        none = {"kind": "class", "unit": None, "low": None, "high": None}
        return told, ranges | ({"class": none} if self._has_classes else {})

    def _size_of(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Height and width in which the page gets an image."""
        height, width = size_hw
        if width <= self._image_width:
            return size_hw
        return max(1, round(height * self._image_width / width)), self._image_width

    def _pack_frame(self, number: int) -> bytes:
        viewed = self.frame(number)
        return pack_frame(viewed, [self._size_of(view.size_hw) for view in viewed.frame.views])

    def _image(self, number: int, view: str) -> Block | None:
        views = self.frame(number).frame.views
        if not _is_below(view, len(views)):
            return None
        path, size_hw = views[int(view)].image_path, self._size_of(views[int(view)].size_hw)
        content = self._blocks.get((path, size_hw), lambda: _jpeg(path, size_hw))
        return Block(content=content, media_type="image/jpeg")


def _jpeg(path: Path, size_hw: tuple[int, int]) -> bytes:
    """An image in the size of the page; never the file itself, whatever it holds besides."""
    image = torch.from_numpy(read_image(path)).permute(2, 0, 1)
    if tuple(image.shape[1:]) != size_hw:
        image = resize(image, size_hw, antialias=True)
    file = io.BytesIO()
    array = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    Image.fromarray(array).save(file, "JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue()


def _tell_image(view: str, size_hw: tuple[int, int]) -> dict[str, Any]:
    height, width = size_hw
    return {"view": view, "width": width, "height": height, "media_type": "image/jpeg"}


def _usual_range(name: str, samples: list[NDArray[np.float64]]) -> dict[str, Any]:
    values = np.concatenate(samples)
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, _USUAL).tolist() if len(values) else (0.0, 1.0)
    return {"kind": "number", "unit": _UNITS.get(name), "low": low, "high": high}


def _json(value: dict[str, Any]) -> Block:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Block(content=text.encode(), media_type="application/json")


def _is_below(text: str, limit: int) -> bool:
    """Whether a text is a plain number in digits, below a limit."""
    return text.isascii() and text.isdigit() and len(text) < 7 and int(text) < limit


def _bytes_of(viewed: ViewedFrame) -> int:
    frame = viewed.frame
    own = frame.points.nbytes + frame.intensity.nbytes
    return own + sum(values.nbytes for values in viewed.columns.values())
