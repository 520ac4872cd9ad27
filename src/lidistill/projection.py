"""The pinhole projection that every data set shares, and lenses that distort.

Frames: lidar z up, x and y as the data set defines them (``docs/conventions.md``); camera x right,
y down, z forward (OpenCV). Everything is float64.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lidistill.geometry import Float64, transform_points

Column = TypeVar("Column", bound=Any)
"""One number of every point: (N,) float64, an array or a tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Points that fall into an image."""

    index: NDArray[np.int64]
    """(P,) index of each point, increasing."""
    uv: Float64
    """(P, 2) column and row in the image, pixels."""
    depth: Float64
    """(P,) distance along the camera's z axis, metres."""


def project(
    points: NDArray[np.floating],
    *,
    K: Float64,
    T_cam_lidar: Float64,
    size_hw: tuple[int, int],
    distortion: Float64 | None = None,
    near_depth: float = 0.0,
    near_x: float = -np.inf,
    border_px: float = 0.0,
) -> Projection:
    """Project lidar points and keep those inside the image; there is no occlusion test.

    Args:
        points: (N, 3) lidar frame, metres.
        K: (3, 3) pinhole matrix, pixels.
        T_cam_lidar: (4, 4) lidar to camera.
        size_hw: Height and width of the image, pixels.
        distortion: (5,) k1, k2, p1, p2, k3, or None for an ideal pinhole.
        near_depth: Points must be deeper than this, metres.
        near_x: Points must have a larger lidar x than this, metres.
        border_px: Upper bounds are W - border_px and H - border_px.

    References:
        ScaLR (CVPR 2024), section 3; the limits of each data set are in ``docs/datasets``.
    """
    camera = transform_points(T_cam_lidar, points)
    depth = camera[:, 2]
    front = np.flatnonzero((depth > near_depth) & (points[:, 0] > near_x))
    normalised = camera[front, :2] / depth[front, None]
    if distortion is not None:
        bent = distort(normalised, distortion)
        front, normalised = front[bent.monotone], bent.xy[bent.monotone]
    uv = normalised @ K[:2, :2].T + K[:2, 2]
    height, width = size_hw
    inside = (
        (uv[:, 0] > 0)
        & (uv[:, 1] > 0)
        & (uv[:, 0] < width - border_px)
        & (uv[:, 1] < height - border_px)
    )
    index = front[inside]
    return Projection(index=index, uv=uv[inside], depth=depth[index])


@dataclass(frozen=True, slots=True, kw_only=True)
class Distorted:
    """Distorted coordinates, and where the lens model still means something."""

    xy: Float64
    """(P, 2) distorted normalised image coordinates."""
    monotone: NDArray[np.bool_]
    """(P,) whether the radial polynomial still grows there; beyond, points would fold back in."""


def distort(xy: Float64, distortion: Float64) -> Distorted:
    """Apply radial-tangential distortion to normalised image coordinates.

    Args:
        xy: (P, 2) ideal coordinates x/z and y/z.
        distortion: (5,) k1, k2, p1, p2, k3.

    References:
        D. C. Brown, "Decentering distortion of lenses", 1966; the coefficient order of OpenCV.
    """
    bent_x, bent_y, monotone = bend(xy[:, 0], xy[:, 1], distortion.tolist())
    return Distorted(xy=np.stack([bent_x, bent_y], axis=1), monotone=monotone)


def bend(x: Column, y: Column, coefficients: list[float]) -> tuple[Column, Column, Any]:
    """``distort`` of two columns, arrays or tensors: x, y, and where the model is monotone."""
    k1, k2, p1, p2, k3 = coefficients
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    growth = 1 + r2 * (3 * k1 + r2 * (5 * k2 + r2 * 7 * k3))
    bent_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    bent_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    # The polynomial may grow again far outside; only radii below its first turning point count.
    return bent_x, bent_y, (growth > 0) & (r2 < first_turning_radius2(k1, k2, k3))


def first_turning_radius2(k1: float, k2: float, k3: float) -> float:
    """Smallest squared radius at which d(r radial)/dr is zero, or infinity."""
    coefficients = np.trim_zeros(np.array([7 * k3, 5 * k2, 3 * k1, 1.0]), "f")
    roots = np.roots(coefficients)
    real = roots[(np.abs(roots.imag) < 1e-12) & (roots.real > 0)].real
    return float(real.min()) if len(real) else np.inf
