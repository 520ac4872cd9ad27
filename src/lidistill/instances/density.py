"""Clusters of points by how dense they lie, where density falls with the distance.

Shape letters: N points, M of them kept.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

_THIN: Final = 4
"""Kept points lie a radius divided by this apart: what is denser adds nothing but pairs."""
_RANGE: Final = 1 << 20  # cells along an axis


def density_clusters(
    points: NDArray[np.floating], *, radius: float, min_neighbors: int, near: float
) -> NDArray[np.int64]:
    """(N,) cluster of each point, from 1 by the first point; 0: too few lie around it.

    DBSCAN: points with enough others within a radius hang together, those at their edge belong to
    them. Beyond some distance the radius grows with the distance, as the gaps of a lidar do:
    points are brought nearer along their beams, r to near * (1 + log(r / near)), so that one radius
    fits all.

    Args:
        points: (N, 3) metres, finite, the lidar at the origin.
        radius: Metres, as far as ``near``.
        min_neighbors: Points that are enough, the point itself included, thinned out to a quarter
            of the radius.
        near: Metres.

    References:
        Ester et al., "A density-based algorithm for discovering clusters in large spatial databases
        with noise", KDD 1996.
    """
    if not len(points):
        return np.zeros(0, np.int64)
    distance = np.linalg.norm(points, axis=1)
    beyond = np.maximum(distance / near, 1.0)
    warped = points * ((1 + np.log(beyond)) / beyond)[:, None]
    kept, inverse = _thinned(warped, radius / _THIN)
    cluster = _dbscan(warped[kept], radius, min_neighbors)[inverse]
    found, first, label = np.unique(cluster, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(np.where(found == 0, -1, first)))
    return (order + int(0 not in found))[label]


def _thinned(
    points: NDArray[np.floating], cell: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(M,) first point of each cell, and (N,) the kept one of each point."""
    cells = np.floor(points / cell).astype(np.int64) + _RANGE // 2
    key = (cells[:, 0] * _RANGE + cells[:, 1]) * _RANGE + cells[:, 2]
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return first, inverse


def _dbscan(points: NDArray[np.floating], radius: float, min_neighbors: int) -> NDArray[np.int64]:
    """(M,) cluster of each point, from 1; 0: none."""
    number = len(points)
    pairs = cKDTree(points).query_pairs(radius, output_type="ndarray")
    count = np.bincount(pairs.ravel(), minlength=number) + 1
    core = count >= min_neighbors
    inner = pairs[core[pairs].all(axis=1)]
    graph = coo_array((np.ones(len(inner), np.int8), (inner[:, 0], inner[:, 1])), (number, number))
    _, label = connected_components(graph.tocsr(), directed=False)
    cluster = np.where(core, label.astype(np.int64) + 1, 0)
    edge = pairs[core[pairs].sum(axis=1) == 1]
    swapped = np.where(core[edge[:, :1]], edge, edge[:, ::-1])  # the core first
    gap = np.linalg.norm(points[swapped[:, 0]] - points[swapped[:, 1]], axis=1)
    nearest_last = swapped[np.argsort(-gap, kind="stable")]
    cluster[nearest_last[:, 1]] = cluster[nearest_last[:, 0]]
    return cluster
