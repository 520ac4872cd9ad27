"""Lidar scans of a street: beams that turn while everything moves, intensity, noise, lost pulses.

What moves on the street and the vehicle that carries the lidar both move from column to column.

Shape letters: C columns of a sweep, B beams, N pulses or returns.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.sim.classes import Kind
from lidistill.sim.materials import material_table
from lidistill.sim.rig import LidarModel, Roof
from lidistill.sim.stage import Echoes, Stage

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Poses: TypeAlias = Callable[[float], Float64]
"""(4, 4) body to street at a time of the street's clock."""

_POSES_PER_TURN: Final = 16  # between them the vehicle goes straight
_NOTICED: Final = 0.12  # light of a white wall is 1; this much, at full range, is mostly noticed
_STRAY: Final = 15.0  # mean intensity that is stored with lost pulses


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one sweep stores, in firing order."""

    points: Float64
    """(N, 3) metres, street frame, each where it was met; so the vehicle's motion is taken out."""
    intensity: Float32
    """(N,) in the sensor's own scale."""
    kind: NDArray[np.uint8]
    """(N,) values of ``Kind``."""
    instance: NDArray[np.uint16]
    """(N,) number of the countable thing, 0 where there is none."""
    moving: NDArray[np.bool_]
    """(N,) whether it lies on something that moves."""
    beam: NDArray[np.uint8]
    """(N,) position in the lidar's elevations."""
    delay_s: Float64
    """(N,) when each pulse was sent, seconds after the scan's time stamp; mostly before it."""

    def take(self, order: NDArray[np.int64] | NDArray[np.bool_]) -> "Scan":
        """The same scan with chosen points, in that order."""
        parts = {field.name: getattr(self, field.name)[order] for field in dataclasses.fields(self)}
        return Scan(**parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pulses:
    """A sweep, before anything is met."""

    own: Float64
    """(N, 3) unit directions, lidar frame."""
    origin: Float32
    """(N, 3) metres, street frame."""
    direction: Float32
    """(N, 3) unit, street frame."""
    beam: NDArray[np.uint8]
    delay_s: Float64


def sweep(
    stage: Stage, lidar: LidarModel, T_street_body: Poses, *, time_s: float,
    rng: np.random.Generator, column_step: int = 1, wetness: float = 0.0,
) -> Scan:  # fmt: skip
    """Scan the street once.

    Args:
        stage: The street.
        lidar: The sensor.
        T_street_body: Where the vehicle is, by time.
        time_s: Time stamp of the scan, on the clock of the street.
        rng: For noise and lost pulses.
        column_step: Only every so many-th column is fired.
        wetness: 0 dry to 1 a film of water on all that lies flat, which mirrors pulses away.
    """
    pulses = _fired(lidar, T_street_body, time_s, column_step)
    sent_s = time_s + pulses.delay_s
    echoes = stage.shoot(pulses.origin, pulses.direction, sent_s, lidar.max_range)
    return _returns(lidar, pulses, echoes, wetness, rng)


def _fired(
    lidar: LidarModel, T_street_body: Poses, time_s: float, column_step: int
) -> _Pulses:  # fmt: skip
    begin, end = lidar.azimuth_deg
    turn = np.arange(0, lidar.num_columns, column_step) / lidar.num_columns
    delay = (turn - lidar.stamp) * lidar.sweep_s
    num = max(1, round(abs(end - begin) / 360 * _POSES_PER_TURN))
    knots = np.linspace(delay[0], delay[-1], num + 1)
    poses = np.stack([T_street_body(time_s + d) @ lidar.T_body_lidar for d in knots])
    place = np.linspace(0, num, len(delay))
    before = np.minimum(place.astype(np.int64), num - 1)
    share = (place - before)[:, None, None]
    T_street_lidar = (1 - share) * poses[before] + share * poses[before + 1]  # (C, 4, 4)
    own = _directions(lidar, np.radians(begin + (end - begin) * turn))
    direction = np.einsum("cij,cbj->cbi", T_street_lidar[:, :3, :3], own)
    num_beams = own.shape[1]
    return _Pulses(
        own=own.reshape(-1, 3),
        origin=np.repeat(T_street_lidar[:, :3, 3], num_beams, axis=0).astype(np.float32),
        direction=direction.reshape(-1, 3).astype(np.float32),
        beam=np.tile(np.arange(num_beams, dtype=np.uint8), len(turn)),
        delay_s=np.repeat(delay, num_beams),
    )


def _directions(lidar: LidarModel, azimuth: Float64) -> Float64:
    """(C, B, 3) unit directions in the lidar frame."""
    elevation = np.radians(lidar.elevations_deg)
    return np.stack(
        [
            np.cos(azimuth)[:, None] * np.cos(elevation),
            np.sin(azimuth)[:, None] * np.cos(elevation),
            np.broadcast_to(np.sin(elevation), (len(azimuth), len(elevation))),
        ],
        axis=-1,
    )


def _returns(
    lidar: LidarModel, pulses: _Pulses, echoes: Echoes, wetness: float, rng: np.random.Generator
) -> Scan:
    light, noticed = _answer(lidar, echoes, wetness, rng)
    num, seen = len(pulses.beam), echoes.ray[noticed]
    distance = np.zeros(num)  # lost pulses stay at the sensor
    distance[seen] = echoes.distance[noticed] + rng.normal(0, lidar.range_noise, len(seen))
    intensity = np.floor(rng.exponential(_STRAY, num)).astype(np.float32)
    intensity[seen] = light[noticed]
    kind = np.zeros(num, dtype=np.uint8)
    kind[seen] = echoes.kind[noticed]
    instance = np.zeros(num, dtype=np.uint16)
    instance[seen] = echoes.instance[noticed]
    moving = np.zeros(num, dtype=np.bool_)
    moving[seen] = echoes.moving[noticed]
    if lidar.roof is not None:
        own, on_roof = _roof_distance(lidar.roof, pulses.own)
        distance[own] = on_roof + rng.normal(0, lidar.range_noise, len(own))
        intensity[own] = rng.gamma(3.0, lidar.response.top / 28, len(own)).round()
        kind[own], instance[own], moving[own] = Kind.EGO, 0, False
    scan = Scan(
        points=pulses.origin + distance[:, None] * pulses.direction,
        intensity=intensity,
        kind=kind,
        instance=instance,
        moving=moving,
        beam=pulses.beam,
        delay_s=pulses.delay_s,
    )
    return scan if lidar.lost == "stored" else scan.take(distance > 0)


def _roof_distance(roof: Roof, own: Float64) -> tuple[NDArray[np.int64], Float64]:
    """Which (N, 3) rays of the lidar frame meet the vehicle's roof, and at what distance."""
    down = np.flatnonzero(own[:, 2] < -1e-3)
    distance = -roof.below / own[down, 2]
    x, y = (distance[:, None] * own[down, :2]).T
    met = (np.abs(x) <= roof.half_width) & (np.abs(y) <= roof.half_length)
    return down[met], distance[met]


def _answer(
    lidar: LidarModel, echoes: Echoes, wetness: float, rng: np.random.Generator
) -> tuple[Float32, NDArray[np.bool_]]:
    """(H,) intensity of each echo, and whether it is strong enough to be noticed."""
    table, response = material_table(), lidar.response
    material, cosine = echoes.material, echoes.cosine
    tint, gloss = table["tint"][material], table["gloss"][material]
    share = table["reflectance"][material] * (1 - tint + tint * echoes.brightness)
    # Smooth surfaces throw a slanting pulse away from the sensor, and so does water.
    gloss = np.maximum(gloss, np.float32(0.08 * wetness) * echoes.level)
    share = share * (1 - np.float32(0.5 * wetness) * echoes.level)
    facing = cosine ** (np.float32(response.incidence_power) + np.float32(12) * gloss)
    mirror = 8 * gloss * np.clip(cosine - np.float32(0.97), 0, 1) / np.float32(0.03)
    back = share * facing + table["retro"][material] * np.float32(3) + mirror
    speckle = 1 + np.float32(0.15) * rng.standard_normal(len(back), dtype=np.float32)
    near = np.clip(echoes.distance / np.float32(4), 0.4, 1)
    fade = near / (1 + np.square(echoes.distance / np.float32(response.fade_range)))
    light = response.gain * back ** np.float32(response.contrast) * speckle * fade
    intensity = np.clip(light, 0, response.top)
    steps = np.floor(intensity / np.float32(response.step) + np.float32(1e-4))
    strength = back * np.square(lidar.max_range / (echoes.distance + 1))
    chance = (1 - np.exp(-strength / np.float32(_NOTICED))) * (1 - table["clear"][material])
    noticed = rng.random(len(back)) < np.clip(chance, 0, 0.995)
    return (
        (steps * np.float32(response.step)).astype(np.float32),
        noticed & (echoes.distance < lidar.max_range),
    )
