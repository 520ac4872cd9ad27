"""KITTI's calibration and pose files: lines of numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError, first_line
from lidistill.geometry import MAX_WORLD, check_pinhole, check_rigid, invert_rigid, rigid
from lidistill.reading.files import blamed_on, read_file
from lidistill.reading.names import listed, shown
from lidistill.reading.text import decode_text
from lidistill.records import CameraView

CALIBRATION_FILES: Final = ("calib_cam_to_cam.txt", "calib_velo_to_cam.txt")
"""Of a day of the raw recordings."""
_MIDDLE: Final = (0.25, 0.75)  # of width and height, between which the optical axis lies
_NEAR_X: Final = 1.0  # metres
_BORDER_PX: Final = 1.0
_MAX_BYTES: Final = 1 << 22  # the longest sequence has 0.8 MB of poses


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
                f"{path} has no line {name!r}, found {listed(lines)}; the calibration "
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
    lines = _text(path).rstrip().splitlines()
    T_grey_lidar = calibration.T_grey_lidar
    T_lidar_grey = invert_rigid(T_grey_lidar)
    poses = [_rigid(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]
    return np.array([T_lidar_grey @ pose @ T_grey_lidar for pose in poses]).reshape(-1, 4, 4)


def read_raw_calibration(folder: Path, camera: str) -> Calibration:
    """How one colour camera of a day of KITTI's raw recordings sees the lidar's points.

    Args:
        folder: Holds ``calib_cam_to_cam.txt`` and ``calib_velo_to_cam.txt``.
        camera: Number of the camera as the files write it, for example ``"02"``.

    Raises:
        DatasetNotFoundError: If one of the files is missing.
        FileFormatError: If a line is missing, or is no calibration.
    """
    cameras, lidar = (folder / name for name in CALIBRATION_FILES)
    P = _line(cameras, f"P_rect_{camera}", 12).reshape(3, 4)
    R_rect = _line(cameras, "R_rect_00", 9).reshape(3, 3)
    T_raw_lidar = rigid(_line(lidar, "R", 9).reshape(3, 3), _line(lidar, "T", 3))
    T_grey_lidar = rigid(R_rect, np.zeros(3)) @ T_raw_lidar
    K = P[:, :3]
    if not (K[0, 0] > 0 and K[1, 1] > 0 and K[2].tolist() == [0, 0, 1] and K[1, 0] == 0):
        msg = f"{cameras}: P_rect_{camera} is no pinhole projection; unpack the file again."
        raise FileFormatError(msg)
    T_cam_grey = rigid(np.eye(3), np.linalg.solve(K, P[:, 3]).astype(np.float64))
    T_cam_lidar = T_cam_grey @ T_grey_lidar
    try:
        check_rigid(T_cam_lidar, reach=MAX_WORLD)
    except ValueError as error:
        msg = f"{cameras} and {lidar.name}: {error}; expected rotations. Unpack them again."
        raise FileFormatError(msg) from error
    return Calibration(K=K, T_cam_lidar=T_cam_lidar, T_grey_lidar=T_grey_lidar)


def _line(path: Path, name: str, count: int) -> NDArray[np.float64]:
    """The numbers behind ``name:``."""
    lines = dict(line.partition(":")[::2] for line in _text(path).splitlines() if ":" in line)
    try:
        numbers = np.array(lines.get(name, "").split(), dtype=np.float64)
    except ValueError:
        numbers = np.zeros(0)
    if len(numbers) != count or not np.isfinite(numbers).all():
        msg = (
            f"{path}: its line {name!r} holds {len(numbers)} numbers, expected {count} finite "
            "ones; unpack the day's calibration (…_calib.zip) again."
        )
        raise FileFormatError(msg)
    return numbers


def _text(path: Path) -> str:
    try:
        text = decode_text(read_file(path, max_bytes=_MAX_BYTES))
    except ValueError as error:
        msg = f"{path} is not a text file ({error}); unpack it again."
        raise FileFormatError(msg) from error
    words = text.split()
    lengths = [len(word.lstrip("-")) for word in words if word[-1].isdecimal() and "." in word]
    # These files give all numbers the same digits and end with a line break.
    if not text.endswith("\n") and words and len(words[-1].lstrip("-")) < min(lengths, default=0):
        msg = f"{path} ends within the number {shown(words[-1])}; it is cut off. Unpack it again."
        raise FileFormatError(msg)
    return text


def _matrix(text: str, source: str) -> NDArray[np.float64]:
    try:
        numbers = np.array(text.split(), dtype=np.float64)
    except ValueError as error:
        msg = f"{source}: {first_line(error)[:100]}; expected 12 numbers. Unpack the file again."
        raise FileFormatError(msg) from error
    if numbers.shape != (12,) or not np.isfinite(numbers).all():
        msg = f"{source} holds {len(numbers)} numbers, expected 12 finite ones; unpack it again."
        raise FileFormatError(msg)
    return numbers.reshape(3, 4)


def _rigid(text: str, source: str) -> NDArray[np.float64]:
    matrix = _matrix(text, source)
    T = rigid(matrix[:, :3], matrix[:, 3])
    try:
        check_rigid(T, reach=MAX_WORLD)
    except ValueError as error:
        msg = f"{source}: {error}; expected a rotation and a shift. Unpack the file again."
        raise FileFormatError(msg) from error
    return T


def camera_view(
    name: str, image: Path, size_hw: tuple[int, int], calibration: Calibration, source: Path
) -> CameraView:
    """A rectified camera of a frame.

    Args:
        name: Of the camera.
        image: Its file.
        size_hw: Height and width of the image, pixels.
        calibration: Of the camera.
        source: File of the calibration, for errors.

    Raises:
        FileFormatError: If the camera cannot have made such an image.
    """
    with blamed_on(source):
        check_pinhole(calibration.K, size_hw)
        _check_middle(calibration.K, size_hw)
        return CameraView(
            name=name,
            image_path=image,
            size_hw=size_hw,
            K=calibration.K,
            T_cam_lidar=calibration.T_cam_lidar,
            near_x=_NEAR_X,
            border_px=_BORDER_PX,
        )


def _check_middle(K: NDArray[np.float64], size_hw: tuple[int, int]) -> None:
    """See to it that an image has the size that its calibration speaks of, which KITTI never says.

    Raises:
        ValueError: If the optical axis is far from the middle, as after resizing.
    """
    (height, width), (cx, cy) = size_hw, K[:2, 2].tolist()
    low, high = _MIDDLE
    if not (low * width < cx < high * width and low * height < cy < high * height):
        msg = (
            f"the optical axis at ({cx:g}, {cy:g}) is far from the middle of the image of {width} "
            f"x {height} pixels; was it resized? Take the images as recorded"
        )
        raise ValueError(msg)
