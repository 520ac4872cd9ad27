"""What calibration and points can tell together, without a look at the image's content.

Every function takes all frames' views of one camera, and returns a finding or None.

Shape letters: N points.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.data_check.findings.finding import Fault, Finding
from lidistill.data_check.findings.ground import Ground
from lidistill.geometry import invert_rigid
from lidistill.records import CameraView, Frame
from lidistill.samples.pairing import pair_view

_FEW_IN_VIEW: Final = 0.005  # real sets: 3 % to 60 %
_UPRIGHT: Final = np.cos(np.deg2rad(30))  # cameras on cars hang nearly straight
_CENTERED: Final = {"x": (0.3, 0.7), "y": (0.2, 0.8)}  # share of the image's size
_USUAL_FOCAL: Final = (0.2, 4.0)  # in image widths: 136 and 14 degrees


def view_share(frames: Sequence[tuple[Frame, CameraView]]) -> float:
    """Part of the points that a camera sees, median over the frames."""
    shares = [
        len(pair_view(frame.points, view, view.size_hw).index) / max(1, len(frame.points))
        for frame, view in frames
    ]
    return float(np.median(shares))


def extrinsics(frames: Sequence[tuple[Frame, CameraView]], ground: Ground | None) -> Finding | None:
    """A camera that hangs askew over the road, or that sees nearly no point.

    Args:
        frames: Each frame with its view of the camera.
        ground: The road, in lidar coordinates.
    """
    name = frames[0][1].name
    share = view_share(frames)
    inverse = [(frame, inverted(view)) for frame, view in frames]
    inverse_share = view_share(inverse)
    evidence = {"share": share, "inverse_share": inverse_share}
    up = ground.up if ground is not None else np.array([0.0, 0.0, 1.0])
    upright, inverse_upright = _uprightness(frames, up), _uprightness(inverse, up)
    askew = ground is not None and upright < _UPRIGHT
    if (askew and inverse_upright > _UPRIGHT) or (
        share < _FEW_IN_VIEW <= inverse_share and inverse_upright > upright - 0.1
    ):
        text = (
            f"{name} sees {share:.1%} of the points, the inverse of its matrix {inverse_share:.1%} "
            "and upright; T_cam_lidar must take lidar coordinates to camera coordinates. It looks "
            "like T_lidar_cam: invert it."
        )
        return _warning("inverted_extrinsics", text, evidence, name)
    if askew:
        angle = float(np.rad2deg(np.arccos(np.clip(upright, -1, 1))))
        text = (
            f"the upper edge of {name} points {angle:.0f} degrees away from the road's normal; "
            "cameras on cars hang upright. Is the camera frame x right, y down, z ahead, and has "
            "the matrix been made for these lidar axes?"
        )
        return _warning("rotated_extrinsics", text, evidence | {"angle_deg": angle}, name)
    if share < _FEW_IN_VIEW:
        text = (
            f"{name} sees {share:.2%} of the points; a camera that looks at what the lidar scans "
            "sees 3 % to 60 %. Check the direction of T_cam_lidar, and that metres are meant."
        )
        return _warning("few_points_in_view", text, evidence, name)
    return None


def intrinsics(view: CameraView, stored_hw: tuple[int, int]) -> Finding | None:
    """A calibration made for images of another size.

    Args:
        view: The camera.
        stored_hw: Height and width of the image on disk, pixels.
    """
    height, width = stored_hw
    fx, fy, cx, cy = view.K[0, 0], view.K[1, 1], view.K[0, 2], view.K[1, 2]
    evidence = {"width": width, "height": height, "fx": fx, "fy": fy, "cx": cx, "cy": cy}
    if tuple(stored_hw) != tuple(view.size_hw):
        text = (
            f"{view.name}: the images are {width}x{height}, its calibration speaks of "
            f"{view.size_hw[1]}x{view.size_hw[0]}. Scale K with the images, and correct the size."
        )
        return _warning("image_size", text, evidence, view.name)
    centered = _within(cx / width, _CENTERED["x"]) and _within(cy / height, _CENTERED["y"])
    if centered and _within(fx / width, _USUAL_FOCAL) and _within(fy / fx, (0.75, 1.33)):
        return None
    text = (
        f"{view.name}: K has its centre at ({cx:.0f}, {cy:.0f}) and focal lengths {fx:.0f}, "
        f"{fy:.0f} px for images of {width}x{height}; usual is a centre near the middle and "
        "equal focal lengths. Were the images resized or cut after calibration? Scale or shift K."
    )
    return _warning("principal_point", text, evidence, view.name)


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def inverted(view: CameraView) -> CameraView:
    """The camera with the inverse of its matrix."""
    return replace(view, T_cam_lidar=invert_rigid(view.T_cam_lidar))


def _uprightness(frames: Sequence[tuple[Frame, CameraView]], up: NDArray[np.float64]) -> float:
    """Cosine between the camera's upward direction and the road's, median over the frames."""
    return float(np.median([-view.T_cam_lidar[1, :3] @ up for _, view in frames]))


def _warning(fault: Fault, text: str, evidence: dict[str, float], name: str) -> Finding:
    evidence = {key: float(value) for key, value in evidence.items()}
    return Finding(fault=fault, severity="warning", text=text, evidence=evidence, cameras=(name,))
