"""Images of a street: visible surfaces, their light, and what a camera makes of it.

Shape letters: H x W image. Light is linear, three channels.
"""

from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly
from lidistill.sim.daylight import horizon_color, no_shade, shade_of, sky_table, sun_color
from lidistill.sim.layout import Sky
from lidistill.sim.materials import material_table, pattern_numbers
from lidistill.sim.pixels import VisibilityBuffer
from lidistill.sim.raster import draw_view
from lidistill.sim.raycast import Layer, RayWorld
from lidistill.sim.rig import CameraModel
from lidistill.sim.shading import Daylight, light_sky, light_surfaces
from lidistill.sim.surfaces import Paints, Surfaces
from lidistill.sim.texture_noise import SIZE, noise_tile
from lidistill.sim.textures import PATTERNS, texels

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]

_GRAIN_SIZE = 2**20
_FILM_STEPS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What a camera sees, and what that is."""

    image: NDArray[np.uint8]
    """(H, W, 3) sRGB."""
    buffer: VisibilityBuffer
    world: RayWorld

    @property
    def label(self) -> NDArray[np.uint8]:
        """(H, W) values of ``classes.Kind``; 0 is sky."""
        return np.append(self.world.label, np.uint8(0))[self.buffer.face]

    @property
    def depth(self) -> Float32:
        """(H, W) metres along the ray; infinite in the sky."""
        intrinsics, inverse_depth = self.buffer.intrinsics, self.buffer.inverse_depth
        height, width = inverse_depth.shape
        x = (np.arange(width, dtype=np.float32) + np.float32(0.5 - intrinsics[2])) / intrinsics[0]
        y = (np.arange(height, dtype=np.float32) + np.float32(0.5 - intrinsics[3])) / intrinsics[1]
        length = np.sqrt(1 + np.square(x)[None, :] + np.square(y)[:, None]).astype(np.float32)
        with np.errstate(divide="ignore"):
            return length / inverse_depth


def render(
    world: RayWorld, camera: CameraModel, T_street_camera: Float64, *, sky: Sky,
    rng: np.random.Generator,
) -> Rendering:  # fmt: skip
    """Take one image.

    Args:
        world: The street: what is fixed, and on top of it what moves.
        camera: Intrinsics and size.
        T_street_camera: (4, 4) camera to street.
        sky: The light.
        rng: For the grain.

    Raises:
        MissingPackageError: If the extra ``sim`` is not installed.
    """
    buffer = look(world, camera, T_street_camera)
    light = np.empty((*camera.size_hw, 3), dtype=np.float32)
    day = _daylight(sky)
    light_sky(buffer, day, light)
    fixed, *moving = (shade_of(layer, sky) for layer in world.layers)
    assert len(moving) <= 1  # noqa: S101  what stands, and what moves
    shades = (fixed, moving[0] if moving else no_shade())
    first = 0
    for layer in world.layers:
        light_surfaces(_surfaces(layer), first, buffer, _paints(), day, shades, light)
        first += len(layer)
    height, width, channels = light.shape
    begin = rng.integers(_GRAIN_SIZE - width * channels, size=height)
    image = np.empty(light.shape, dtype=np.uint8)
    _expose(light.reshape(height, -1), _grain(), begin, _film(), image.reshape(height, -1))
    return Rendering(image=image, buffer=buffer, world=world)


def look(world: RayWorld, camera: CameraModel, T_street_camera: Float64) -> VisibilityBuffer:
    """Which surface every pixel shows."""
    rotation, eye = T_street_camera[:3, :3], T_street_camera[:3, 3]
    view = np.concatenate([rotation.T, -(rotation.T @ eye)[:, None]], axis=1)
    intrinsics = camera.K[[0, 1, 0, 1], [0, 1, 2, 2]]
    inverse_depth = np.zeros(camera.size_hw, dtype=np.float32)
    face = np.full(camera.size_hw, -1, dtype=np.int32)
    first = 0
    for layer in world.layers:
        draw_view(
            layer.vertices,
            layer.mesh.faces,
            layer.boxes,
            view,
            intrinsics,
            first,
            inverse_depth,
            face,
        )
        first += len(layer)
    pose = np.ascontiguousarray(T_street_camera[:3])
    return VisibilityBuffer(
        pose=pose, intrinsics=intrinsics, inverse_depth=inverse_depth, face=face
    )


def _surfaces(layer: Layer) -> Surfaces:
    return Surfaces(
        vertices=layer.vertices,
        faces=layer.mesh.faces,
        normals=layer.normals,
        color=layer.color,
        material=layer.mesh.material,
    )


@cache
def _paints() -> Paints:
    table = material_table()
    sizes = 2 ** np.arange(int(np.log2(SIZE)), -1, -1)
    return Paints(
        gloss=table["gloss"],
        through=table["through"],
        stain=table["stain"],
        span=table["span"],
        pattern=pattern_numbers(),
        texels=texels(),
        start=np.cumsum([0, *(len(PATTERNS) * sizes[:-1] ** 2)]),
        size=SIZE,
        noise=noise_tile(),
    )


def _daylight(sky: Sky) -> Daylight:
    return Daylight(
        to_sun=sky.to_sun, sun=sun_color(sky), horizon=horizon_color(sky), sky=sky_table(sky)
    )


@cache
def _grain() -> Float32:
    """(S,) white noise of unit spread; every row of an image takes a stretch of it."""
    return np.random.default_rng(1024).standard_normal(_GRAIN_SIZE, dtype=np.float32)


@cache
def _film() -> NDArray[np.uint8]:
    """SRGB value of exposures from 0 to 4 in equal steps: bright light saturates softly."""
    exposure = np.linspace(0, 4, _FILM_STEPS)
    return np.round(255 * (1 - np.exp(-1.15 * exposure)) ** (1 / 2.2)).astype(np.uint8)


@compiled_exactly
def _expose(
    light: Float32, grain: Float32, begin: NDArray[np.int64], film: NDArray[np.uint8],
    image: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Meter the light, soften it like a lens, add grain, and encode it into ``image``.

    Args:
        light: (H, 3 W) linear, the channels of each pixel side by side.
        grain: (S,) noise.
        begin: (H,) where the grain of every row begins.
        film: Values of exposures from 0 to 4, in equal steps.
        image: (H, 3 W) sRGB. Changed.
    """
    height, width = light.shape
    gain = _metered(light)
    last = len(film) - 1
    middle, side, most = np.float32(0.6 * gain), np.float32(0.1 * gain), np.float32(last)
    least, growing, half = np.float32(0.004), np.float32(0.014), np.float32(0.5)
    per_unit = np.float32(last / 4)
    padded, steps = np.empty(width + 6, dtype=np.float32), np.empty(width, dtype=np.int32)
    for row in range(height):
        above, below = light[max(row - 1, 0)], light[min(row + 1, height - 1)]
        here, specks, encoded = light[row], grain[begin[row] : begin[row] + width], image[row]
        # One by one: for rows, numba would compile the text of an error about their lengths.
        for i in range(3):
            padded[i], padded[width + 3 + i] = here[i], here[width - 3 + i]
        for i in range(width):
            padded[3 + i] = here[i]
        # Two short loops without branches: so the first becomes vector instructions.
        for i in range(width):
            sides = padded[i] + padded[i + 6] + above[i] + below[i]
            exposed = middle * padded[i + 3] + side * sides
            exposed += specks[i] * (least + growing * np.sqrt(exposed))
            steps[i] = np.int32(min(max(exposed * per_unit + half, np.float32(0)), most))
        for i in range(width):
            encoded[i] = film[np.uint32(steps[i])]


@compiled_exactly
def _metered(light: Float32) -> float:
    """What (H, 3 W) light must be multiplied with, by its geometric mean over some pixels."""
    total, num = 0.0, 0
    for row in range(0, light.shape[0], 4):
        for i in range(0, light.shape[1], 12):
            grey = (light[row, i] + light[row, i + 1] + light[row, i + 2]) / 3
            total += np.log(max(grey, 0.0) + 1e-3)
            num += 1
    return min(max(0.23 / np.exp(total / num), 0.35), 2.2)
