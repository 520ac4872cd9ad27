"""Fog: far echoes weaken, and those that fog outshines come back from it instead.

Shape letters: N points, T moments of a pulse.
"""

import functools
from typing import Final

import numpy as np
from scipy.integrate import simpson

from lidistill.robustness.scan import (
    CleanScan,
    CorruptedScan,
    Float32,
    Float64,
    Severity,
    all_points,
    ranges,
    step_of,
)

ALPHAS: Final = (0.0, 0.005, 0.01, 0.02, 0.03, 0.06)
"""Attenuation in 1/m; one is drawn for each frame, whatever the severity."""
BETAS: Final = (0.008, 0.05, 0.2)
"""Backscattering in 1/m of each severity."""
LIGHT: Final = 299_792_458.0
"""Speed of light, m/s."""
_TARGET: Final = 1e-6 / np.pi  # differential reflectivity of a hard target, beta_0
_PULSE: Final = 20e-9  # seconds, tau
_BLIND, _OPEN = 0.9, 1.0  # metres between which the receiver begins to see
_REACH: Final = 200.0  # metres
_TENTH: Final = 10  # steps of the table a metre
_LEVEL: Final = 80  # steps of the table, from which on it does not change
_NOISE: Final = 10.0  # metres
_LEAST: Final = 0.1  # metres


@functools.cache
def fog_table(alpha: float) -> tuple[Float64, Float64]:
    """Where fog answers before a target, and how strongly, by the target's range in steps of 0.1 m.

    Args:
        alpha: Attenuation, 1/m.

    Returns:
        (2001,) metres at which the answer is strongest, and (2001,) that answer.

    References:
        Hahner et al., "Fog Simulation on Real LiDAR Point Clouds for 3D Object Detection in Adverse
        Weather", ICCV 2021, equations 7 to 11.
    """
    grid = np.linspace(0, _REACH, 2000)[:_LEVEL]
    time_T = np.linspace(0, 2 * _PULSE, 2000)
    rho = grid[:, None] - LIGHT * time_T / 2
    seen = np.clip((rho - _BLIND) / (_OPEN - _BLIND), 0, 1)
    before = np.where(rho > _BLIND, rho, 1.0)
    light = np.sin(np.pi * time_T / (2 * _PULSE)) ** 2 * np.exp(-2 * alpha * before)
    answer = simpson(light * seen / before**2, x=time_T, axis=1)
    steps = np.arange(_TENTH * int(_REACH) + 1)
    last = np.searchsorted(grid, steps / _TENTH, side="right") - 1
    strongest = np.maximum.accumulate(answer)
    place = grid[np.searchsorted(strongest, strongest)]
    return place[last], strongest[last]


def fog_echoes(
    distance: Float64, intensity: Float32, *, alpha: float, beta: float, whole: bool
) -> tuple[Float64, Float64]:
    """Intensity of the target and of the fog in front of it.

    Args:
        distance: (N,) range, metres.
        intensity: (N,) in clear air.
        alpha: Attenuation, 1/m.
        beta: Backscattering, 1/m.
        whole: Whether the sensor gives whole numbers.

    Returns:
        (N,) of the target, rounded if it is whole, and (N,) of the fog.
    """
    hard: Float64 = np.exp(-2 * alpha * distance) * intensity
    _, strength = fog_table(alpha)
    step = np.minimum(np.rint(distance * _TENTH), len(strength) - 1)
    answer = strength[np.nan_to_num(step).astype(np.int64)]
    soft = answer * intensity * distance**2 * (beta / _TARGET)
    return np.rint(hard) if whole else hard, soft


def fog(scan: CleanScan, severity: Severity, rng: np.random.Generator) -> CorruptedScan:
    """Fog whose attenuation is drawn for each frame; the severity is that of its backscattering.

    Intensities of points of fog leave the sensor's scale, as in the published sets: they reach
    thousands where it ends at 255. As there, points whose noise is near or beyond their own range
    land far away or behind the lidar, a few in a scan; here none lands farther than 50 times its
    own range. Without intensity the range alone says which points are of fog, as it nearly does
    with it.

    References:
        Hahner et al., ICCV 2021; values of Robo3D (ICCV 2023).
    """
    alpha = float(rng.choice(ALPHAS))
    noise = rng.uniform(-_NOISE, _NOISE, len(scan))
    distance = ranges(scan.points)
    reflects = scan.intensity.any()
    hard, soft = fog_echoes(
        distance,
        scan.intensity if reflects else np.full_like(scan.intensity, scan.traits.intensity_top),
        alpha=alpha,
        beta=BETAS[step_of(severity)],
        whole=scan.traits.whole_intensity,
    )
    added = soft > hard
    points = scan.points.copy()
    points[added] *= nearer(distance[added], noise[added], alpha=alpha)[:, None]
    intensity = np.where(added, soft, hard).astype(np.float32) if reflects else None
    return all_points(scan, points=points, intensity=intensity, added=added)


def nearer(distance: Float64, noise: Float64, *, alpha: float) -> Float64:
    """(N,) factor that brings points to where fog answers in place of them.

    Args:
        distance: (N,) their range, metres.
        noise: (N,) metres by which the range is taken wrongly.
        alpha: Attenuation, 1/m.
    """
    place, _ = fog_table(alpha)
    step = np.minimum(np.rint(distance * _TENTH).astype(np.int64), len(place) - 1)
    taken = distance + noise
    taken = np.where(np.abs(taken) < _LEAST, np.copysign(_LEAST, taken), taken)
    return np.asarray(place[step] / taken)
