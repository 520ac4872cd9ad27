"""Points that are displaced, echoes of other lidars, and targets that hardly answer.

Shape letters: N points.
"""

from typing import Final

import numpy as np

from lidistill.robustness.scan import (
    CleanScan,
    CorruptedScan,
    Severity,
    all_points,
    kept_points,
    step_of,
)

BLUR: Final = (0.2, 0.25, 0.3)
"""Motion blur: metres, for each severity."""
ECHO_RATIO: Final = (0.75, 0.85, 0.95)
"""Incomplete echo: share of an object's points that are lost, for each severity."""
_JITTER: Final = (0.1, 0.1, 0.05)  # of the blur, along x, y and z
_MOST: Final = 3.0  # times the blur
_CROSSTALK: Final = 3.0  # metres, and steps of intensity
_FEW: Final = 10


def motion_blur(scan: CleanScan, severity: Severity, rng: np.random.Generator) -> CorruptedScan:
    """A jolt: one displacement for the whole scan, and a smaller one for every point.

    References:
        Kong et al., "Robo3D", ICCV 2023.
    """
    blur = BLUR[step_of(severity)]
    jolt = rng.normal(0, blur, 3).astype(np.float32)
    moved = rng.standard_normal(scan.points.shape, dtype=np.float32)
    moved *= np.array(_JITTER, dtype=np.float32) * np.float32(blur)
    np.clip(moved, -_MOST * blur, _MOST * blur, out=moved)
    moved += jolt
    moved += scan.points
    return all_points(scan, points=moved)


def crosstalk(scan: CleanScan, severity: Severity, rng: np.random.Generator) -> CorruptedScan:
    """Light of other lidars: some points are noise in all coordinates, and in intensity.

    The intensity leaves the sensor's scale: where that is 0 to 1 it reaches plus and minus several,
    as in the published sets.

    References:
        Kong et al., "Robo3D", ICCV 2023.
    """
    number = int(scan.traits.crosstalk_share[step_of(severity)] * len(scan))
    struck = rng.choice(len(scan), size=number, replace=False)
    noise = _CROSSTALK * rng.standard_normal((number, 4), dtype=np.float32)
    points, intensity = scan.points.copy(), scan.intensity.copy()
    points[struck] += noise[:, :3]
    intensity[struck] += noise[:, 3]
    added = np.zeros(len(scan), dtype=bool)
    added[struck] = True
    return all_points(scan, points=points, intensity=intensity, added=added)


def incomplete_echo(scan: CleanScan, severity: Severity, rng: np.random.Generator) -> CorruptedScan:
    """Dark objects: each class of vehicles with more than ten points loses most of them.

    References:
        Kong et al., "Robo3D", ICCV 2023.
    """
    labels = scan.labels_for("incomplete_echo")
    kept = np.ones(len(scan), dtype=bool)
    for train_id in scan.traits.objects:
        members = np.flatnonzero(labels == train_id)
        if len(members) > _FEW:
            number = int(ECHO_RATIO[step_of(severity)] * len(members))
            kept[rng.choice(members, size=number, replace=False)] = False
    return kept_points(scan, np.flatnonzero(kept))
