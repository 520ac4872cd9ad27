"""What a network says about the frames that are shown: its spaces, its classes, its clusters.

Shape letters: N points of a frame, M of them that the network sees, C channels, T channels of the
teacher, D dimensions on the page, K classes.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidistill.errors import FileFormatError, LidistillError
from lidistill.figures.features import PcaBasis, fit_pca
from lidistill.labels import IGNORE
from lidistill.viewer.cache import RecentlyUsed
from lidistill.viewer.clusters import fit_clusters, nearest_cluster
from lidistill.viewer.container import Stored, pack
from lidistill.viewer.frames import ViewedFrame
from lidistill.viewer.spaces import MAX_DIMS, STEPS, Features, fit_basis, sampled, to_codes

logger = logging.getLogger(__name__)
_CACHE_BYTES: Final = 1 << 28  # of features in full width
NO_FEATURE_16: Final = 65535
"""Row of a point without a feature, where rows are counted in 16 bits; -1 where in 32."""
TITLES: Final = {
    "backbone": "the network's own features",
    "head": "the teacher's space, by the kept head",
    "teacher": "the teacher's patch features of the images",
}


class PointFeatures(Protocol):
    """Features of the points that a network sees, and which of them each point has."""

    @property
    def values(self) -> NDArray[np.float32]:
        """(M, C)."""
        ...

    @property
    def row(self) -> NDArray[np.int64]:
        """(N,) row in ``values`` of each point; -1 where it has none."""
        ...


class PointModel(Protocol):
    """A network that gives points features; ``lidistill.load`` makes one."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """K names; empty where no classes were learned."""
        ...

    @property
    def has_head(self) -> bool:
        """Whether there is a head, into the teacher's space or to class scores."""
        ...

    @property
    def checkpoint(self) -> Path:
        """Folder that the weights are from."""
        ...

    def encode(self, points: ArrayLike, intensity: ArrayLike | None, /) -> PointFeatures:
        """Features of a scan."""
        ...

    def after_head(self, features_MC: NDArray[np.float32], /) -> NDArray[np.float32]:
        """(M, T) in the teacher's space, or (M, K) class scores."""
        ...


class ImageFeatures(Protocol):
    """A teacher that gives images grids of features."""

    def grid(self, image: Path) -> Features:
        """(H, W, T) features of even parts of an image, in the channels that the head gives."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _NoFeatures:
    """What stands for the ``PointFeatures`` of a frame of which a network sees no point."""

    values: NDArray[np.float32]
    row: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """What turns words and example images into directions of the teacher's space."""

    text: Callable[[str], Features] | None = None
    """(T,) of some words; None without a text partner of the teacher."""
    image: Callable[[NDArray[np.uint8]], Features] | None = None
    """(T,) of an (H, W, 3) RGB image; None without the teacher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A space of point features, with what turns them into what the page gets."""

    name: str
    basis: NDArray[np.float32]
    """(D, C or T)."""
    colours: PcaBasis
    colours_without_position: PcaBasis


class ViewedModel:
    """A network behind the page: everything about one frame is computed when it is asked for.

    Args:
        name: What the page calls it.
        model: The network.
        frames: Reads a frame by its number on the page.
        fitted_on: Frames that bases, colours and clusters are fitted on; all others share them.
        teacher: Its teacher, where one is at hand.
        queries: What else than points and pixels can be looked for.
        on_frame: Called after each frame of the fit, for a progress bar.

    Raises:
        FileFormatError: If the network sees no point of any of these frames; one of which it sees
            none is named in the log, and its points have no features.
    """

    def __init__(
        self,
        name: str,
        model: PointModel,
        frames: Callable[[int], ViewedFrame],
        *,
        fitted_on: Sequence[int],
        teacher: ImageFeatures | None = None,
        queries: Queries = Queries(),
        on_frame: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self.model = name, model
        self._frames = frames
        self._refused: FileFormatError | None = None
        self._distilled = model.has_head and not model.class_names
        self.teacher = teacher if self._distilled else None
        self.queries = queries if self._distilled else Queries()
        self._encoded: RecentlyUsed[PointFeatures] = RecentlyUsed(
            _CACHE_BYTES, lambda one: one.values.nbytes + one.row.nbytes
        )
        names = ("backbone", "head") if self._distilled else ("backbone",)
        samples: dict[str, list[Features]] = {one: [] for one in names}
        places: list[Features] = []
        for index in fitted_on:
            for one in names:
                rows, places_of = sampled(self._values(index, one), self._positions(index))
                samples[one].append(rows)
            places.append(places_of)
            on_frame()
        if not any(map(len, places)):
            msg = f"{name} sees no point of these frames: they are empty, or nothing came back."
            raise self._refused or FileFormatError(msg)
        self.spaces = {one: _fit(one, samples[one], places) for one in names}
        last = names[-1]
        codes = [to_codes(rows, self.spaces[last].basis) for rows in samples[last]]
        self._centres = fit_clusters(np.concatenate(codes))

    @property
    def predictions(self) -> tuple[str, ...]:
        """What ``pack_predictions`` holds, in its order, without what needs labels."""
        learned = ("prediction", "confidence") if self.model.class_names else ()
        return (*learned, "cluster")

    def class_of_points(self, index: int) -> list[str] | None:
        """Name of the class of every point; None where no classes were learned."""
        if not self.model.class_names:
            return None
        encoded = self._encode(index)
        best = self.model.after_head(encoded.values).argmax(axis=1)
        names = self.model.class_names
        return [names[best[row]] if row >= 0 else "" for row in encoded.row.tolist()]

    def likeness(self, index: int, points: NDArray[np.int64]) -> Features:
        """(P, P) cosines between some points, in the last of the spaces; 0 without a feature."""
        last = list(self.spaces)[-1]
        codes = to_codes(self._values(index, last), self.spaces[last].basis)
        row = self._encode(index).row[points]
        unit = np.zeros((len(points), codes.shape[1]), np.float32)
        unit[row >= 0] = codes[row[row >= 0]].astype(np.float32) / STEPS
        return np.asarray(unit @ unit.T)

    def code_of(self, direction_T: Features) -> list[int]:
        """(64,) a direction of the teacher's space as the page compares it."""
        codes_D = to_codes(direction_T[None], self.spaces["head"].basis)[0]
        return np.pad(codes_D, (0, MAX_DIMS - len(codes_D))).tolist()

    def pack_features(self, space: str, index: int) -> bytes:
        """The block ``features/<m>/<space>/<i>`` of the page."""
        if space == "teacher":
            return pack(self._grids(index))
        row = self._encode(index).row
        codes = to_codes(self._values(index, space), self.spaces[space].basis)
        narrow = len(codes) < NO_FEATURE_16
        of_point = np.where(row < 0, NO_FEATURE_16, row).astype(np.uint16) if narrow else row
        return pack(
            {
                "f": Stored(array=codes, scale=1 / STEPS, by_columns=True),
                "of_point": Stored(array=of_point if narrow else row.astype(np.int32)),
            }
        )

    def pack_predictions(self, index: int, class_ids: NDArray[np.uint8]) -> bytes:
        """The block ``predictions/<m>/<i>`` of the page.

        Args:
            index: The frame.
            class_ids: (K,) number on the page of each class of the network.
        """
        encoded, last = self._encode(index), list(self.spaces)[-1]
        codes = to_codes(self._values(index, last), self.spaces[last].basis)
        found = {"cluster": nearest_cluster(codes, self._centres)}
        if self.model.class_names:
            scores = self.model.after_head(encoded.values)
            found["prediction"] = class_ids[scores.argmax(axis=1)]
            found["confidence"] = np.rint(254 * _largest_share(scores)).astype(np.uint8)
        of_points = {name: _spread(values, encoded.row) for name, values in found.items()}
        labels = self._frames(index).frame.labels
        if labels is not None and "prediction" in of_points:
            told = (labels != IGNORE) & (of_points["prediction"] != IGNORE)
            wrong = (of_points["prediction"] != labels).astype(np.uint8)
            of_points["error"] = np.where(told, wrong, IGNORE).astype(np.uint8)
        scales = {"confidence": 1 / 254}
        return pack(
            {name: Stored(array=v, scale=scales.get(name)) for name, v in of_points.items()}
        )

    def _encode(self, index: int) -> PointFeatures:
        def compute() -> PointFeatures:
            frame = self._frames(index).frame
            try:
                return self.model.encode(frame.points, frame.intensity)
            except FileFormatError as error:  # none of its points is in the field of view
                logger.warning("%s: no features of %s: %s", self.name, frame.frame_id, error)
                self._refused = self._refused or error
                nothing = self.model.encode(frame.points[:0], None).values
                return _NoFeatures(values=nothing, row=np.full(len(frame.points), -1))

        return self._encoded.get(index, compute)

    def _values(self, index: int, space: str) -> Features:
        """(M, C) or (M, T)."""
        values = self._encode(index).values
        return self.model.after_head(values) if space == "head" else values

    def _positions(self, index: int) -> Features:
        """(M, 4) x, y, z and distance of a point of each row, metres."""
        row = self._encode(index).row
        places = np.zeros((len(self._encode(index).values), 3), np.float32)
        places[row[row >= 0]] = self._frames(index).frame.points[row >= 0]
        return np.column_stack([places, np.linalg.norm(places, axis=1)])

    def _grids(self, index: int) -> dict[str, Stored]:
        assert self.teacher is not None  # noqa: S101  the space is only there with a teacher
        grids = {}
        for number, view in enumerate(self._frames(index).frame.views):
            try:
                grid = self.teacher.grid(view.image_path)
            except LidistillError as error:
                logger.warning("left out: %s", error)
                continue
            codes = to_codes(grid.reshape(-1, grid.shape[2]), self.spaces["head"].basis)
            array = codes.reshape(*grid.shape[:2], -1)
            grids[f"grid{number}"] = Stored(array=array, scale=1 / STEPS)
        return grids


def _fit(name: str, samples: list[Features], places: list[Features]) -> Space:
    basis = fit_basis(samples)
    codes = np.concatenate([to_codes(rows, basis) for rows in samples])
    return Space(
        name=name,
        basis=basis,
        colours=fit_pca(codes),
        colours_without_position=fit_pca(codes, without=np.concatenate(places)),
    )


def _spread(values: NDArray[np.uint8], row: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(N,) the value of every point, 255 where it has none."""
    return np.where(row < 0, IGNORE, values[row] if len(values) else IGNORE).astype(np.uint8)


def _largest_share(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """(M,) softmax of the largest of (M, K) scores."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(1 / shifted.sum(axis=1))
