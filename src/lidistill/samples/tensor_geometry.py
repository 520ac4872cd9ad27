"""Voxels and the point limit as tensors, on any device.

The NumPy versions, named beside each, are the definition; the integers are the same. Divisors
are tensors: a GPU multiplies by the reciprocal of a plain number, which may round otherwise.

Shape letters: N points of a cloud, V voxels.
"""

import torch
from torch import Tensor


def first_of_voxels(points: Tensor, size: float, permutation: Tensor) -> Tensor:
    """(V,) point of every voxel that comes first in an order: ``voxel.voxel_permuted``.

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


def nearest_to(points: Tensor, centre: int, max_points: int) -> Tensor:
    """Indices of the points nearest to one of them: ``transforms.limit_to_nearest``.

    Args:
        points: (N, 3) metres.
        centre: One of them.
        max_points: How many are kept.
    """
    if len(points) <= max_points:
        return torch.arange(len(points), device=points.device)
    distance2 = squared_norm(points - points[centre])
    return torch.argsort(distance2, stable=True)[:max_points]


def squared_norm(points: Tensor) -> Tensor:
    """(N,) sum of three squares, added in their order on every device."""
    x, y, z = (points * points).unbind(1)
    return x + y + z
