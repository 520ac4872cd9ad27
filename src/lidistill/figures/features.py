"""Features as colours: principal components, and similarity to one point.

Shape letters: N points, C channels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidistill.figures.colors import scale_colors

_CLIPPED_PERCENT = 2.0
"""Share of the points at either end of a component that takes the outermost colour."""
_SHORTEST = 1e-12
_WEAKEST = 1e-6
"""Share of the strongest direction below which there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PcaBasis:
    """Where the first principal components lie, and which values are dark and bright."""

    mean: NDArray[np.float64]
    """(C,) mean of the unit features."""
    axes: NDArray[np.float64]
    """(K, C) orthonormal rows, the largest entry of each positive; zero where there is none. K is 3
    for colours."""
    low: NDArray[np.float64]
    """(K,) components shown as 0."""
    high: NDArray[np.float64]
    """(K,) components shown as 255."""


def fit_pca(
    features: NDArray[np.floating],
    *,
    count: int = 3,
    without: NDArray[np.floating] | None = None,
) -> PcaBasis:
    """Principal components of the directions of features.

    Features that a distance between unit vectors has shaped mean something by their direction
    only, so each is divided by its length first.

    Args:
        features: (N, C), of any length each.
        count: Components to keep.
        without: (N, K) quantities, such as coordinates, that no component may vary with: components
            are taken from what is orthogonal to every direction that is correlated with one of
            them, and so have no linear correlation with any.

    Raises:
        ValueError: If there is no feature at all.
    """
    if features.ndim != 2 or len(features) == 0:
        msg = f"features have shape {features.shape}, expected (N, C) with at least one point"
        raise ValueError(msg)
    unit = features.astype(np.float32) / _lengths(features)
    mean = unit.mean(axis=0, dtype=np.float64)
    centred = unit - mean.astype(np.float32)
    kept = centred if without is None else _regressed_out(centred, without)
    strengths, vectors = np.linalg.eigh((kept.T @ kept).astype(np.float64))
    found = vectors[:, ::-1].T[:count]
    if without is not None:  # what was taken out must not come back as a component of no strength
        found = found[strengths[::-1][:count] > _WEAKEST * max(strengths[-1], _SHORTEST)]
    largest = np.take_along_axis(found, np.abs(found).argmax(axis=1)[:, None], axis=1)
    axes = np.zeros((count, features.shape[1]))
    axes[: len(found)] = found * np.sign(largest)
    components = centred @ axes.T
    low, high = np.percentile(components, [_CLIPPED_PERCENT, 100 - _CLIPPED_PERCENT], axis=0)
    return PcaBasis(mean=mean, axes=axes, low=low, high=high)


def pca_components(features: NDArray[np.floating], basis: PcaBasis) -> NDArray[np.float32]:
    """(N, K) principal components of the directions of (N, C) features.

    Raises:
        ValueError: If the basis is of another number of channels.
    """
    if features.shape[1:] != basis.mean.shape:
        msg = f"features of {features.shape[1:]} channels, but a basis of {basis.mean.shape}"
        raise ValueError(msg)
    offset = (basis.axes @ basis.mean).astype(np.float32)
    return _per_length(features, basis.axes) - offset


def pca_colors(
    features: NDArray[np.floating], *, basis: PcaBasis | None = None
) -> NDArray[np.uint8]:
    """(N, 3) red, green and blue from the first three principal components.

    Args:
        features: (N, C).
        basis: Fitted on other features of the same space, so that equal colours mean equal
            features; None fits on these.

    Raises:
        ValueError: If the basis is of another number of channels.
    """
    basis = fit_pca(features) if basis is None else basis
    components = pca_components(features, basis)
    span = basis.high - basis.low
    flat = span < _SHORTEST
    shade = (components - basis.low) / np.where(flat, 1.0, span)
    return _bytes(np.where(flat, 0.5, shade))


def correlation(features: NDArray[np.floating], index: int) -> NDArray[np.float32]:
    """(N,) cosine similarity of every (N, C) feature to that of one point."""
    direction = _per_length(features[index : index + 1], np.eye(features.shape[1]))
    return np.clip(_per_length(features, direction)[:, 0], -1.0, 1.0)


def similarity_colors(
    cosine: NDArray[np.floating], *, low: float = -1.0, high: float = 1.0
) -> NDArray[np.uint8]:
    """(N, 3) colours from blue through white to red.

    Args:
        cosine: (N,) similarities.
        low: Similarity shown in blue, and everything below it.
        high: Similarity shown in red, and everything above it.

    Raises:
        ValueError: If low is not below high.
    """
    return scale_colors(cosine, low, high, name="coolwarm")


def _regressed_out(
    centred: NDArray[np.float32], known: NDArray[np.floating]
) -> NDArray[np.float32]:
    """(N, C) without the directions in which features vary with (N, K) known quantities."""
    quantities = known.astype(np.float64) - known.mean(axis=0, dtype=np.float64)
    quantities /= np.maximum(quantities.std(axis=0), _SHORTEST)
    covariance = centred.T.astype(np.float64) @ quantities / len(quantities)
    found, strengths, _ = np.linalg.svd(covariance, full_matrices=False)
    directions = found[:, strengths > _WEAKEST * max(float(strengths.max()), _SHORTEST)]
    return (centred - (centred @ directions) @ directions.T).astype(np.float32)


def _per_length(features: NDArray[np.floating], axes: NDArray[np.floating]) -> NDArray[np.float32]:
    """(N, K) products of the unit features with (K, C) axes; no second (N, C) array is made."""
    narrow = features.astype(np.float32, copy=False)
    return (narrow @ axes.T.astype(np.float32)) / _lengths(narrow)


def _lengths(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """(N, 1) lengths, never zero."""
    narrow = features.astype(np.float32, copy=False)
    squares = np.einsum("nc,nc->n", narrow, narrow)[:, None]
    return np.maximum(np.sqrt(squares), np.float32(_SHORTEST))


def _bytes(shade: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.rint(np.clip(shade, 0, 1) * 255).astype(np.uint8)
