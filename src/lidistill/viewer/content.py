"""Everything that a page asks for, by name; a server and a static page hand out the same bytes.

Shape letters: N points of a frame, K classes.
"""

import base64
import datetime
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lidistill import __version__
from lidistill.figures.colors import label_colors
from lidistill.segment.few_shot_head import weights_digest
from lidistill.viewer.cache import RecentlyUsed
from lidistill.viewer.models import TITLES, ViewedModel
from lidistill.viewer.shown_frames import ShownFrames
from lidistill.viewer.spaces import colours_json

FORMAT: Final = 1
_BLOCK_BYTES: Final = 1 << 27  # of each kind of block
_PLAIN: Final = "application/octet-stream"
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
    media_type: str = _PLAIN

    @property
    def is_packed(self) -> bool:
        """Whether gzip would gain nothing."""
        return self.media_type == "image/jpeg"


class Content:
    """Frames of a data set, and what networks say about them, as a page shows them.

    Args:
        frames: What is shown.
        title: What the page is called.
    """

    models: list[ViewedModel]
    """Networks in the order in which ``add`` was called; the page counts them from 0."""
    findings: tuple[ShownFinding, ...] | None
    """What a data check has found; None: nothing was checked."""
    is_served: bool
    """Whether a server answers the page, so that it can save and ask; a static page cannot."""

    def __init__(self, frames: ShownFrames, *, title: str) -> None:
        self.frames, self.title = frames, title
        self.models, self.findings = [], None
        self.is_served = False
        # Apart, so that frames and images do not wait for a network.
        self._made = {
            kind: RecentlyUsed[bytes](_BLOCK_BYTES, len)
            for kind in ("frame", "image", "features", "predictions")
        }
        self._class_names = list(frames.dataset.label_map.class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of the data set, then those that only a network has learned."""
        return tuple(self._class_names)

    def add(self, model: ViewedModel) -> None:
        """Show a network's features, too."""
        self.models.append(model)
        for name in model.model.class_names:
            if name not in self._class_names:
                self._class_names.append(name)

    def manifest(self) -> dict[str, Any]:
        """What there is, as docs/viewer-format.md describes it."""
        palette = label_colors(self._class_names)
        shown = self.frames.has_labels or any(m.model.class_names for m in self.models)
        learned = {name: _LEARNED[name] for one in self.models for name in self._predictions(one)}
        return {
            "format": FORMAT,
            "title": self.title,
            "lidistill": __version__,
            "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "frames": self.frames.told,
            "columns": self.frames.columns | learned,
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
                "save_labels": self.is_served,
                "save_head": self.is_served and bool(self.models),
                "query": self._queries() if self.is_served else None,
            },
        }

    def names(self) -> Iterator[str]:
        """Everything that ``get`` takes, the manifest first and then frame by frame."""
        yield "manifest"
        for number, model in enumerate(self.models):
            yield from (f"head/{number}/{space}" for space in model.spaces)
        for index, told in enumerate(self.frames.told):
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
                return self._block(name, lambda: self.frames.pack(int(index)))
            case ["image", index, view] if self._is_frame(index):
                if _is_below(view, len(self.frames.told[int(index)]["images"])):
                    make = partial(self.frames.image, int(index), int(view))
                    return self._block(name, make, "image/jpeg")
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

    def _block(self, name: str, make: Callable[[], bytes], media_type: str = _PLAIN) -> Block:
        kind = name.partition("/")[0]
        return Block(content=self._made[kind].get(name, make), media_type=media_type)

    def _is_frame(self, index: str) -> bool:
        return _is_below(index, len(self.frames))

    @staticmethod
    def _spaces(model: ViewedModel) -> tuple[str, ...]:
        return (*model.spaces, *(("teacher",) if model.teacher is not None else ()))

    def _queries(self) -> dict[str, list[int]]:
        """Networks by number that words and images can be looked for with."""
        asked = [model.queries for model in self.models]
        return {
            "text": [number for number, one in enumerate(asked) if one.text is not None],
            "image": [number for number, one in enumerate(asked) if one.image is not None],
        }

    def _predictions(self, model: ViewedModel) -> tuple[str, ...]:
        wrong = ("error",) if model.model.class_names and self.frames.has_labels else ()
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


def _json(value: dict[str, Any]) -> Block:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Block(content=text.encode(), media_type="application/json")


def _is_below(text: str, limit: int) -> bool:
    """Whether a text is a plain number in digits, below a limit."""
    return text.isascii() and text.isdigit() and len(text) < 7 and int(text) < limit
