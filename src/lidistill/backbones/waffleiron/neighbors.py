"""Nearest neighbours on the CPU.

Shape letters: M points of a sample, K neighbours of a point.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lidistill.backbones.waffleiron.cpu.neighbor_search import search
from lidistill.compiled import compiling


def nearest_neighbors(points: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Every point and its ``k`` nearest others, the nearest first.

    Args:
        points: (M, 3) metres.
        k: Number of neighbours beside the point itself.

    Returns:
        (M, 1 + K) indices. The point itself comes first even where others lie on the same spot.
        With fewer than K other points the row is filled up with the point itself, whose
        difference to itself is zero. Points on exactly the same distance come in any order.
    """
    if not len(points):
        return np.zeros((0, 1 + k), dtype=np.int64)
    return search(points, k) if k and compiling() else nearest_by_scipy(points, k)


def nearest_by_scipy(points: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """The definition of ``nearest_neighbors``."""
    num_points = len(points)
    itself = np.arange(num_points, dtype=np.int64)
    ranks = np.arange(1, k + 2)  # a list of ranks keeps the column axis where k is 0
    _, found = _tree(points).query(points, k=ranks, workers=1)
    index = found.astype(np.int64)
    index = np.where(index == num_points, itself[:, None], index)
    for row in np.flatnonzero(index[:, 0] != itself):
        others = index[row][index[row] != row]
        index[row] = np.concatenate([[row], others, np.full(k, row)])[: k + 1]
    return index


def _tree(points: NDArray[np.floating]) -> cKDTree:
    # Splitting at the middle instead of the median builds faster and changes no answer.
    return cKDTree(points, balanced_tree=False, compact_nodes=False)
