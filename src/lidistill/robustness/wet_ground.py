"""Wet ground: light leaves it towards the horizon, and weak echoes drown in the noise.

Shape letters: G points on the ground.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.robustness.ground_noise import GroundLight, ground_light
from lidistill.robustness.scan import (
    CleanScan,
    CorruptedScan,
    Float64,
    Severity,
    kept_points,
    ranges,
    step_of,
)

WATER: Final = (0.2e-3, 1.0e-3, 1.2e-3)
"""Metres of water on the ground, for each severity."""
MIN_GROUND: Final = 1000
"""Points on the ground, below which a scan stays as it is."""
_PAVEMENT: Final = 1.2e-3  # metres of water that hide the pavement
_POWER: Final = 15.0  # of the emitted light, over what comes back from straight below
_AIR, _WATER = 1.0003, 1.33  # refractive indices
_LEAST_REFLECTIVITY: Final = 0.05


def on_ground(scan: CleanScan, what: str) -> NDArray[np.bool_]:
    """(N,) which points with a place are on the ground, by their labels.

    Those exactly level with the lidar are left out: seen along the ground, their intensity says
    nothing of it, and one of them would spoil what is estimated from all.

    Args:
        scan: Labelled points.
        what: Name of the corruption, for the message.

    Raises:
        ConfigError: If there are no labels.
    """
    is_ground = np.zeros(256, dtype=bool)
    is_ground[list(scan.traits.ground)] = True
    below = np.isfinite(scan.points[:, 0]) & (scan.points[:, 2] != 0)
    return is_ground[scan.labels_for(what)] & below


def wet_ground(
    scan: CleanScan,
    severity: Severity,
    rng: np.random.Generator,  # noqa: ARG001  every corruption's signature; nothing is drawn
) -> CorruptedScan:
    """Water on road and pavement: what is not on the ground first, then what is still seen of it.

    A scan with fewer than 1,000 points on the ground stays as it is, and so does one whose ground
    has no intensity.

    References:
        Hahner et al., "LiDAR Snowfall Simulation for Robust 3D Object Detection", CVPR 2022,
        section 3.2; values of Robo3D (ICCV 2023).
    """
    ground = on_ground(scan, "wet_ground")
    where = np.flatnonzero(ground)
    if len(where) < MIN_GROUND or not scan.intensity[where].any():
        return kept_points(scan, np.arange(len(scan)))
    traits, step = scan.traits, step_of(severity)
    points, divisor = scan.points[where], traits.wet_divisor
    distance = ranges(points)
    light = ground_light(points, distance, scan.intensity[where].astype(np.float64) / divisor)
    wet = wet_intensity(light, WATER[step])
    threshold = traits.wet_noise_floor[step] * light.noise(traits.wet_low).at(distance)
    seen = wet > threshold * light.cosine
    kept = kept_points(scan, np.concatenate([np.flatnonzero(~ground), where[seen]]))
    wet = wet[seen] * divisor
    if divisor != 1:
        wet = np.clip(wet, 0, divisor)
    kept.intensity[len(kept) - len(wet) :] = wet
    return kept


def wet_intensity(light: GroundLight, water: float) -> Float64:
    """(G,) intensity of ground under water, never above that of dry ground.

    Args:
        light: The dry ground.
        water: Its depth, metres.
    """
    emitted = _POWER * light.trend.at(light.distance)
    reflectivity = light.facing / emitted
    share = float(np.clip(water / _PAVEMENT, 0, 1))
    dry = light.facing * light.cosine
    through = _through_water(light.cosine, np.clip(reflectivity, _LEAST_REFLECTIVITY, 1))
    back = (1 - share) * reflectivity + share * through / light.angle
    return np.clip(emitted * light.cosine * back, 0, dry)


def _through_water(cos_above: Float64, reflectivity: Float64) -> Float64:
    """(G,) share of the light that comes back out of a layer of water on a diffuse ground.

    Args:
        cos_above: (G,) cosine of the angle of incidence.
        reflectivity: (G,) of the ground.

    The greater of both polarisations. The factor that turns amplitudes into power has the ratio of
    the indices and cosines upside down, as in the published sets.
    """
    cos_below = np.sqrt(1 - (_AIR / _WATER) ** 2 * (1 - cos_above**2))
    back = []
    for polarisation in ("s", "p"):
        into, _ = _fresnel(_AIR, _WATER, cos_above, cos_below, polarisation)
        out, mirrored = _fresnel(_WATER, _AIR, cos_below, np.abs(cos_above), polarisation)
        back.append(into * reflectivity * out / (1 - reflectivity * mirrored))
    return np.asarray(np.maximum(*back))


def _fresnel(
    n_from: float, n_to: float, cos_from: Float64, cos_to: Float64, polarisation: str
) -> tuple[Float64, Float64]:
    """(G,) shares of the light that cross a surface, and that are mirrored."""
    if polarisation == "s":
        bottom = n_from * cos_from + n_to * cos_to
        mirrored = (n_from * cos_from - n_to * cos_to) / bottom
    else:
        bottom = n_to * cos_from + n_from * cos_to
        mirrored = (n_to * cos_from - n_from * cos_to) / bottom
    crossing = 2 * n_from * cos_from / bottom
    factor = cos_from * n_from / (n_to * cos_to)
    return factor * crossing**2, mirrored**2
