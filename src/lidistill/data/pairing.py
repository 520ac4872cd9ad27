"""Points of a scan and the pixels of a picture that they fall on.

Shape letters: N points of the scan, P pairs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lidistill.geometry import project
from lidistill.structures import CameraView, Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelPairs:
    """Points that a camera sees, and where; there is no occlusion test."""

    index: NDArray[np.int64]
    """(P,) index of each point, increasing."""
    uv: NDArray[np.float32]
    """(P, 2) column and row in the resized picture, whole numbers."""


def pair_view(
    points: NDArray[np.floating], view: CameraView, size_hw: tuple[int, int]
) -> PixelPairs:
    """Project a scan into one picture.

    Args:
        points: (N, 3) lidar frame, metres.
        view: The camera and its calibration.
        size_hw: Height and width that the picture is resized to, pixels.
    """
    projection = project(
        points,
        K=view.K,
        T_cam_lidar=view.T_cam_lidar,
        size_hw=view.size_hw,
        distortion=view.distortion,
        near_depth=view.near_depth,
        near_x=view.near_x,
        border_px=view.border_px,
    )
    uv = resize_pixels(projection.uv, view.size_hw, size_hw)
    return PixelPairs(index=projection.index, uv=uv)


def resize_pixels(
    uv: NDArray[np.floating], from_hw: tuple[int, int], to_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """Pixel of the resized picture for every position in the stored one.

    The pixel is taken first and then scaled and rounded down again: a pair belongs to a pixel, not
    to a position inside it.

    Args:
        uv: (P, 2) column and row in the stored picture.
        from_hw: Height and width of the stored picture.
        to_hw: Height and width of the resized one.
    """
    factor = np.array([to_hw[1] / from_hw[1], to_hw[0] / from_hw[0]])
    return np.floor(np.floor(uv.astype(np.float64)) * factor).astype(np.float32)


def gather_pairs(
    position: NDArray[np.int64], pixels: list[PixelPairs]
) -> tuple[Pairs, tuple[int, ...]]:
    """Pairs of the points that a sample keeps.

    Args:
        position: (N,) index in the sample of every point of the scan, -1 if it is left out.
        pixels: Pairs of each view; they index the scan.

    Returns:
        The pairs, view by view and each view's in the order of the sample's points; and the views
        that keep any, which is what ``Pairs.view`` counts.
    """
    points, uvs = [np.zeros(0, dtype=np.int64)], [np.zeros((0, 2), dtype=np.float32)]
    used = []
    for number, pairs in enumerate(pixels):
        point = position[pairs.index]
        order = np.argsort(point, kind="stable")[np.count_nonzero(point < 0) :]
        if len(order):
            used.append(number)
            points.append(point[order])
            uvs.append(pairs.uv[order])
    lengths = [len(point) for point in points[1:]]
    gathered = Pairs(
        point=torch.from_numpy(np.concatenate(points)),
        view=torch.from_numpy(np.repeat(np.arange(len(used)), lengths)),
        uv=torch.from_numpy(np.concatenate(uvs)),
    )
    return gathered, tuple(used)
