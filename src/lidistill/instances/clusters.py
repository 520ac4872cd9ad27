"""Clusters of points seen from above: connected components of a graph of nearest neighbours.

Shape letters: N points, K neighbours of each.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

_WIDER = 1 + 1e-9
"""The tree compares squares: what lies at the limit but for rounding is looked at here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborGraph:
    """The nearest neighbours of every point, nearer than some limit."""

    num_points: int
    """N."""
    start: NDArray[np.intp]
    """(edges,) point that an edge is of."""
    end: NDArray[np.intp]
    """(edges,) one of its K nearest neighbours."""
    distance: NDArray[np.float64]
    """(edges,) metres."""

    @classmethod
    def of(cls, xy: NDArray[np.floating], *, neighbors: int, limit: float) -> Self:
        """The graph of some points.

        A point's nearest neighbour is taken to be the point itself and left out. Of points that
        lie at one place it may be another; they are all connected anyway.

        Args:
            xy: (N, 2) metres, finite, N at least 2.
            neighbors: K; all others where there are fewer.
            limit: Edges of this length and longer are left out, metres.
        """
        num_points = len(xy)
        wanted = np.arange(2, min(neighbors, num_points - 1) + 2)  # the first is the point itself
        found = cKDTree(xy).query(xy, k=wanted, distance_upper_bound=limit * _WIDER)
        distance, index = np.asarray(found[0]), np.asarray(found[1])
        kept = distance < limit
        start = np.broadcast_to(np.arange(num_points)[:, None], index.shape)
        return cls(
            num_points=num_points, start=start[kept], end=index[kept], distance=distance[kept]
        )

    def components(self, limit: float) -> tuple[int, NDArray[np.int32]]:
        """Number of clusters, and (N,) that of each point, where edges are shorter than a limit.

        Args:
            limit: Metres; no more than the graph was made with.
        """
        kept = self.distance < limit
        start, end = self.start[kept], self.end[kept]
        shape = (self.num_points, self.num_points)
        graph = coo_array((np.ones(len(start), np.int8), (start, end)), shape=shape)
        number, label = connected_components(graph.tocsr(), directed=False)
        return int(number), label
