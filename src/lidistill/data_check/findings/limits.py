"""How far one could see: what the frames at hand cannot tell, and why."""

from collections.abc import Sequence
from typing import Final

from lidistill.data_check.findings.observed import Camera
from lidistill.data_check.findings.synchronization import stands
from lidistill.records import Frame

_FEW: Final = 3


def limits(frames: Sequence[Frame], cameras: Sequence[Camera], *, lost: bool) -> list[str]:
    """One line for each thing that was not looked at, or that would not be seen.

    Args:
        frames: Of one drive.
        cameras: Whose images were compared with points.
        lost: Whether the points are no lidar coordinates, so that no camera could be judged.
    """
    if not any(frame.views for frame in frames):
        return ["no camera image: calibration and time cannot be told"]
    if lost:
        return ["cameras: points must be in the lidar's frame before they can be judged"]
    if not cameras:
        return ["no image can be compared with the points"]
    lines = []
    if not any(camera.tells for camera in cameras):
        lines.append("too few steps in depth to tell how points and images fit")
    elif few := [camera.name for camera in cameras if not camera.tells]:
        lines.append(f"{', '.join(few)}: too few steps in depth to tell how points and images fit")
    if len(cameras) == 1:
        lines.append("one camera: whether it was exchanged with another cannot be told")
    if len(frames) < _FEW:
        lines.append(f"fewer than {_FEW} frames: order and time of the images cannot be told")
    elif stands(cameras):
        lines.append("the vehicle stands: order and time of the images cannot be told")
    return lines
