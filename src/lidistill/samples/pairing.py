"""Points of a scan and the pixels of an image that they fall on.

Shape letters: N points of the scan, P pairs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly, compiling
from lidistill.geometry import transform_points
from lidistill.projection import Projection, distort, project
from lidistill.records import CameraView, Pairs
from lidistill.samples.visibility import visible_points


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelPairs:
    """Points that fall into an image, and where; ``unoccluded`` tells which of them it shows."""

    index: NDArray[np.int64]
    """(P,) index of each point, increasing."""
    uv: NDArray[np.float32]
    """(P, 2) column and row in the resized image, whole numbers."""


def pair_view(
    points: NDArray[np.floating], view: CameraView, size_hw: tuple[int, int]
) -> PixelPairs:
    """Project a scan into one image.

    Args:
        points: (N, 3) lidar frame, metres.
        view: The camera and its calibration.
        size_hw: Height and width that the image is resized to, pixels.
    """
    if view.distortion is None and compiling():
        return _pair_compiled(np.ascontiguousarray(points), view, size_hw)
    return pair_by_numpy(points, view, size_hw)


def without(pairs: PixelPairs, hidden: NDArray[np.bool_] | None) -> PixelPairs:
    """Pairs but for those of points that no image shows; (N,) which, None: each is shown."""
    return pairs if hidden is None else _some(pairs, ~hidden[pairs.index])


def unoccluded(pairs: PixelPairs, points: NDArray[np.floating], view: CameraView) -> PixelPairs:
    """Pairs whose point the camera can see past the others of these pairs.

    Args:
        pairs: Of the points and the view.
        points: (N, 3) lidar frame, metres.
        view: The camera.

    See ``visibility.visible_points``, which judges.
    """
    lens = view.distortion
    if lens is None and compiling():
        uv, depth = np.empty((len(pairs.index), 2)), np.empty(len(pairs.index))
        T, K = (np.ascontiguousarray(m, dtype=np.float64) for m in (view.T_cam_lidar, view.K))
        _exact_places(np.ascontiguousarray(points), pairs.index, T, K, uv, depth)
    else:
        camera = transform_points(view.T_cam_lidar, points[pairs.index])
        depth = camera[:, 2]
        ideal = camera[:, :2] / depth[:, None]
        bent = ideal if lens is None else distort(ideal, lens).xy
        uv = bent @ view.K[:2, :2].T + view.K[:2, 2]
    focal_px = float(view.K[1, 1])
    return _some(pairs, visible_points(uv, depth, view.size_hw, focal_px=focal_px))


def _some(pairs: PixelPairs, kept: NDArray[np.bool_]) -> PixelPairs:
    rows = np.flatnonzero(kept)  # with take faster than brackets
    return PixelPairs(index=pairs.index.take(rows), uv=pairs.uv.take(rows, axis=0))


def pair_by_numpy(
    points: NDArray[np.floating], view: CameraView, size_hw: tuple[int, int]
) -> PixelPairs:
    """The definition of ``pair_view``, and its way with a distorting lens."""
    projection = project_view(points, view)
    uv = resize_pixels(projection.uv, view.size_hw, size_hw)
    return PixelPairs(index=projection.index, uv=uv)


def project_view(points: NDArray[np.floating], view: CameraView) -> Projection:
    """Points (N, 3) that fall into a view's stored image, and exactly where."""
    return project(
        points,
        K=view.K,
        T_cam_lidar=view.T_cam_lidar,
        size_hw=view.size_hw,
        distortion=view.distortion,
        near_depth=view.near_depth,
        near_x=view.near_x,
        border_px=view.border_px,
    )


def _pair_compiled(
    points: NDArray[np.floating], view: CameraView, size_hw: tuple[int, int]
) -> PixelPairs:
    """See ``pair_by_numpy``; positions differ in the last of 53 bits at most."""
    index = np.empty(len(points), dtype=np.int64)
    uv = np.empty((len(points), 2), dtype=np.float32)
    stored_wh = np.array(view.size_hw[::-1], dtype=np.float64)
    count = _project(
        points,
        np.ascontiguousarray(view.T_cam_lidar, dtype=np.float64),
        np.ascontiguousarray(view.K, dtype=np.float64),
        np.array([view.near_depth, view.near_x]),
        stored_wh - view.border_px,
        np.array(size_hw[::-1]) / stored_wh,
        index,
        uv,
    )
    return PixelPairs(index=index[:count].copy(), uv=uv[:count].copy())


@compiled_exactly
def _exact_places(
    points: NDArray[np.floating],
    index: NDArray[np.int64],
    T: NDArray[np.float64],
    K: NDArray[np.float64],
    uv: NDArray[np.float64],
    depth: NDArray[np.float64],
) -> None:
    """Write (P, 2) column and row in the stored image, and (P,) depth, of points in front of it."""
    for pair in range(len(index)):
        x, y, z = points[index[pair]]
        ahead = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
        right = (T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]) / ahead
        down = (T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]) / ahead
        uv[pair, 0] = K[0, 0] * right + K[0, 1] * down + K[0, 2]
        uv[pair, 1] = K[1, 0] * right + K[1, 1] * down + K[1, 2]
        depth[pair] = ahead


@compiled_exactly
def _project(
    points: NDArray[np.floating],
    T: NDArray[np.float64],
    K: NDArray[np.float64],
    near: NDArray[np.float64],
    border: NDArray[np.float64],
    factor: NDArray[np.float64],
    index: NDArray[np.int64],
    uv: NDArray[np.float32],
) -> int:
    """Write the points inside an image and their pixels; how many there are.

    Args:
        points: (N, 3) lidar frame, metres.
        T: (4, 4) lidar to camera.
        K: (3, 3) pinhole matrix, pixels.
        near: (2,) least depth and least lidar x.
        border: (2,) bounds of column and row.
        factor: (2,) of column and row, from the stored image to the resized one.
        index: (N,) written.
        uv: (N, 2) written.
    """
    count = 0
    for point in range(len(points)):
        x, y, z = points[point]
        depth = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
        if not (depth > near[0] and x > near[1]):
            continue
        right = (T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]) / depth
        down = (T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]) / depth
        column = K[0, 0] * right + K[0, 1] * down + K[0, 2]
        row = K[1, 0] * right + K[1, 1] * down + K[1, 2]
        if 0 < column < border[0] and 0 < row < border[1]:
            index[count] = point
            uv[count, 0] = np.floor(np.floor(column) * factor[0])
            uv[count, 1] = np.floor(np.floor(row) * factor[1])
            count += 1
    return count


def resize_pixels(
    uv: NDArray[np.floating], from_hw: tuple[int, int], to_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """Pixel of the resized image for every position in the stored one.

    The pixel is taken first and then scaled and rounded down again: a pair belongs to a pixel, not
    to a position inside it.

    Args:
        uv: (P, 2) column and row in the stored image.
        from_hw: Height and width of the stored image.
        to_hw: Height and width of the resized one.
    """
    factor = np.array([to_hw[1] / from_hw[1], to_hw[0] / from_hw[0]])
    return np.floor(np.floor(uv.astype(np.float64)) * factor).astype(np.float32)


def gather_pairs(
    position: NDArray[np.int64], pixels: list[PixelPairs]
) -> tuple[Pairs, tuple[int, ...]]:
    """Pairs of the points that a sample keeps.

    Args:
        position: (K,) index in the sample of each voxelised point, -1 if it is dropped.
        pixels: Pairs of each view; they index the same K points.

    Returns:
        The pairs, view by view and each view's in the order of the sample's points; and the views
        that keep any, which is what ``Pairs.view`` counts.
    """
    points, uvs = [np.zeros(0, dtype=np.int64)], [np.zeros((0, 2), dtype=np.float32)]
    used = []
    for number, pairs in enumerate(pixels):
        point = position[pairs.index]
        kept = np.flatnonzero(point >= 0)
        if len(kept):
            # No point is twice in a view, so that their order needs no sorting.
            pair_of = np.full(int(point.max()) + 1, -1)
            pair_of[point[kept]] = kept
            order = pair_of[pair_of >= 0]
            used.append(number)
            points.append(point[order])
            uvs.append(pairs.uv.take(order, axis=0))
    lengths = [len(point) for point in points[1:]]
    gathered = Pairs(
        point=torch.from_numpy(np.concatenate(points)),
        view=torch.from_numpy(np.repeat(np.arange(len(used)), lengths)),
        uv=torch.from_numpy(np.concatenate(uvs)),
    )
    return gathered, tuple(used)
