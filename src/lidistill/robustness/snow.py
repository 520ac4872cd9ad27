"""Snow: flakes in the beams take light, answer in place of targets, and weak echoes drown.

Shape letters: N points.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.robustness.ground_noise import ground_light
from lidistill.robustness.scan import (
    CleanScan,
    CorruptedScan,
    Float64,
    Severity,
    ranges,
    step_of,
)
from lidistill.robustness.snow_beams import SNOW, snow_echoes
from lidistill.robustness.snow_flakes import NUM_PATTERNS, FlakeTable, flake_table
from lidistill.robustness.wet_ground import MIN_GROUND, on_ground

_NOISE_FLOOR: Final = 0.7
_LOW: Final = 5.0  # where the histogram of intensities begins
_TOP: Final = 255.0
_LOWEST, _FIELD = np.deg2rad(25.0), np.deg2rad(28.0)


def snow(
    scan: CleanScan,
    severity: Severity,
    rng: np.random.Generator,
    *,
    table: FlakeTable | None = None,
    order: NDArray[np.int64] | None = None,
) -> CorruptedScan:
    """Falling snow; with a stronger one the flakes are fewer and larger.

    The intensities of beams that met flakes are those that an HDL-64E would give, whatever the
    lidar and the target, as in the published sets. Points farther than 120 m stay as they are, and
    a scan with fewer than 1,000 points on the ground, or without intensity on it, loses none.

    Args:
        scan: Labelled points.
        severity: Whose flakes fall, where no table is given.
        rng: Draws the order, where none is given.
        table: Patterns of flakes of one's own (``flake_table_of``).
        order: (64,) the pattern that each laser of an HDL-64E meets; None: by lot.

    References:
        Hahner et al., "LiDAR Snowfall Simulation for Robust 3D Object Detection", CVPR 2022; values
        of Robo3D (ICCV 2023).
    """
    table = flake_table(step_of(severity)) if table is None else table
    if order is None:
        order = rng.permutation(NUM_PATTERNS) % table.num_patterns
    distance = ranges(scan.points)
    unit = _TOP / scan.traits.intensity_top
    intensity = scan.intensity.astype(np.float64) * unit
    channel = snow_channel(scan)
    echoes = snow_echoes(
        scan.points,
        distance,
        intensity,
        pattern=order[channel],
        channel=channel,
        table=table,
    )
    added = echoes.kind == SNOW
    lost = echoes.intensity <= drowned_below(scan, distance, intensity)
    kept = np.flatnonzero(added | ~lost)
    points = scan.points[kept]
    moved = added[kept]
    points[moved] *= (echoes.distance[kept[moved]] / distance[kept[moved]])[:, None]
    return CorruptedScan(
        points=points,
        intensity=(echoes.intensity[kept] / unit).astype(np.float32),
        source=kept,
        added=moved,
    )


def snow_channel(scan: CleanScan) -> NDArray[np.int64]:
    """(N,) laser of an HDL-64E in whose place each beam is.

    The ring, or for SemanticKITTI the elevation as the published set takes it: intensity counts as
    a fourth coordinate there.
    """
    if scan.traits.snow_channel == "ring":
        return np.asarray(scan.ring % NUM_PATTERNS, dtype=np.int64)
    exact = np.column_stack([scan.points, scan.intensity]).astype(np.float64)
    length = np.sqrt(np.einsum("ij,ij->i", exact, exact))
    pitch = np.arcsin(np.nan_to_num(exact[:, 2] / length))
    channel = np.floor(NUM_PATTERNS * (1 - (pitch + _LOWEST) / _FIELD))
    return np.clip(channel, 0, NUM_PATTERNS - 1).astype(np.int64)


def drowned_below(scan: CleanScan, distance: Float64, intensity: Float64) -> Float64:
    """(N,) intensity up to which an echo is lost: a parabola through the noise of the ground.

    Args:
        scan: Labelled points.
        distance: (N,) their range, metres.
        intensity: (N,) 0 to 255.
    """
    where = np.flatnonzero(on_ground(scan, "snow"))
    if len(where) < MIN_GROUND or not intensity[where].any():
        return np.full(len(scan), -np.inf)
    light = ground_light(scan.points[where], distance[where], intensity[where])
    noise = _NOISE_FLOOR * light.noise(_LOW).at(light.distance) * light.cosine
    return np.asarray(np.polyval(np.polyfit(light.distance, noise, 2), distance))
