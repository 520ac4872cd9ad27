"""Do steps in depth lie on edges of the picture? The measure behind every alignment finding.

A thing in the foreground ends in both: the lidar sees a step in depth, the camera an edge. Where
calibration and clocks are right the two coincide, and moving the points sideways over the picture
loses them.

Shape letters: N points, E points at steps, S shifts, H x W size of the picture of edges.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree

from lidistill.geometry import project
from lidistill.structures import CameraView

WIDTH: Final = 640
"""Pictures are compared at this width, pixels."""
SHIFTS: Final = np.arange(-40, 41, 2)
"""(S,) pixels by which points are moved sideways."""
_CENTER: Final = len(SHIFTS) // 2
_AWAY: Final = np.abs(SHIFTS) >= 14
_NEAR_DEPTH: Final = 1.0  # metres
_FLATTEN: Final = 3.0  # neighbours are looked for along the row, where the laser scans densely
_REACH: Final = 9.0  # pixels
_NUM_NEIGHBORS: Final = 9
_MIN_EDGES: Final = 60


def picture_edges(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W) rank of every pixel's sideways gradient in its row, 0 to 1.

    Ranks make bright and dark, sharp and blurred pictures alike; taking them by row keeps the
    busy middle of a street from standing out against sky and road.

    Args:
        picture: RGB.
    """
    height = round(picture.shape[0] * WIDTH / picture.shape[1])
    small = Image.fromarray(picture).convert("L").resize((WIDTH, height), Image.Resampling.BILINEAR)
    smooth = ndimage.gaussian_filter(np.asarray(small, dtype=np.float32), 1.0)
    gradient = ndimage.maximum_filter(np.abs(np.gradient(smooth, axis=1)), size=(1, 3))
    ranks = np.empty_like(gradient)
    rank = np.linspace(0, 1, WIDTH, dtype=np.float32)
    np.put_along_axis(ranks, np.argsort(gradient, axis=1), np.tile(rank, (height, 1)), axis=1)
    return ranks


def depth_steps(points: NDArray[np.floating], view: CameraView) -> NDArray[np.float64]:
    """(E, 2) places of the points behind which the depth jumps, in pixels of the edge picture.

    Args:
        points: (N, 3) lidar coordinates, metres.
        view: The camera.
    """
    seen = project(
        points,
        K=view.K,
        T_cam_lidar=view.T_cam_lidar,
        size_hw=view.size_hw,
        distortion=view.distortion,
        near_depth=_NEAR_DEPTH,
    )
    uv = seen.uv * (WIDTH / view.size_hw[1])
    if len(uv) < _NUM_NEIGHBORS:
        return np.zeros((0, 2))
    flat = uv * (1.0, _FLATTEN)
    distance, index = cKDTree(flat).query(flat, k=_NUM_NEIGHBORS, distance_upper_bound=_REACH)
    found = np.isfinite(distance)
    depth = seen.depth[np.where(found, index, 0)]
    farthest = np.where(found, depth, -np.inf).max(axis=1)
    nearest = np.where(found, depth, np.inf).min(axis=1)
    step = (farthest > 1.15 * seen.depth + 0.5) & (nearest > 0.95 * seen.depth - 0.2)
    return uv[step]


def overlap(edges: NDArray[np.float32], steps: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """(S,) mean edge rank under the steps, for every sideways shift.

    Args:
        edges: (H, W) of ``picture_edges``.
        steps: (E, 2) of ``depth_steps``.

    Returns:
        The curve, or None where too few steps stay in the picture to tell.
    """
    height, width = edges.shape
    columns = np.round(steps[:, 0, None] + SHIFTS).astype(np.int64)
    rows = np.clip(np.round(steps[:, 1]).astype(np.int64), 0, height - 1)
    inside = (columns >= 0) & (columns < width)
    counts = inside.sum(axis=0)
    if counts.min() < _MIN_EDGES:
        return None
    ranks = edges[rows[:, None], np.clip(columns, 0, width - 1)]
    return np.where(inside, ranks, 0).sum(axis=0) / counts


def contrast(curve: NDArray[np.float64]) -> float:
    """How much better the points fit where they are than 14 to 40 pixels beside."""
    return float(curve[_CENTER - 1 : _CENTER + 2].max() - curve[_AWAY].mean())
