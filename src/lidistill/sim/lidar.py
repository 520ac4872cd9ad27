"""Lidar scans of a street: beams, intensity, range noise, and pulses that do not come back.

Shape letters: N pulses or returns.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.sim.materials import material_table
from lidistill.sim.raycast import Hits, RayScene
from lidistill.sim.rig import LidarModel

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The returns of one sweep, in firing order."""

    points: Float64
    """(N, 3) metres, street frame."""
    intensity: Float32
    """(N,) 0 to 255."""
    label: NDArray[np.uint8]
    """(N,) raw class ids."""
    phase: Float64
    """(N,) when in the sweep each pulse was sent, 0 to 1."""


def sweep(
    scene: RayScene, lidar: LidarModel, T_street_body: Float64, *, azimuth_step_deg: float,
    rng: np.random.Generator,
) -> Scan:  # fmt: skip
    """Scan the street once.

    Args:
        scene: The street.
        lidar: The sensor.
        T_street_body: (4, 4) rig to street.
        azimuth_step_deg: Angle between two firings of a beam, before ``azimuth_share``.
        rng: For noise and drop-outs.
    """
    body_rays, phase = _beams(lidar, azimuth_step_deg * lidar.azimuth_share)
    rotation = T_street_body[:3, :3]
    rays = (body_rays @ rotation.T).astype(np.float32)
    eye = (rotation @ np.asarray(lidar.position) + T_street_body[:3, 3]).astype(np.float32)
    hits = scene.cast(np.broadcast_to(eye, rays.shape), rays)
    intensity, returned = _answer(scene, lidar, hits, rng)
    ray = hits.ray[returned]
    error = rng.normal(0, lidar.range_noise, len(ray))
    distance = hits.distance[returned].astype(np.float64) + error
    return Scan(
        points=eye.astype(np.float64) + distance[:, None] * rays[ray].astype(np.float64),
        intensity=intensity[returned],
        label=scene.label[hits.face[returned]],
        phase=phase[ray],
    )


def _beams(lidar: LidarModel, step_deg: float) -> tuple[Float64, Float64]:
    """(N, 3) unit directions in the body frame, and when each is fired."""
    start, end = lidar.azimuth_deg
    num = max(1, round((end - start) / step_deg))
    turn = np.arange(num) / num
    azimuth = np.radians(start + (end - start) * turn)[:, None]
    elevation = np.radians(lidar.elevations_deg)[None, :]
    rays = np.stack(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.broadcast_to(np.sin(elevation), (num, elevation.shape[1])),
        ],
        axis=-1,
    )
    return rays.reshape(-1, 3), np.repeat(turn, elevation.shape[1])


def _answer(
    scene: RayScene, lidar: LidarModel, hits: Hits, rng: np.random.Generator
) -> tuple[Float32, NDArray[np.bool_]]:
    """(N,) intensity of each hit, and whether it is strong enough to be noticed."""
    table = material_table()
    material = scene.material[hits.face]
    tint, gloss = table["tint"][material], table["gloss"][material]
    white = table["reflectance"][material]
    share = white * (1 - tint + tint * scene.brightness[hits.face])
    # Smooth surfaces throw a slanting pulse away from the sensor.
    facing = hits.cosine ** (np.float32(lidar.incidence_power) + np.float32(12) * gloss)
    mirror = 8 * gloss * np.clip(hits.cosine - np.float32(0.97), 0, 1) / np.float32(0.03)
    back = share * facing + table["retro"][material] * np.float32(3) + mirror
    speckle = 1 + np.float32(0.15) * rng.standard_normal(len(back), dtype=np.float32)
    near = np.clip(hits.distance / np.float32(4), 0.4, 1)
    fade = near / (1 + np.square(hits.distance / np.float32(180)))
    intensity = np.clip(lidar.gain * back * speckle * fade, 0, 255)
    strength = back * np.square(lidar.max_range / (hits.distance + 1))
    chance = (1 - np.exp(-strength / np.float32(0.12))) * (1 - table["clear"][material])
    returned = rng.random(len(back)) < np.clip(chance, 0, 0.995)
    return np.floor(intensity).astype(np.float32), returned & (hits.distance < lidar.max_range)
