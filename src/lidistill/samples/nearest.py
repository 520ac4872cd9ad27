"""The nearest points, found by a tree.

Shape letters: M points, N points of a query, K neighbours of a point.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree


def nearest_index(query: NDArray[np.floating], points: NDArray[np.floating]) -> NDArray[np.int64]:
    """(N,) nearest of the (M, 3) points for every (N, 3) finite query point, metres.

    Raises:
        ValueError: If there is no point to find.
    """
    if not len(points):
        msg = "cannot find the nearest of no points"
        raise ValueError(msg)
    _, index = _tree(points).query(query, k=1, workers=1)
    return np.asarray(index, dtype=np.int64)


def nearest_by_scipy(points: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """(M, 1 + K) every (M, 3) point and its ``k`` nearest others, the nearest first.

    The point itself comes first even where others lie on the same spot. With fewer than K others
    the row is filled up with the point itself. Points on exactly the same distance come in any
    order.
    """
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
