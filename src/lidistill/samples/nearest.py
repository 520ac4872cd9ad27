"""The nearest of some points for every point of others.

Shape letters: M points, N points of a query.
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
    # Splitting at the middle instead of the median builds faster and changes no answer.
    tree = cKDTree(points, balanced_tree=False, compact_nodes=False)
    _, index = tree.query(query, k=1, workers=1)
    return np.asarray(index, dtype=np.int64)
