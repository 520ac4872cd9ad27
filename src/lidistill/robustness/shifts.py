"""What changes from one vehicle to the next: mounting, beams, intensity and range of the lidar.

A shift of the mounting moves the points of a recording to where a lidar there would have them; what
that lidar would see and the recording does not hold is not invented.

Shape letters: N points.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from lidistill.config import Config
from lidistill.datasets.sensors import sensor_of
from lidistill.geometry import invert_rigid, rigid, transform_points
from lidistill.labels import LabelMap
from lidistill.records import Frame
from lidistill.robustness.scan import ranges
from lidistill.robustness.traits import lidar_traits, rings_of

ShiftName: TypeAlias = Literal[
    "height_up",
    "height_down",
    "lateral",
    "roll_2",
    "roll_5",
    "pitch_2",
    "pitch_5",
    "yaw_10",
    "half_beams",
    "quarter_beams",
    "horizon_beams",
    "intensity_rescaled",
    "intensity_clipped",
    "intensity_absent",
    "range_40",
]
SHIFT_NAMES: Final[tuple[ShiftName, ...]] = get_args(ShiftName)

_OFFSET: Final = 0.5  # metres
_RANGE: Final = 40.0  # metres
_FACTOR: Final = 0.5


class ShiftConfig(Config):
    """One shift beyond the published corruptions."""

    kind: Literal["shift"] = "shift"
    shift: ShiftName

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self.shift

    def apply(self, frame: Frame, label_map: LabelMap) -> Frame:  # noqa: ARG002  as corruptions
        """The frame as the other lidar would give it; a copy."""
        return SHIFTS[self.shift](frame)


def remounted(
    frame: Frame,
    *,
    offset: tuple[float, float, float] = (0, 0, 0),
    turn: str = "",
    degrees: float = 0,
) -> Frame:
    """The frame as a lidar with another mounting would give it.

    Args:
        frame: The frame.
        offset: Where it stands, seen from where it stood: forward, left and up, metres.
        turn: ``"roll"`` about the vehicle's forward axis, ``"pitch"`` about its left one, or
            ``"yaw"`` about the vertical.
        degrees: How far it is turned, counter-clockwise about that axis.
    """
    forward, left = _axes(frame)
    axis = {"roll": forward, "pitch": left}.get(turn, np.array([0.0, 0.0, 1.0]))
    place = offset[0] * forward + offset[1] * left + np.array([0.0, 0.0, offset[2]])
    T_old_new = rigid(_turned_about(axis, np.deg2rad(degrees)), place)
    moved = transform_points(invert_rigid(T_old_new), frame.points.astype(np.float64))
    return replace(
        frame,
        points=moved.astype(np.float32),
        views=tuple(replace(v, T_cam_lidar=v.T_cam_lidar @ T_old_new) for v in frame.views),
        T_world_lidar=None if frame.T_world_lidar is None else frame.T_world_lidar @ T_old_new,
    )


def _axes(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(3,) axes of the vehicle in the lidar's frame, forward and left."""
    x, y = np.eye(3)[:2]
    return (y, -x) if lidar_traits(frame).forward == "y" else (x, y)


def _turned_about(axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """(3, 3) rotation about a unit axis."""
    x, y, z = axis
    across = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * across @ across)


def thinned(frame: Frame, every: int) -> Frame:
    """The frame with beams 0, ``every``, twice ``every`` and so on, and no others."""
    return frame.take(rings_of(frame, lidar_traits(frame)) % every == 0)


def _dense_at_the_horizon(frame: Frame) -> Frame:
    """All beams of the middle third of the rings, every third of the others."""
    traits = lidar_traits(frame)
    ring, third = rings_of(frame, traits), traits.num_rings // 3
    return frame.take(((ring >= third) & (ring < 2 * third)) | (ring % 3 == 0))


def _clipped(frame: Frame) -> Frame:
    if frame.intensity is None:
        return frame
    sensor = sensor_of(frame)
    top = np.float32(sensor.intensity_mean + sensor.intensity_std)
    return replace(frame, intensity=np.minimum(frame.intensity, top))


def _rescaled(frame: Frame) -> Frame:
    if frame.intensity is None:
        return frame
    return replace(frame, intensity=frame.intensity * np.float32(_FACTOR))


SHIFTS: Final[dict[ShiftName, Callable[[Frame], Frame]]] = {
    "height_up": lambda frame: remounted(frame, offset=(0, 0, _OFFSET)),
    "height_down": lambda frame: remounted(frame, offset=(0, 0, -_OFFSET)),
    "lateral": lambda frame: remounted(frame, offset=(0, _OFFSET, 0)),
    "roll_2": lambda frame: remounted(frame, turn="roll", degrees=2),
    "roll_5": lambda frame: remounted(frame, turn="roll", degrees=5),
    "pitch_2": lambda frame: remounted(frame, turn="pitch", degrees=2),
    "pitch_5": lambda frame: remounted(frame, turn="pitch", degrees=5),
    "yaw_10": lambda frame: remounted(frame, turn="yaw", degrees=10),
    "half_beams": lambda frame: thinned(frame, 2),
    "quarter_beams": lambda frame: thinned(frame, 4),
    "horizon_beams": _dense_at_the_horizon,
    "intensity_rescaled": _rescaled,
    "intensity_clipped": _clipped,
    "intensity_absent": lambda frame: replace(frame, intensity=None),
    "range_40": lambda frame: frame.take(~(ranges(frame.points) > _RANGE)),
}
"""Each shift by its name."""
