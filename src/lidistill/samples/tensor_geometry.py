"""Point limit, augmentation, crop and channels as tensors, on any device.

The NumPy versions, named beside each, are the definition; the integers are the same.
Shape letters: N points of a cloud, M points of a sample, F channels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lidistill.records import FieldOfView
from lidistill.samples.augmentation import CROP_MARGIN, SPATIAL, Augmentation
from lidistill.samples.preparer import Channel


def nearest_to(points: Tensor, centre: int, max_points: int) -> Tensor:
    """Indices of the points nearest to one of them: ``augmentation.limit_to_nearest``.

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


def augmented(points: Tensor, augmentation: Augmentation) -> tuple[Tensor, Tensor]:
    """(N, 3) coordinates and (N, 4) channels: ``Augmentation.apply``."""
    coords = _rotated(points, augmentation.angle) if augmentation.angle else points
    if augmentation.flip_axis is not None:
        coords = coords.clone()
        coords[:, augmentation.flip_axis] *= -1
    if augmentation.feature_angle is None:
        coords = coords * augmentation.factor
        return coords, _with_radius(coords)
    return coords, _with_radius(_rotated(points, augmentation.feature_angle)) * augmentation.factor


def _rotated(points: Tensor, angle: float) -> Tensor:
    x, y, z = points.unbind(1)
    cos, sin = points.new_tensor([np.cos(angle), np.sin(angle)])
    return torch.stack([x * cos - y * sin, x * sin + y * cos, z], dim=1)


def _with_radius(points: Tensor) -> Tensor:
    return torch.cat([points, torch.sqrt(squared_norm(points))[:, None]], dim=1)


def crop_tensor(coords: Tensor, view: FieldOfView) -> Tensor:
    """``crop_mask`` of tensors, on their device."""
    position = coords.double()
    low = torch.tensor(view.low, dtype=torch.float64, device=coords.device) + CROP_MARGIN
    high = torch.tensor(view.high, dtype=torch.float64, device=coords.device) - CROP_MARGIN
    return ((position > low) & (position < high)).all(1)


def stack_tensors(channels: Sequence[Channel], intensity: Tensor | None, spatial: Tensor) -> Tensor:
    """``stack_channels`` of tensors, on their device."""
    columns = []
    for name in channels:
        column = intensity if name == "intensity" else spatial[:, SPATIAL[name]]
        assert column is not None  # noqa: S101  made where it is wanted
        columns.append(column)
    return torch.stack(columns, dim=1)
