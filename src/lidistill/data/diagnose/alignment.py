"""What pictures and points tell together: mirrored axes, a picture on its head, a wrong moment.

Shape letters: N points, S shifts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.data.diagnose.edges import (
    SHIFTS,
    WIDTH,
    contrast,
    depth_steps,
    overlap,
    picture_edges,
)
from lidistill.data.diagnose.finding import Finding
from lidistill.geometry import invert_rigid
from lidistill.structures import CameraView, Frame

_FITS: Final = 0.06  # contrast; all cameras of a real set together have 0.09 to 0.18
_GAIN: Final = 0.04  # of contrast, to believe that something else fits better
_MIN_FRAMES: Final = 3
_MIN_SHIFT: Final = 6  # pixels of 640
_SHIFT_GAIN: Final = 0.05  # of rank; real cameras lie within 0.042 where frames are few
_TIME_GAIN: Final = 0.02  # of contrast
_MOVES: Final = (0.25, 20.0)  # metres from scan to scan
_TURNS: Final = {
    "x and y are swapped": [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
    "y is negated": [[1, 0, 0], [0, -1, 0], [0, 0, 1]],
    "x is negated": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "x and y are swapped and negated": [[0, -1, 0], [-1, 0, 0], [0, 0, 1]],
    "they are turned by 90 degrees to the left": [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    "they are turned by 90 degrees to the right": [[0, 1, 0], [-1, 0, 0], [0, 0, 1]],
    "they are turned by 180 degrees": [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One view of a frame with the edges of its picture."""

    frame: Frame
    view: CameraView
    edges: NDArray[np.float32]
    """(H, W) of ``edges.picture_edges``."""

    own: NDArray[np.float64] | None
    """(S,) overlap of the frame's depth steps and the picture's edges; None: too few steps."""

    @classmethod
    def of(cls, frame: Frame, view: CameraView, picture: NDArray[np.uint8]) -> "Observed":
        """A view and its decoded picture."""
        edges = picture_edges(picture)
        own = overlap(edges, depth_steps(frame.points, view))
        return cls(frame=frame, view=view, edges=edges, own=own)

    def with_points(self, points: NDArray[np.floating]) -> NDArray[np.float64] | None:
        """(S,) overlap with other points."""
        return overlap(self.edges, depth_steps(points, self.view))

    def with_edges(self, edges: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """(S,) overlap with other edges."""
        return overlap(edges, depth_steps(self.frame.points, self.view))

    def seen_from(self, T_other_lidar: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """(S,) overlap if the vehicle had been elsewhere when the picture was taken."""
        view = replace(self.view, T_cam_lidar=self.view.T_cam_lidar @ T_other_lidar)
        return overlap(self.edges, depth_steps(self.frame.points, view))


def orientation(observed: Sequence[Observed]) -> Finding | None:
    """Points or pictures that fit each other only once they are mirrored or turned."""
    as_is = _mean_contrast([one.own for one in observed])
    if as_is is None or as_is > _FITS:
        return None
    tried = {
        f"the axes of the points: {name}": _mean_contrast(
            [one.with_points(one.frame.points @ np.array(turn, np.float32)) for one in observed]
        )
        for name, turn in _TURNS.items()
    }
    tried["the pictures: they stand on their heads"] = _mean_contrast(
        [one.with_edges(one.edges[::-1, ::-1]) for one in observed]
    )
    tried["the pictures: they are mirrored left to right"] = _mean_contrast(
        [one.with_edges(one.edges[:, ::-1]) for one in observed]
    )
    known = {name: value for name, value in tried.items() if value is not None}
    best = max(known, key=lambda name: known[name], default=None)
    if best is None or known[best] < max(_GAIN, as_is + _GAIN):
        return None
    text = (
        "steps in depth do not meet edges of the pictures, but do when something is changed about "
        f"{best} (contrast {known[best]:.2f} instead of {as_is:.2f}; usual is 0.05 to 0.2). "
        "Correct that where you write the recording."
    )
    return Finding(
        fault="upside_down" if "heads" in best else "mirrored",
        severity="warning",
        text=text,
        evidence={"contrast": as_is, "contrast_changed": known[best]},
    )


def sideways_offset(observed: Sequence[Observed]) -> Finding | None:
    """Points that lie beside the edges of one camera, always on the same side.

    Args:
        observed: All frames' views of one camera.
    """
    curves = [one.own for one in observed if one.own is not None]
    if len(curves) < _MIN_FRAMES:
        return None
    mean = np.mean(curves, axis=0)
    best, center = int(mean.argmax()), len(SHIFTS) // 2
    here = mean[center - 1 : center + 2].max()
    better = [curve[best] > curve[center - 1 : center + 2].max() for curve in curves]
    believed = mean[best] - here > _SHIFT_GAIN and np.mean(better) >= 0.75
    if abs(SHIFTS[best]) < _MIN_SHIFT or not believed:
        return None
    view = observed[0].view
    shift = -float(SHIFTS[best]) * view.size_hw[1] / WIDTH
    degrees = float(np.rad2deg(abs(shift) / view.K[0, 0]))
    side = "right" if shift > 0 else "left"
    text = (
        f"in {view.name} the points lie {abs(shift):.0f} pixels ({degrees:.1f} degrees) to the "
        f"{side} of what they belong to, in {sum(better)} of {len(curves)} frames; usual is less "
        "than 1 % of the width. If the car was turning, scan and picture differ in time; if not, "
        "the camera's yaw in T_cam_lidar is off."
    )
    evidence = {
        "shift_px": shift,
        "degrees": degrees,
        "gain": float(mean[best] - here),
        "contrast_changed": float(mean[best] - mean.mean()),
    }
    return Finding(fault="sideways_offset", severity="warning", text=text, evidence=evidence)


def time_offset(observed: Sequence[Sequence[Observed]]) -> Finding | None:
    """Pictures that fit the scan before or after better than their own.

    Args:
        observed: The views of every frame, in the order of time. Frames count whose poses say
            that the vehicle moved between 0.25 m and 20 m from one to the next.
    """
    gains: dict[int, list[float]] = {-1: [], 1: []}
    for before, after in pairwise(observed):
        for own, other, side in ((before, after, 1), (after, before, -1)):
            gains[side] += _gains(own, other)
    means = {side: float(np.mean(g)) if len(g) >= _MIN_FRAMES else 0.0 for side, g in gains.items()}
    side = max(means, key=lambda one: means[one])
    if means[side] < _TIME_GAIN or np.mean(np.array(gains[side]) > 0) < 0.6:
        return None
    when = "later" if side > 0 else "earlier"
    text = (
        f"the pictures fit the vehicle's place one scan {when} better than that of their own scan "
        f"({len(gains[side])} views of a moving vehicle); scan and picture of a frame should be "
        "taken within 50 ms. Check the clocks, and whether the file names are one apart."
    )
    return Finding(
        fault="time_offset",
        severity="warning",
        text=text,
        evidence={"scans": float(side), "gain": means[side], "views": float(len(gains[side]))},
    )


def _gains(own: Sequence[Observed], other: Sequence[Observed]) -> list[float]:
    """What each view gains in contrast if the camera stood where the other scan was taken."""
    if not own or not other:
        return []
    T_world_lidar, T_world_other = own[0].frame.T_world_lidar, other[0].frame.T_world_lidar
    if T_world_lidar is None or T_world_other is None:
        return []
    T_other_lidar = invert_rigid(T_world_other) @ T_world_lidar
    if not _MOVES[0] < np.linalg.norm(T_other_lidar[:3, 3]) < _MOVES[1]:
        return []
    gains = []
    for one in own:
        there = one.seen_from(T_other_lidar)
        if one.own is not None and there is not None:
            gains.append(contrast(there) - contrast(one.own))
    return gains


def _mean_contrast(curves: Sequence[NDArray[np.float64] | None]) -> float | None:
    known = [contrast(curve) for curve in curves if curve is not None]
    return float(np.mean(known)) if known else None
