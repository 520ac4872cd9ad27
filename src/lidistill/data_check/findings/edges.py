"""Do steps in depth lie on edges of the image? The measure behind every alignment finding.

A thing in the foreground ends in both: the lidar sees a step in depth, the camera an edge. Where
calibration and clocks are right the two coincide, and moving the points sideways over the image
loses them.

Shape letters: N points, E points at steps, S shifts, H x W size of the image of edges.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree

from lidistill.projection import project
from lidistill.records import CameraView

WIDTH: Final = 640
"""Images are compared at this width, pixels."""
SHIFTS: Final = np.arange(-40, 41, 2)
"""(S,) pixels by which points are moved sideways."""
_CENTER: Final = len(SHIFTS) // 2
_AWAY: Final = np.abs(SHIFTS) >= 14
_NEAR_DEPTH: Final = 1.0  # metres
_FLATTEN: Final = 3.0  # neighbours are looked for along the row, where the laser scans densely
_REACH: Final = 9.0  # pixels
_NUM_NEIGHBORS: Final = 9
_MIN_EDGES: Final = 60
_MOST_STEPS: Final = 800  # of an image
_SCENE: Final = 0.008  # of contrast that chance gives whatever the number of steps
_STEPS_A_THING: Final = 6  # that lie on one edge, and say the same
_DEVIATION: Final = 0.29  # of an edge's rank, which is uniform


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How well steps meet edges, over one image or many."""

    total: NDArray[np.float64]
    """(S,) sum of the edge ranks under the steps, for every sideways shift."""
    count: NDArray[np.int64]
    """(S,) steps that stay in the image."""

    @property
    def num_steps(self) -> int:
        """Steps that can be compared at every shift."""
        return int(self.count.min())

    @property
    def curve(self) -> NDArray[np.float64]:
        """(S,) mean edge rank under the steps."""
        return self.total / np.maximum(self.count, 1)

    @property
    def contrast(self) -> float | None:
        """How much better the points fit where they are than 14 to 40 pixels beside."""
        return contrast(self.curve) if self.num_steps >= _MIN_EDGES else None

    @property
    def height(self) -> float:
        """Edge rank under the steps where they are, 0 to 1; by chance 0.5."""
        return float(self.curve[_CENTER - 1 : _CENTER + 2].max())

    @property
    def noise(self) -> float:
        """Deviation of the contrast that chance alone gives with so many steps."""
        few = _DEVIATION**2 * _STEPS_A_THING / max(1, self.num_steps)
        return float(np.sqrt(_SCENE**2 + few))


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Points behind which the depth jumps, as a camera sees them."""

    points: NDArray[np.float64]
    """(E, 3) lidar coordinates, metres."""
    uv: NDArray[np.float64]
    """(E, 2) their places in the image of edges, pixels."""

    def thinned(self) -> "Steps":
        """At most some hundreds, spread evenly: neighbours on one edge say the same."""
        stride = -(-len(self.uv) // _MOST_STEPS) or 1
        return Steps(points=self.points[::stride], uv=self.uv[::stride])

    def seen_by(self, view: CameraView) -> NDArray[np.float64]:
        """(at most E, 2) places of the same points by another calibration."""
        return _projected(self.points, view)[1]


def image_edges(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W) rank of every pixel's sideways gradient in its row, 0 to 1.

    Ranks make bright and dark, sharp and blurred images alike; taking them by row keeps the
    busy middle of a street from standing out against sky and road.

    Args:
        image: RGB.
    """
    height = round(image.shape[0] * WIDTH / image.shape[1])
    small = Image.fromarray(image).convert("L").resize((WIDTH, height), Image.Resampling.BILINEAR)
    smooth = ndimage.gaussian_filter(np.asarray(small, dtype=np.float32), 1.0)
    gradient = ndimage.maximum_filter(np.abs(np.gradient(smooth, axis=1)), size=(1, 3))
    ranks = np.empty_like(gradient)
    rank = np.linspace(0, 1, WIDTH, dtype=np.float32)
    np.put_along_axis(ranks, np.argsort(gradient, axis=1), np.tile(rank, (height, 1)), axis=1)
    return ranks


def depth_steps(points: NDArray[np.floating], view: CameraView) -> Steps:
    """The points of a scan behind which the depth jumps.

    Args:
        points: (N, 3) lidar coordinates, metres.
        view: The camera.
    """
    index, uv, depths = _projected(points, view)
    if len(uv) < _NUM_NEIGHBORS:
        return Steps(points=np.zeros((0, 3)), uv=np.zeros((0, 2)))
    flat = uv * (1.0, _FLATTEN)
    distance, near = cKDTree(flat).query(flat, k=_NUM_NEIGHBORS, distance_upper_bound=_REACH)
    found = np.isfinite(distance)
    depth = depths[np.where(found, near, 0)]
    farthest = np.where(found, depth, -np.inf).max(axis=1)
    nearest = np.where(found, depth, np.inf).min(axis=1)
    step = (farthest > 1.15 * depths + 0.5) & (nearest > 0.95 * depths - 0.2)
    return Steps(points=points[index[step]].astype(np.float64), uv=uv[step])


def _projected(
    points: NDArray[np.floating], view: CameraView
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Index, (E, 2) place in the image of edges, and depth of the points that a camera sees."""
    seen = project(
        points,
        K=view.K,
        T_cam_lidar=view.T_cam_lidar,
        size_hw=view.size_hw,
        distortion=view.distortion,
        near_depth=_NEAR_DEPTH,
    )
    return seen.index, seen.uv * (WIDTH / view.size_hw[1]), seen.depth


def fit(edges: NDArray[np.float32], uv: NDArray[np.float64]) -> Fit:
    """Compare the edges of one image with steps.

    Args:
        edges: (H, W) of ``image_edges``.
        uv: (E, 2) places of ``depth_steps``.
    """
    height, width = edges.shape
    columns = np.round(uv[:, 0, None] + SHIFTS).astype(np.int64)
    rows = np.clip(np.round(uv[:, 1]).astype(np.int64), 0, height - 1)
    inside = (columns >= 0) & (columns < width)
    ranks = edges[rows[:, None], np.clip(columns, 0, width - 1)]
    total = np.where(inside, ranks, 0).sum(axis=0, dtype=np.float64)
    return Fit(total=total, count=inside.sum(axis=0))


def together(fits: Iterable[Fit]) -> Fit:
    """All images' steps as one."""
    total, count = np.zeros(len(SHIFTS)), np.zeros(len(SHIFTS), dtype=np.int64)
    for one in fits:
        total, count = total + one.total, count + one.count
    return Fit(total=total, count=count)


def contrast(curve: NDArray[np.float64]) -> float:
    """How much better the points fit where they are than 14 to 40 pixels beside.

    Args:
        curve: (S,) of ``Fit.curve``.
    """
    return float(curve[_CENTER - 1 : _CENTER + 2].max() - curve[_AWAY].mean())
