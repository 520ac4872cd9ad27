"""Rigid transforms, and what tells whether a calibration can be right.

Frames: lidar z up, x and y as the data set defines them (``docs/conventions.md``); camera x right,
y down, z forward (OpenCV). Everything is float64.
"""

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Float64: TypeAlias = NDArray[np.float64]

_BLOCK = 1 << 14
"""Points that are transformed together: BLAS shares larger products among threads, which spin
while other data workers need the cores."""
MAX_WORLD = 1e7
"""Metres from the equator to a pole; no coordinate of a world frame is larger."""


def quaternion_to_matrix(quaternion_wxyz: Float64 | list[float] | tuple[float, ...]) -> Float64:
    """(3, 3) rotation matrix of a quaternion (w, x, y, z), which is normalised first.

    Raises:
        ValueError: If it does not have four finite numbers, or is zero.
    """
    q = np.asarray(quaternion_wxyz, dtype=np.float64)
    norm = float(np.linalg.norm(q)) if q.shape == (4,) else 0.0
    if not (np.isfinite(norm) and norm > 0):
        msg = f"a rotation quaternion needs four finite numbers, not all zero; found {q.tolist()}"
        raise ValueError(msg)
    w, x, y, z = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def check_unit(quaternion_wxyz: Float64 | list[float]) -> None:
    """Check that a stored quaternion has the length 1; a damaged number changes it.

    Raises:
        ValueError: If it is off by more than a hundredth.
    """
    norm = math.hypot(*quaternion_wxyz)  # which does not overflow
    if not abs(norm - 1) <= 1e-2:
        msg = f"a rotation quaternion has the length {norm:g}, expected 1"
        raise ValueError(msg)


def check_rigid(T: Float64, *, reach: float) -> None:
    """Check that a (4, 4) transform turns and shifts, without stretching or mirroring.

    Args:
        T: The transform.
        reach: Largest shift, metres.

    Raises:
        ValueError: If it does anything else.
    """
    rotation = T[:3, :3]
    if not (
        np.isfinite(T).all()
        and np.abs(rotation).max() < 2  # so that nothing overflows
        and np.abs(rotation @ rotation.T - np.eye(3)).max() <= 2e-3
        and np.linalg.det(rotation) > 0
        and T[3].tolist() == [0, 0, 0, 1]
    ):
        msg = f"a transform is no rotation and shift: {T.tolist()}"
        raise ValueError(msg)
    shift = math.hypot(*T[:3, 3])
    if not shift <= reach:
        msg = f"a transform shifts by {shift:g} m, expected at most {reach:g}"
        raise ValueError(msg)


def check_pinhole(K: Float64, size_hw: tuple[int, int]) -> None:
    """Check that a (3, 3) pinhole matrix belongs to a whole image of a common camera.

    Args:
        K: The matrix, pixels.
        size_hw: Height and width of the image, which must not be cut out of a larger one.

    Raises:
        ValueError: If the pixels are far from square, or the optical axis misses the image.
    """
    (height, width), (fx, fy, cx, cy) = size_hw, K[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    if not (0 < fx < 2 * fy < 4 * fx < np.inf):
        msg = f"the focal lengths {fx:g} and {fy:g} px are no camera's"
        raise ValueError(msg)
    if not (0 < cx < width and 0 < cy < height):
        msg = f"the optical axis at ({cx:g}, {cy:g}) misses the image of {width} x {height}"
        raise ValueError(msg)


def rigid(rotation: Float64, translation: Float64 | list[float] | tuple[float, ...]) -> Float64:
    """(4, 4) transform of a (3, 3) rotation and a translation in metres."""
    T = np.eye(4)
    T[:3, :3] = rotation
    T[:3, 3] = translation
    return T


def invert_rigid(T: Float64) -> Float64:
    """(4, 4) inverse of a rigid transform, without a matrix inversion."""
    rotation_t = T[:3, :3].T
    return rigid(rotation_t, -rotation_t @ T[:3, 3])


def transform_points(T_b_a: Float64, points_a: NDArray[np.floating]) -> Float64:
    """(N, 3) points of frame a in frame b, float64 metres."""
    points_b = np.empty((len(points_a), 3))
    rotation_t = T_b_a[:3, :3].T
    for start in range(0, len(points_a), _BLOCK):
        block = points_a[start : start + _BLOCK].astype(np.float64, copy=False)
        np.matmul(block, rotation_t, out=points_b[start : start + _BLOCK])
    for axis in range(3):  # at half the time of all in one, rows of three being short
        points_b[:, axis] += T_b_a[axis, 3]
    return points_b
