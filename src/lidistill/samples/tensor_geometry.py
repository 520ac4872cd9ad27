"""Point limit, augmentation, crop, channels and pairs as tensors, on any device.

The NumPy versions, named beside each, are the definition; the integers are the same.

Shape letters: N points of a cloud, M points of a sample, F channels, P pairs.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lidistill.projection import bend
from lidistill.records import CameraView, Pairs
from lidistill.samples.augmentation import CROP_MARGIN, Augmentation
from lidistill.samples.channels import SPATIAL
from lidistill.samples.preparer import Channel, FieldOfView
from lidistill.samples.visibility import visible_on_device


def sphere_crop_on_device(points: Tensor, centre: int, max_points: int) -> Tensor:
    """Indices of the points nearest to one of them: ``augmentation.sphere_crop``.

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


def stack_tensors(
    channels: Sequence[Channel], values: Mapping[Channel, Tensor], spatial: Tensor
) -> Tensor:
    """``stack_channels`` of tensors, on their device."""
    places = [(name, SPATIAL.get(name)) for name in channels]
    columns = [values[name] if place is None else spatial[:, place] for name, place in places]
    return torch.stack(columns, dim=1)


def pair_on_device(
    points: Tensor, view: CameraView, size_hw: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Points that a camera sees, and where: ``pairing.pair_view``.

    Args:
        points: (N, 3) lidar frame, metres.
        view: The camera and its calibration.
        size_hw: Height and width that the image is resized to, pixels.

    Returns:
        (P,) int64 index of each point, increasing; (P, 2) float32 pixel in the resized image.
    """
    index, uv, _ = _project_on_device(points, view)
    factor = _float64(np.array(size_hw[::-1]) / np.array(view.size_hw[::-1]), points.device)
    return index, torch.floor(torch.floor(uv) * factor).float()


def unoccluded_on_device(points: Tensor, view: CameraView) -> Tensor:
    """(N,) which of some points in an image it shows: ``pairing.unoccluded``.

    Args:
        points: (N, 3) lidar frame, metres.
        view: The camera.
    """
    index, uv, depth = _project_on_device(points, view)
    shown = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    shown[index] = visible_on_device(uv, depth, view.size_hw, focal_px=float(view.K[1, 1]))
    return shown


def _project_on_device(points: Tensor, view: CameraView) -> tuple[Tensor, Tensor, Tensor]:
    """(P,) indices of the points in an image, (P, 2) exact pixels of the stored one, (P,) depth."""
    device = points.device
    T, K = _float64(view.T_cam_lidar, device), _float64(view.K, device)
    camera = points.double() @ T[:3, :3].t() + T[:3, 3]
    depth = camera[:, 2]
    front = (depth > view.near_depth) & (points[:, 0] > view.near_x)
    index = front.nonzero().squeeze(1)
    xy = camera[index, :2] / depth[index, None]
    if view.distortion is not None:
        x, y, monotone = bend(xy[:, 0], xy[:, 1], view.distortion.tolist())
        index, xy = index[monotone], torch.stack([x, y], 1)[monotone]
    uv = xy @ K[:2, :2].t() + K[:2, 2]
    upper = _float64(np.array(view.size_hw[::-1], dtype=np.float64) - view.border_px, device)
    inside = ((uv > 0) & (uv < upper)).all(1)
    return index[inside], uv[inside], depth[index[inside]]


def gather_on_device(
    position: Tensor, pixels: list[tuple[Tensor, Tensor]]
) -> tuple[Pairs, tuple[int, ...]]:
    """Pairs of the points that a sample keeps: ``pairing.gather_pairs``.

    Args:
        position: (K,) int64 index in the sample of each voxelised point, -1 if it is dropped.
        pixels: What ``pair_on_device`` says of each view.
    """
    points, uvs, used = [position[:0]], [position.new_zeros(0, 2, dtype=torch.float32)], []
    for number, (index, uv) in enumerate(pixels):
        point, order = torch.sort(position[index], stable=True)
        kept = point >= 0
        if bool(kept.any()):
            used.append(number)
            points.append(point[kept])
            uvs.append(uv[order[kept]])
    counts = torch.tensor([len(point) for point in points[1:]], device=position.device)
    numbers = torch.arange(len(used), device=position.device)
    view = torch.repeat_interleave(numbers, counts) if used else position[:0]
    return Pairs(point=torch.cat(points), view=view, uv=torch.cat(uvs)), tuple(used)


def _float64(values: NDArray[np.floating], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64)).to(device)
