"""Which points of a scan are sampled: one of every voxel, and none that is not finite.

Shape letters: N points of a scan or cloud, V voxels that hold at least one of them.
"""

import logging
from typing import Final, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from lidistill.datasets.sensors import sensor_of
from lidistill.errors import FileFormatError
from lidistill.geometry import transform_points
from lidistill.records import Frame
from lidistill.samples.voxel_grid import first_by_keys

VoxelFrame: TypeAlias = Literal["lidar", "world", "published"]
"""Coordinates that voxels are counted in; published: for each sensor those of ScaLR."""

logger = logging.getLogger(__name__)

_said: Final[set[str]] = set()  # sensors whose lost beams this process has spoken of


def voxel_subset(
    frame: Frame,
    *,
    voxel_size: float,
    voxel_frame: VoxelFrame,
    permutation: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    """(V,) one point of every voxel: the first in the scan's order, or in that of a permutation.

    Points with a coordinate or an intensity that is not finite are dropped before.

    Args:
        frame: The scan.
        voxel_size: Metres.
        voxel_frame: Coordinates that voxels are counted in.
        permutation: Order of the finite points, or None.

    Raises:
        FileFormatError: If world coordinates are asked for and the frame has no pose.
    """
    finite = finite_points(frame)
    points: NDArray[np.floating] = frame.points
    if len(finite) < len(points):
        points = points[finite]
    pose = voxel_pose(frame, voxel_frame)
    if pose is not None:
        points = transform_points(pose, points)
    if permutation is None:
        return finite[voxel_first(points, voxel_size)]
    return finite[voxel_permuted(points, voxel_size, permutation)]


def voxel_pose(frame: Frame, voxel_frame: VoxelFrame) -> NDArray[np.float64] | None:
    """(4, 4) lidar coordinates to those that voxels are counted in; None where they are the same.

    Raises:
        FileFormatError: If world coordinates are asked for and the frame has no pose.
    """
    wanted = voxel_frame
    if wanted == "published":
        wanted = sensor_of(frame).published_voxel_frame
    if wanted == "lidar":
        return None
    if frame.T_world_lidar is None:
        msg = (
            f"frame {frame.frame_id} has no world pose, which voxel_frame 'world' needs; "
            "set voxel_frame to 'lidar'."
        )
        raise FileFormatError(msg)
    return frame.T_world_lidar


def finite_points(frame: Frame) -> NDArray[np.int64]:
    """(at most N,) points whose coordinates and intensity, where there is one, are finite."""
    measured = () if frame.intensity is None else (frame.intensity,)
    if all(np.isfinite(array).all() for array in (frame.points, *measured)):
        return np.arange(len(frame.points))
    columns = (*frame.points.T, *measured)
    finite = np.flatnonzero(np.logical_and.reduce([np.isfinite(column) for column in columns]))
    _say_dropped(frame, len(frame.points) - len(finite))
    return finite


def _say_dropped(frame: Frame, num_dropped: int) -> None:
    """Say once per run and sensor that some beams did not come back."""
    worker = get_worker_info()
    if frame.sensor in _said or (worker is not None and worker.id > 0):
        return
    _said.add(frame.sensor)
    logger.info(
        "%s: points at (0, 0, 0) or not finite, beams that did not come back, are left out with "
        "their labels (%d of %d in %s; said once).",
        *(frame.sensor, num_dropped, len(frame.points), frame.frame_id),
    )


def voxel_first(points: NDArray[np.floating], size: float) -> NDArray[np.int64]:
    """Index of the first point of every voxel.

    Args:
        points: (N, 3) finite coordinates, metres; the voxel is computed in their own precision.
        size: Edge of a voxel, metres.

    Returns:
        (V,) indices, ordered by the voxel's x, then y, then z.

    References:
        ScaLR (CVPR 2024), supplementary: voxels of 0.1 m counted from the cloud's minimum.
    """
    return voxel_permuted(points, size, np.arange(len(points)))


def voxel_permuted(
    points: NDArray[np.floating], size: float, permutation: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Index of the point of every voxel that comes first in a given order.

    Args:
        points: (N, 3) finite coordinates, metres.
        size: Edge of a voxel, metres.
        permutation: (N,) order in which the points are visited.

    Returns:
        (V,) indices into ``points``, ordered by the voxel's x, then y, then z.

    Raises:
        ValueError: If the size is not positive or a coordinate is not finite.
    """
    if not size > 0:
        msg = f"voxel size is {size}, expected a positive number of metres"
        raise ValueError(msg)
    if not len(points):
        return np.zeros(0, dtype=np.int64)
    points = np.ascontiguousarray(points)
    fast = first_by_keys(points, size, permutation)
    return first_by_definition(points, size, permutation) if fast is None else fast


def first_by_definition(
    points: NDArray[np.floating], size: float, permutation: NDArray[np.integer]
) -> NDArray[np.int64]:
    """The definition of ``voxel_permuted``, and its way with clouds too wide for the other."""
    order = torch.from_numpy(permutation.astype(np.int64))
    found: NDArray[np.int64] = first_of_voxels(torch.from_numpy(points.copy()), size, order).numpy()
    return found


def first_of_voxels(points: Tensor, size: float, permutation: Tensor) -> Tensor:
    """(V,) point of every voxel that comes first in an order: the definition.

    Divisors are tensors: a GPU multiplies by the reciprocal of a plain number, which may round
    otherwise.

    Args:
        points: (N, 3) finite coordinates, metres; the voxel is computed in their own precision.
        size: Edge of a voxel, metres.
        permutation: (N,) int64 order in which the points are visited.
    """
    if not len(points):
        return permutation
    edge = torch.tensor(size, dtype=points.dtype, device=points.device)
    voxel = torch.trunc((points - points.amin(0)) / edge)
    order = permutation
    for axis in (2, 1, 0):  # each stable sort keeps the order of those before
        order = order[torch.argsort(voxel[order, axis], stable=True)]
    in_order = voxel[order]
    starts = torch.ones_like(order, dtype=torch.bool)
    starts[1:] = (in_order[1:] != in_order[:-1]).any(1)
    return order[starts]
