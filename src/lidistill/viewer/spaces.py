"""Features on their way to the page: at most 64 dimensions, unit length, eight bits a number.

Shape letters: M points that a network sees, C channels of its features, D dimensions on the page.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lidistill.figures.features import PcaBasis

MAX_DIMS: Final = 64
STEPS: Final = 127
"""Codes of the number 1: a unit vector is stored as whole numbers from -127 to 127."""
LEFT_OUT: Final = 0.002
"""Share of the squared lengths that dimensions may hold together and be left out; cosines change
by as much as by storing them in eight bits."""
_SAMPLED: Final = 8192  # points of a frame that a basis is fitted on
_SHORTEST: Final = 1e-12

Features = NDArray[np.float32]


def sampled(features_MC: Features, positions_M3: Features) -> tuple[Features, Features]:
    """At most some thousand rows that have a direction, evenly spread, and where they lie."""
    step = max(1, -(-len(features_MC) // _SAMPLED))
    rows = features_MC[::step]
    kept = np.einsum("mc,mc->m", rows, rows) > _SHORTEST
    return rows[kept], positions_M3[::step][kept]


def fit_basis(samples: Sequence[Features]) -> NDArray[np.float32]:
    """(D, C) orthonormal rows: the directions that hold most of some unit features.

    The mean is not subtracted, so that products of projected features are those of the features,
    as far as 64 dimensions hold them. What holds next to nothing is left out: see ``LEFT_OUT``.

    Args:
        samples: (M, C) of every frame; one basis for all.
    """
    channels = samples[0].shape[1]
    moments = np.zeros((channels, channels))
    for sample in samples:
        unit = unit_rows(sample)
        moments += (unit.T @ unit).astype(np.float64)
    strengths, vectors = np.linalg.eigh(moments)
    held = np.cumsum(strengths[::-1]) / max(float(strengths.sum()), _SHORTEST)
    enough = int(np.searchsorted(held, 1 - LEFT_OUT)) + 1
    return vectors[:, ::-1].T[: min(enough, MAX_DIMS)].astype(np.float32)


def to_codes(features_MC: Features, basis_DC: NDArray[np.float32]) -> NDArray[np.int8]:
    """(M, D) projected unit features in steps of 1/127; zeros where there is no direction."""
    unit = unit_rows(features_MC @ basis_DC.T)
    return np.rint(unit * STEPS).astype(np.int8)


def unit_rows(rows: Features) -> Features:
    """Rows of length 1; zeros where a row has no direction, or is not finite."""
    squares = np.einsum("mc,mc->m", rows, rows)
    good = np.isfinite(squares) & (squares > _SHORTEST)
    scale = np.where(good, 1 / np.sqrt(np.where(good, squares, 1)), 0).astype(np.float32)
    return np.where(good[:, None], rows, 0) * scale[:, None]


def colours_json(basis: PcaBasis) -> dict[str, Any]:
    """Three components of stored features divided by ``STEPS``, as the page reads them."""
    values = {
        "mean": basis.mean,
        "axes": basis.axes,
        "low": basis.low,
        "high": np.maximum(basis.high, basis.low + 1e-6),
    }
    return {name: np.round(value, 6).tolist() for name, value in values.items()}
