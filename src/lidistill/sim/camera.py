"""Pictures of a street: one ray per pixel, sun with shadows, sky, reflections, exposure, grain.

Shape letters: N rays or surface points, H x W picture. Light is linear, three channels.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.sim.materials import material_table, noise, texture
from lidistill.sim.raycast import Hits, RayScene
from lidistill.sim.rig import CameraModel
from lidistill.sim.scene import Sky

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What a camera sees, and what that is."""

    image: NDArray[np.uint8]
    """(H, W, 3) sRGB."""
    label: NDArray[np.uint8]
    """(H, W) raw class ids; 0 is sky."""
    depth: Float32
    """(H, W) metres along the ray; infinite in the sky."""


def render(
    scene: RayScene, camera: CameraModel, T_street_camera: Float64, *, sky: Sky,
    rng: np.random.Generator,
) -> Picture:  # fmt: skip
    """Take one picture.

    Args:
        scene: The street.
        camera: Intrinsics and size.
        T_street_camera: (4, 4) camera to street.
        sky: The light.
        rng: For shadow softness and grain.
    """
    height, width = camera.size_hw
    rays = (camera.pixel_rays() @ T_street_camera[:3, :3].T).astype(np.float32)
    eye = T_street_camera[:3, 3].astype(np.float32)
    origin = np.broadcast_to(eye, rays.shape)
    hits = scene.cast(origin, rays)
    light = np.empty_like(rays)
    empty = np.ones(len(rays), dtype=np.bool_)
    empty[hits.ray] = False
    light[empty] = sky_light(rays[empty], sky)
    footprint = hits.distance / np.float32(camera.K[0, 0])
    openness = _openness(scene, hits, camera.size_hw, rng)
    surface = _shade(scene, hits, rays[hits.ray], footprint, openness, sky=sky, rng=rng)
    light[hits.ray] = _through_air(surface, hits.distance, sky)
    label = np.zeros(height * width, dtype=np.uint8)
    label[hits.ray] = scene.label[hits.face]
    depth = np.full(height * width, np.inf, dtype=np.float32)
    depth[hits.ray] = hits.distance
    return Picture(
        image=_expose(light.reshape(height, width, 3), rng),
        label=label.reshape(height, width),
        depth=depth.reshape(height, width),
    )


def sun_color(sky: Sky) -> Float32:
    """(3,) light of the sun."""
    neutral, evening = np.array([1.0, 0.96, 0.88]), np.array([1.0, 0.8, 0.58])
    strength = 3.4 - 1.6 * sky.clouds
    return (strength * (neutral + sky.warmth * (evening - neutral))).astype(np.float32)


def sky_light(direction: Float32, sky: Sky) -> Float32:
    """(N, 3) light from (N, 3) directions above the horizon: gradient, clouds, glow of the sun."""
    up = np.clip(direction[:, 2], 0, 1)
    zenith = np.array([0.2, 0.4, 0.85], dtype=np.float32)
    horizon = _horizon(sky)
    weight = np.sqrt(up)[:, None]
    light = horizon + weight * (zenith - horizon)
    reach = np.float32(12) / (up + np.float32(0.12))
    u = direction[:, 0] * reach + np.float32(sky.drift[0])
    v = direction[:, 1] * reach + np.float32(sky.drift[1])
    cover = noise(u, v, 260.0, slope=1.5) + np.float32(2.6 * sky.clouds - 1.3)
    cover = np.clip(0.5 + 1.1 * cover, 0, 1)[:, None] * np.clip(up * 9, 0, 1)[:, None]
    toward = np.clip(direction @ sky.to_sun.astype(np.float32), 0, 1)[:, None]
    depth = np.float32(0.16) * noise(u + 7, v + 3, 120.0, slope=1.5)[:, None]
    white = np.array([0.95, 0.95, 0.97], dtype=np.float32) * (0.82 + depth + 0.5 * toward**4)
    light += np.float32(0.85) * cover * (white - light)
    glow = np.float32(0.5) * toward**24 + np.float32(2.5) * toward**600
    return (light + glow * sun_color(sky) * np.float32(0.5)).astype(np.float32)


def _horizon(sky: Sky) -> Float32:
    clear, evening = np.array([0.66, 0.76, 0.88]), np.array([0.85, 0.72, 0.6])
    return (clear + 0.5 * sky.warmth * (evening - clear)).astype(np.float32)


def _shade(
    scene: RayScene, hits: Hits, rays: Float32, footprint: Float32, openness: Float32, *, sky: Sky,
    rng: np.random.Generator,
) -> Float32:  # fmt: skip
    table = material_table()
    material = scene.material[hits.face]
    pattern = texture(hits.position, hits.normal, material, footprint)
    albedo = np.float32(0.85) * scene.color[hits.face] * pattern[:, None]
    facing = hits.normal @ sky.to_sun.astype(np.float32)
    through = table["through"][material]
    incoming = np.where(facing > 0, facing, -through * facing)
    incoming *= _sunlit(scene, hits, incoming > 0.01, sky=sky, rng=rng)
    up = 0.5 + 0.5 * hits.normal[:, 2:]
    ambient = up * np.array([0.62, 0.74, 0.95], dtype=np.float32)
    ambient += (1 - up) * np.array([0.36, 0.34, 0.3], dtype=np.float32)
    light = albedo * (incoming[:, None] * sun_color(sky) + openness[:, None] * ambient)
    glossy = np.flatnonzero(table["gloss"][material] > 0)
    mirror = table["gloss"][material[glossy]]
    mirror += (1 - mirror) * (1 - hits.cosine[glossy]) ** 5 * (mirror > 0.03)
    mirror = mirror[:, None]
    seen = _reflection(rays[glossy], hits.normal[glossy], hits.position[glossy], sky)
    light[glossy] += mirror * (seen - light[glossy])
    return light.astype(np.float32)


def _reflection(rays: Float32, normal: Float32, position: Float32, sky: Sky) -> Float32:
    """(N, 3) light that a mirror there would show: sky, a rough skyline, the road."""
    along = np.einsum("ij,ij->i", rays, normal)[:, None]
    mirrored = rays - 2 * along * normal
    rise = mirrored[:, 2]
    u = mirrored[:, 0] * 9 + position[:, 0] * np.float32(0.2)
    v = mirrored[:, 1] * 9 + position[:, 1] * np.float32(0.2)
    skyline = 0.22 + 0.1 * noise(u, v, 80.0)
    light = sky_light(mirrored, sky)
    light[rise < skyline] = np.array([0.24, 0.22, 0.2], dtype=np.float32)
    light[rise < 0] = np.array([0.16, 0.16, 0.165], dtype=np.float32)
    return light


def _lifted(hits: Hits, chosen: NDArray[np.int64]) -> Float32:
    return hits.position[chosen] + hits.normal[chosen] * np.float32(0.004)


def _sunlit(
    scene: RayScene, hits: Hits, facing: NDArray[np.bool_], *, sky: Sky, rng: np.random.Generator
) -> Float32:
    """(N,) 1 in the sun, 0 in the shade; the edge is as soft as the sun is wide."""
    lit = np.zeros(len(hits.ray), dtype=np.float32)
    chosen = np.flatnonzero(facing)
    blur = rng.standard_normal((len(chosen), 3), dtype=np.float32) * np.float32(0.006)
    way = sky.to_sun.astype(np.float32) + blur
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    lit[chosen] = ~scene.blocked(_lifted(hits, chosen), way)
    return lit


def _openness(
    scene: RayScene, hits: Hits, size_hw: tuple[int, int], rng: np.random.Generator
) -> Float32:
    """(N,) rough share of the sky's light that arrives: one random ray each, averaged nearby."""
    up = hits.normal + rng.standard_normal(hits.normal.shape, dtype=np.float32) * np.float32(0.55)
    up[:, 2] += np.float32(0.35)
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    everything = np.arange(len(hits.ray))
    counts = np.zeros((2, size_hw[0] * size_hw[1]), dtype=np.float32)
    counts[0, hits.ray] = ~scene.blocked(_lifted(hits, everything), up)
    counts[1, hits.ray] = 1
    free, total = (_blur(count.reshape(size_hw)).ravel()[hits.ray] for count in counts)
    return np.float32(0.3) + np.float32(0.7) * free / total


def _blur(values: Float32) -> Float32:
    """(H, W) sums over 5 x 5 neighbours, taken twice."""
    for _ in range(4):
        padded = np.pad(values, ((2, 2), (0, 0)))
        total = padded[4:] + padded[3:-1] + padded[2:-2] + padded[1:-3] + padded[:-4]
        values = np.ascontiguousarray(total.T)
    return values


def _through_air(light: Float32, distance: Float32, sky: Sky) -> Float32:
    clear = np.exp(-distance / np.float32(420))[:, None]
    return clear * light + (1 - clear) * _horizon(sky) * np.float32(0.85)


def _expose(light: Float32, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Meter, soften like a lens, add grain, and encode."""
    grey = np.exp(np.log(light.mean(axis=2) + np.float32(1e-3)).mean())
    exposed = light * np.float32(np.clip(0.23 / grey, 0.35, 2.2))
    soft = exposed.copy()
    soft[1:-1] = 0.76 * exposed[1:-1] + 0.12 * (exposed[:-2] + exposed[2:])
    exposed = soft.copy()
    exposed[:, 1:-1] = 0.76 * soft[:, 1:-1] + 0.12 * (soft[:, :-2] + soft[:, 2:])
    exposed += rng.standard_normal(exposed.shape, dtype=np.float32) * (
        np.float32(0.004) + np.float32(0.014) * np.sqrt(exposed)
    )
    film = 1 - np.exp(-np.float32(1.15) * np.clip(exposed, 0, None))
    return np.clip(255 * film ** np.float32(1 / 2.2) + 0.5, 0, 255).astype(np.uint8)
