"""Points that lie beside their edges: a camera turned a little, or a scan a moment too late."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from lidistill.data_check.findings.edges import SHIFTS, WIDTH, Fit
from lidistill.data_check.findings.finding import Finding
from lidistill.data_check.findings.observed import Camera, Observed
from lidistill.data_check.findings.world import moved

_MIN_FRAMES: Final = 3
_MIN_SHIFT: Final = 6  # pixels of 640
_SHIFT_GAIN: Final = 0.04  # of rank, beyond chance; real cameras lie within 0.054, of 3 frames
_TIME_GAIN: Final = 0.02  # of contrast
_MOVES: Final = (0.25, 20.0)  # metres from scan to scan


def sideways_offset(camera: Camera) -> Finding | None:
    """Points that lie beside the edges of one camera, always on the same side."""
    curves = [one.own.curve for one in camera.observed if one.own.contrast is not None]
    if len(curves) < _MIN_FRAMES:
        return None
    mean = np.mean(curves, axis=0)
    best, center = int(mean.argmax()), len(SHIFTS) // 2
    here = mean[center - 1 : center + 2].max()
    better = [curve[best] > curve[center - 1 : center + 2].max() for curve in curves]
    least = _SHIFT_GAIN + camera.fit.noise
    believed = mean[best] - here > least and np.mean(better) >= 0.75
    if abs(SHIFTS[best]) < _MIN_SHIFT or not believed:
        return None
    view = camera.observed[0].view
    shift = -float(SHIFTS[best]) * view.size_hw[1] / WIDTH
    degrees = float(np.rad2deg(abs(shift) / view.K[0, 0]))
    side = "right" if shift > 0 else "left"
    text = (
        f"in {view.name} the points lie {abs(shift):.0f} pixels ({degrees:.1f} degrees) to the "
        f"{side} of what they belong to, in {sum(better)} of {len(curves)} frames; usual is less "
        "than 1 % of the width. If the car was turning, scan and image differ in time; if not, "
        "the camera's yaw in T_cam_lidar is off."
    )
    evidence = {
        "shift_px": shift,
        "degrees": degrees,
        "gain": float(mean[best] - here),
        "contrast_changed": float(mean[best] - mean.mean()),
    }
    return Finding(
        fault="sideways_offset",
        severity="warning",
        text=text,
        evidence=evidence,
        cameras=(camera.name,),
    )


def time_offset(cameras: Sequence[Camera]) -> Finding | None:
    """Images that fit the vehicle's place at the scan before or after better than at their own.

    Frames count whose poses say that the vehicle moved between 0.25 m and 20 m from one to the
    next.
    """
    gains: Mapping[int, list[float]] = {-1: [], 1: []}
    for camera in cameras:
        for before, after in pairwise(camera.observed):
            if after.position - before.position == 1:
                gains[1] += _gain(before, after)
                gains[-1] += _gain(after, before)
    means = {side: float(np.mean(g)) if len(g) >= _MIN_FRAMES else 0.0 for side, g in gains.items()}
    side = max(means, key=lambda one: means[one])
    if means[side] < _TIME_GAIN or np.mean(np.array(gains[side]) > 0) < 0.6:
        return None
    when = "later" if side > 0 else "earlier"
    text = (
        f"the images fit the vehicle's place one scan {when} better than that of their own scan "
        f"({len(gains[side])} views of a moving vehicle); scan and image of a frame should be "
        "taken within 50 ms. Check the clocks, and whether the file names are one apart."
    )
    return Finding(
        fault="time_offset",
        severity="warning",
        text=text,
        evidence={"scans": float(side), "gain": means[side], "views": float(len(gains[side]))},
        cameras=tuple(camera.name for camera in cameras),
    )


def _gain(own: Observed, other: Observed) -> list[float]:
    """What a view gains in contrast if the camera stood where the other scan was taken."""
    T_other_lidar = moved(own.frame, other.frame)
    if T_other_lidar is None or own.own.contrast is None:
        return []
    if not _MOVES[0] < np.linalg.norm(T_other_lidar[:3, 3]) < _MOVES[1]:
        return []
    there: Fit = own.seen_from(T_other_lidar)
    return [] if there.contrast is None else [there.contrast - own.own.contrast]
