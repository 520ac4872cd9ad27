"""What ``sensor_msgs/CameraInfo`` says, as an entry of ``calibration.yaml``.

Camera frames: x right, y down, z forward. A rectified image is what a camera would see that is
turned by R and moved beside the real one by P's last column.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lidistill.bags.messages import CameraInfo
from lidistill.geometry import check_rigid, rigid
from lidistill.reading.names import shown

_BENT: Final = ("plumb_bob", "radtan", "rational_polynomial", "thin_prism", "")
"""Models that begin with k1, k2, p1, p2, k3 and are radial-tangential if nothing else follows."""
_STRAIGHT: Final = ("none", "pinhole", "perspective")
_RECTIFIED: Final = frozenset({"rect", "rectified"})
_ENDINGS: Final = frozenset({"raw"})
_MAX_SHIFT: Final = 10.0
"""Metres between the cameras of a pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraEntry:
    """What a camera's info gives."""

    values: dict[str, Any]
    """``size_hw``, ``K`` and ``distortion`` of the entry, as far as they are known."""
    T_image_cam: NDArray[np.float64] | None
    """(4, 4) from the frame that the messages name to the one that the image is seen from."""
    to_do: tuple[str, ...]
    """What is missing, or was assumed."""


def is_rectified(topic: str) -> bool:
    """Whether a topic's name says that its images are: ``/left/image_rect_color``.

    The last part of the name that says anything counts; ``/director/image_raw`` is not rectified.
    """
    for part in reversed(topic.split("/")):
        words = set(part.split("_"))
        if words & _RECTIFIED:
            return True
        if words & _ENDINGS:
            return False
    return False


def camera_entry(info: CameraInfo, *, rectified: bool, frame: str) -> CameraEntry:
    """An entry of ``calibration.yaml`` from the info of a camera.

    Args:
        info: The message.
        rectified: Whether the images are: then P and R hold, and nothing is distorted.
        frame: Name of the frame of the images' messages.
    """
    to_do: list[str] = []
    values: dict[str, Any] = {"size_hw": list(_size_hw(info))}
    T_image_cam: NDArray[np.float64] | None = np.eye(4)
    if rectified:
        K, T_image_cam = _rectified(info, frame, to_do)
    else:
        K = _matrix(info.K, 3)
        if K is None:
            to_do.append("its camera_info is not calibrated (K is zero): write K and distortion")
        elif (bent := _coefficients(info)) is None:
            to_do.append(
                f"a lens of the model {shown(info.model)} with {len(info.D)} coefficients: rectify "
                "the images, and write their K and size_hw"
            )
            K = None
        elif any(bent):
            values["distortion"] = bent
        if K is not None and info.model not in _BENT + _STRAIGHT:
            to_do.append(f"the lens model {shown(info.model)} without coefficients: taken as none")
    if K is not None:
        values["K"] = _cut_out(K, info, to_do if rectified else None).tolist()
    return CameraEntry(values=values, T_image_cam=T_image_cam, to_do=tuple(to_do))


def _coefficients(info: CameraInfo) -> list[float] | None:
    """k1, k2, p1, p2 and k3 of a lens that has no others; empty of a pinhole."""
    bent = list(info.D)
    if not np.isfinite(bent).all():
        return None
    if info.model in _BENT:
        return None if any(bent[5:]) or 0 < len(bent) < 4 else bent[:5]
    # A fisheye whose coefficients are all zero still bends: r = f theta.
    fisheye = any(word in info.model.lower() for word in ("equi", "fish", "omni", "kannala", "fov"))
    return None if any(bent) or fisheye else []


def _rectified(
    info: CameraInfo, frame: str, to_do: list[str]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """K and ``T_image_cam`` of rectified images: p = P (R X, 1) = K (R X + K^-1 P[:, 3])."""
    P = np.reshape(info.P, (3, 4))
    K = _matrix(P[:, :3].ravel().tolist(), 3)
    if K is None:
        to_do.append("its camera_info is not calibrated (P is zero): write K of rectified images")
        return None, None
    R = np.reshape(info.R, (3, 3)) if any(info.R) else np.eye(3)
    T_image_cam = rigid(R, np.linalg.solve(K, P[:, 3]))
    try:
        check_rigid(T_image_cam, reach=_MAX_SHIFT)
    except ValueError:
        to_do.append(
            "R and P of its camera_info are no rotation and shift: write T_cam_lidar of the "
            "rectified images"
        )
        return K, None
    assumed = "taken as rectified because of the topic's name: K from P, no distortion"
    shift = T_image_cam[:3, 3]
    if np.abs(shift).max() > 1e-9:
        moved = ", ".join(f"{number:.4g}" for number in shift)
        assumed += (
            f"; P's last column moves it by ({moved}) m, which is right if {shown(frame)} is the "
            "frame of the pair's first camera, as ROS defines it, and wrong if it is its own"
        )
    to_do.append(assumed)
    return K, T_image_cam


def _matrix(values: Sequence[float], size: int) -> NDArray[np.float64] | None:
    """A pinhole matrix, or None where a driver knows none and writes zeros."""
    K = np.reshape(np.array(values, dtype=np.float64), (size, size))
    usable = np.isfinite(K).all() and K[0, 0] > 0 and K[1, 1] > 0 and K[2].tolist() == [0, 0, 1]
    return K if usable else None


def _binning(info: CameraInfo) -> tuple[int, int]:
    return max(info.binning[0], 1), max(info.binning[1], 1)


def _size_hw(info: CameraInfo) -> tuple[int, int]:
    """Height and width of the images: of the region that is read out, binned."""
    columns, rows = _binning(info)
    _, _, height, width = info.roi
    return (height or info.height) // rows, (width or info.width) // columns


def _cut_out(
    K: NDArray[np.float64], info: CameraInfo, rectified: list[str] | None
) -> NDArray[np.float64]:
    """K of the images from K of the whole sensor, which is what camera_info holds.

    Args:
        K: Of the sensor.
        info: Names the region and the binning.
        rectified: None of raw images; of rectified ones, where a doubt is written down.

    References:
        ``sensor_msgs/CameraInfo``: K and P are of the full resolution, whatever region is read.
    """
    x, y, _, _ = info.roi
    columns, rows = _binning(info)
    if (x or y or info.roi[2]) and rectified is not None and not info.roi_rectified:
        rectified.append("its camera_info names a region of the raw image: check K and size_hw")
        return K
    changed = K.copy()
    changed[:2, 2] -= (x, y)
    changed[0] /= columns
    changed[1] /= rows
    return changed
