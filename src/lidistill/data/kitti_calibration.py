"""KITTI's calibration and pose files: lines of numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.geometry import invert_rigid, rigid


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How the left colour camera sees the lidar's points."""

    K: NDArray[np.float64]
    """(3, 3) pixels."""
    T_cam_lidar: NDArray[np.float64]
    """(4, 4) lidar to the left colour camera, metres."""
    T_grey_lidar: NDArray[np.float64]
    """(4, 4) lidar to the left grey camera, which poses are given in, metres."""


def read_calibration(path: Path) -> Calibration:
    """Read ``P2`` and ``Tr`` of a sequence's ``calib.txt``.

    ``P2`` is K times a shift between two rectified cameras; the shift becomes part of
    ``T_cam_lidar``, so that ``K`` alone projects.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If one of the two is missing, or is no calibration.
    """
    lines = dict(line.partition(":")[::2] for line in _text(path).splitlines() if ":" in line)
    for name in ("P2", "Tr"):
        if name not in lines:
            msg = (
                f"{path} has no line {name!r}, found {', '.join(lines) or 'none'}; the calibration "
                "of the odometry set (data_odometry_calib.zip) is needed. Unpack it again."
            )
            raise FileFormatError(msg)
    P2 = _matrix(lines["P2"], f"{path}, line P2")
    T_grey_lidar = _rigid(lines["Tr"], f"{path}, line Tr")
    K = P2[:, :3]
    if K[0, 0] <= 0 or K[1, 1] <= 0 or K[2].tolist() != [0, 0, 1] or K[1, 0] != 0:
        msg = f"{path}: P2 {K.tolist()} is no pinhole projection; unpack the file again."
        raise FileFormatError(msg)
    shift = np.linalg.solve(K, P2[:, 3]).astype(np.float64)
    T_cam_grey = rigid(np.eye(3), shift)
    return Calibration(K=K, T_cam_lidar=T_cam_grey @ T_grey_lidar, T_grey_lidar=T_grey_lidar)


def read_poses(path: Path, calibration: Calibration) -> NDArray[np.float64]:
    """(F, 4, 4) lidar coordinates of every scan to those of the sequence's first one.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If a line is no pose.
    """
    lines = _text(path).splitlines()
    T_grey_lidar = calibration.T_grey_lidar
    T_lidar_grey = invert_rigid(T_grey_lidar)
    poses = [_rigid(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]
    return np.array([T_lidar_grey @ pose @ T_grey_lidar for pose in poses]).reshape(-1, 4, 4)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        msg = f"{path} does not exist; unpack data_odometry_calib.zip into the same folder."
        raise DatasetNotFoundError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is not a text file; unpack it again."
        raise FileFormatError(msg) from error


def _matrix(text: str, source: str) -> NDArray[np.float64]:
    try:
        numbers = np.array(text.split(), dtype=np.float64)
    except ValueError as error:
        msg = f"{source}: {error}; expected 12 numbers. Unpack the file again."
        raise FileFormatError(msg) from error
    if numbers.shape != (12,) or not np.isfinite(numbers).all():
        msg = f"{source} holds {len(numbers)} numbers, expected 12 finite ones; unpack it again."
        raise FileFormatError(msg)
    return numbers.reshape(3, 4)


def _rigid(text: str, source: str) -> NDArray[np.float64]:
    matrix = _matrix(text, source)
    rotation = matrix[:, :3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
        msg = f"{source}: its first three columns are no rotation; unpack the file again."
        raise FileFormatError(msg)
    return rigid(rotation, matrix[:, 3])
