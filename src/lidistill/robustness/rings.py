"""Which beam of a turning lidar a point is from, and what happens when some fail or are absent.

Shape letters: N points.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.robustness.scan import (
    CleanScan,
    CorruptedScan,
    Float32,
    Severity,
    kept_points,
    step_of,
)

_STEPS: Final = (4.0, 2.0, 1.33)
"""Cross-sensor, for each severity: steps between the rings that are dropped, from ring 1 on."""
_LATE, _EARLY = 0.8, 0.2
_TAIL: Final = 0.5  # percent of the points whose elevation is not counted


def rings_by_turns(points: Float32, num_rings: int) -> NDArray[np.int16]:
    """(N,) how many times the azimuth has wrapped, in scans that are stored ring by ring.

    Args:
        points: (N, 3) metres, in the order of the file.
        num_rings: Beams of the lidar; turns beyond count as the last.

    References:
        Milioto et al., "RangeNet++", IROS 2019: rings of KITTI's scans, which do not store them.
    """
    finite = np.flatnonzero(np.isfinite(points[:, 0]))
    x, y = points[finite, 0], points[finite, 1]
    turn = (-np.arctan2(y, -x) / np.pi + 1) / 2
    wraps = np.zeros(len(finite), dtype=np.int64)
    wraps[1:] = (turn[:-1] > _LATE) & (turn[1:] < _EARLY)
    ring = np.zeros(len(points), dtype=np.int16)
    ring[finite] = np.minimum(np.cumsum(wraps), num_rings - 1)
    return ring


def rings_by_elevation(points: Float32, num_rings: int) -> NDArray[np.int16]:
    """(N,) equal steps of elevation from the lowest beam, 0, to the uppermost, for other lidars.

    Args:
        points: (N, 3) metres.
        num_rings: How many steps.
    """
    finite = np.isfinite(points[:, 0])
    if not finite.any():
        return np.zeros(len(points), dtype=np.int16)
    elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    low, high = np.percentile(elevation[finite], [_TAIL, 100 - _TAIL])
    step = np.nan_to_num(np.floor(num_rings * (elevation - low) / max(high - low, 1e-6)))
    return np.clip(step, 0, num_rings - 1).astype(np.int16)


def beam_missing(scan: CleanScan, severity: Severity, rng: np.random.Generator) -> CorruptedScan:
    """Some beams give nothing; a ring may be drawn twice.

    References:
        Kong et al., "Robo3D", ICCV 2023.
    """
    lowest, highest = scan.traits.missing_rings
    draws = rng.integers(lowest, highest + 1, scan.traits.missing_draws[step_of(severity)])
    return kept_points(scan, np.flatnonzero(~_is_one_of(scan, draws)))


def cross_sensor(
    scan: CleanScan,
    severity: Severity,
    rng: np.random.Generator,  # noqa: ARG001  every corruption's signature; nothing is drawn
) -> CorruptedScan:
    """A lidar with fewer beams: rings are dropped evenly, then every second row that remains.

    What the second step does follows the order of the file. KITTI's scans are stored ring by ring
    and lose every second azimuth; nuScenes' are stored azimuth by azimuth, an even number of rings
    remains, and every second of those is lost instead.

    References:
        Kong et al., "Robo3D", ICCV 2023.
    """
    dropped = np.arange(1, scan.traits.num_rings, _STEPS[step_of(severity)]).astype(np.int64)
    return kept_points(scan, np.flatnonzero(~_is_one_of(scan, dropped))[::2])


def _is_one_of(scan: CleanScan, rings: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) whether points are of some rings."""
    chosen = np.zeros(scan.traits.num_rings, dtype=bool)
    chosen[rings] = True
    known = (scan.ring >= 0) & (scan.ring < len(chosen))
    return known & chosen[np.where(known, scan.ring, 0)]
