"""The road under a lidar: the plane that most of a scan's surroundings lie on.

Shape letters: N points, V cells, T trial planes.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_NEAREST: Final = 2.0  # metres; nearer points are often the car itself
_FARTHEST: Final = 25.0
_CELL: Final = 0.4  # metres; one point of each cell counts, so that near rings do not outvote
_MAX_CELLS: Final = 4000
_NUM_TRIALS: Final = 500
_TOLERANCE: Final = 0.15  # metres
_MIN_CELLS: Final = 200
_NEARLY_UP: Final = np.cos(np.deg2rad(20))
_SHARE_OF_BEST: Final = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A plane, seen from the side on which the rest of the scan is."""

    up: NDArray[np.float64]
    """(3,) unit normal, towards the side with more points."""
    height: float
    """Of the origin over the plane, metres; negative where it lies below."""
    share: float
    """Part of the occupied cells that lie on the plane."""


def fit_ground(points: NDArray[np.floating]) -> Ground | None:
    """The best supported plane of a scan; a level one where it has nearly as much support.

    Deterministic: the trials are drawn with a fixed seed.

    Args:
        points: (N, 3) metres, any axes.

    Returns:
        The plane, or None where too little lies between 2 m and 25 m to tell.

    References:
        Fischler and Bolles, "Random sample consensus", CACM 1981.
    """
    cells = _thinned(points.astype(np.float64))
    if len(cells) < _MIN_CELLS:
        return None
    rng = np.random.default_rng(0)
    triples = cells[rng.integers(len(cells), size=(_NUM_TRIALS, 3))]
    normals = np.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    length = np.linalg.norm(normals, axis=1)
    normals = normals[length > 1e-6] / length[length > 1e-6, None]
    offsets = (normals * triples[length > 1e-6, 0]).sum(axis=1)
    distance = cells @ normals.T - offsets  # (V, T)
    support = (np.abs(distance) < _TOLERANCE).sum(axis=0)
    level = np.flatnonzero(np.abs(normals[:, 2]) > _NEARLY_UP)
    best = int(support.argmax())
    if len(level) and support[level].max() >= _SHARE_OF_BEST * support[best]:
        best = int(level[support[level].argmax()])
    return _refined(cells, np.abs(distance[:, best]) < _TOLERANCE)


def _thinned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    distance = np.linalg.norm(points, axis=1)
    near = points[(distance > _NEAREST) & (distance < _FARTHEST)]
    _, first = np.unique(np.floor(near / _CELL).astype(np.int64), axis=0, return_index=True)
    step = max(1, len(first) // _MAX_CELLS)
    return near[first[::step]]


def _refined(cells: NDArray[np.float64], on_plane: NDArray[np.bool_]) -> Ground:
    """The plane of least squares through the cells on a trial plane."""
    center = cells[on_plane].mean(axis=0)
    normal = np.linalg.svd(cells[on_plane] - center, full_matrices=False)[2][2]
    sides = (cells[~on_plane] - center) @ normal
    up = normal if (sides > 0).sum() >= (sides < 0).sum() else -normal
    return Ground(up=up, height=float(-(up @ center)), share=float(on_plane.mean()))
