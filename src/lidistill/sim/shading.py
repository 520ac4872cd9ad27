"""The light that every pixel receives: sun with shadows, sky, reflections, haze.

Shape letters: W pixels of a row, S x S table, H x W picture.
The inner loops take whole rows: calls that hand over arrays would cost more than the work itself.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.sim.compiled import compiled
from lidistill.sim.daylight import HeightMap, Shade
from lidistill.sim.surfaces import (
    Paints,
    Pixels,
    Seen,
    Surfaces,
    direction,
    find,
    no_pixels,
    orient,
    paint,
)

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Int32: TypeAlias = NDArray[np.int32]

_HAZE_M = 420.0
_BLUR_REACH = (0.5, 2.0, 6.0)  # metres, of the levels of ``Shade.cover``
_BLUR_WEIGHT = (0.5, 0.35, 0.3)
_SKY_AMBIENT, _GROUND_AMBIENT = (0.62, 0.74, 0.95), (0.36, 0.34, 0.3)
_ROAD_MIRRORED, _HOUSES_MIRRORED = 0.16, 0.22


class Daylight(NamedTuple):
    """Where light comes from."""

    to_sun: Float64
    """(3,) unit vector, street frame."""
    sun: Float32
    """(3,) colour."""
    horizon: Float32
    """(3,) colour."""
    sky: Float32
    """(S, S, 3) see ``daylight.sky_table``."""


@compiled
def light_sky(seen: Seen, day: Daylight, light: Float32) -> None:
    """Fill the pixels without a surface; ``light`` is (H, W, 3), linear, and changed."""
    face, sky = seen.face, day.sky
    for row in range(face.shape[0]):
        for column in range(face.shape[1]):
            if face[row, column] < 0:
                way, length = direction(seen, row, column)
                x, y, s, t = _sky_place(way[0] / length, way[1] / length, way[2] / length, len(sky))
                for k in range(3):
                    low = (1 - s) * sky[y, x, k] + s * sky[y, x + 1, k]
                    high = (1 - s) * sky[y + 1, x, k] + s * sky[y + 1, x + 1, k]
                    light[row, column, k] = (1 - t) * low + t * high


@compiled
def light_surfaces(
    surfaces: Surfaces, first: int, seen: Seen, paints: Paints, day: Daylight,
    shades: tuple[Shade, Shade], light: Float32,
) -> None:  # fmt: skip
    """Fill the pixels that show one layer.

    Args:
        surfaces: The layer.
        first: Number of its first triangle in ``seen.face``.
        seen: The picture's geometry.
        paints: Materials.
        day: Sun and sky.
        shades: What the fixed and the moving layer hide.
        light: (H, W, 3) linear. Changed.
    """
    pixels = no_pixels(light.shape[1])
    for row in range(light.shape[0]):
        num = find(surfaces, first, seen, row, pixels)
        if num > 0:
            orient(surfaces, pixels, num)
            paint(surfaces, paints, pixels, num, 1 / seen.lens[0])
            _face_sun(surfaces, paints, day, pixels, num)
            for shade in shades:
                if len(shade.sun.height) > 0:
                    _cast_shadow(shade.sun, pixels, num)
                    _cover(shade, pixels, num)
            _mix(day, pixels, num, light[row])
            _mirror(surfaces, paints, day, pixels, num, light[row])
            _haze(day, pixels, num, light[row])


@compiled
def _face_sun(
    surfaces: Surfaces, paints: Paints, day: Daylight, pixels: Pixels, num: int
) -> None:  # fmt: skip
    """Sunlight by the angle alone; through leaves some comes from behind."""
    normal, lit, free, to_sun = pixels.normal, pixels.lit, pixels.free, day.to_sun
    for p in range(num):
        facing = normal[p, 0] * to_sun[0] + normal[p, 1] * to_sun[1] + normal[p, 2] * to_sun[2]
        through = paints.through[surfaces.material[pixels.face[p]]]
        lit[p] = facing if facing > 0 else -through * facing
        free[p] = 1.0


@compiled
def _cast_shadow(sun: HeightMap, pixels: Pixels, num: int) -> None:
    """Take away the share of four neighbouring rays to the sun that are blocked."""
    height, f, point, normal, lit = sun.height, sun.frame, pixels.point, pixels.normal, pixels.lit
    rows, columns = height.shape
    for p in range(num):
        if lit[p] <= 0.005:
            continue
        x, y = point[p, 0] + 0.05 * normal[p, 0], point[p, 1] + 0.05 * normal[p, 1]
        z = point[p, 2] + 0.05 * normal[p, 2]
        column = f[0, 0] * x + f[0, 1] * y + f[0, 2] * z + f[0, 3]
        row = f[1, 0] * x + f[1, 1] * y + f[1, 2] * z + f[1, 3]
        if not (0 <= column < columns - 1 and 0 <= row < rows - 1):
            continue
        here = f[2, 0] * x + f[2, 1] * y + f[2, 2] * z + f[2, 3] + 0.06
        i, j = int(row), int(column)
        di, dj = row - i, column - j
        share = (1 - di) * (1 - dj) * (height[i, j] <= here)
        share += (1 - di) * dj * (height[i, j + 1] <= here)
        share += di * (1 - dj) * (height[i + 1, j] <= here)
        share += di * dj * (height[i + 1, j + 1] <= here)
        lit[p] *= share


@compiled
def _cover(shade: Shade, pixels: Pixels, num: int) -> None:
    """Take away sky where the surroundings rise above a point, at several distances."""
    cover, free, point, normal = shade.cover, pixels.free, pixels.point, pixels.normal
    rows, columns, levels = cover.shape
    to_column, to_row = shade.cover_frame[0, 0], shade.cover_frame[1, 1]
    left, top = shade.cover_frame[0, 3] + 0.5, shade.cover_frame[1, 3] + 0.5
    for p in range(num):
        x, y, z, share = point[p, 0], point[p, 1], point[p, 2], free[p]
        for level in range(levels):
            reach = _BLUR_REACH[level]
            column = int(to_column * (x + reach * normal[p, 0]) + left)
            row = int(to_row * (y + reach * normal[p, 1]) + top)
            if 0 <= column < columns and 0 <= row < rows and cover[row, column, level] > z:
                rise = (cover[row, column, level] - z) * (1 / reach)
                # What rises far above leaves the sides open.
                hidden = min(rise, 1.0) * min(max(2 - 0.25 * rise, 0.3), 1.0)
                share *= 1 - _BLUR_WEIGHT[level] * hidden
        free[p] = share


@compiled
def _mix(day: Daylight, pixels: Pixels, num: int, light: Float32) -> None:
    """Sun and sky on the surface's own colour, into a row of the picture."""
    color, normal, sun, lit, free = pixels.color, pixels.normal, day.sun, pixels.lit, pixels.free
    column_of = pixels.column
    for p in range(num):
        up, column = 0.5 + 0.5 * normal[p, 2], column_of[p]
        for k in range(3):
            ambient = _GROUND_AMBIENT[k] + up * (_SKY_AMBIENT[k] - _GROUND_AMBIENT[k])
            light[column, k] = color[p, k] * (lit[p] * sun[k] + free[p] * ambient)


@compiled
def _mirror(
    surfaces: Surfaces, paints: Paints, day: Daylight, pixels: Pixels, num: int, light: Float32
) -> None:  # fmt: skip
    """Add what glossy surfaces mirror: sky, a rough skyline, the road."""
    way, normal, point, sky, noise = pixels.way, pixels.normal, pixels.point, day.sky, paints.noise
    column_of, face, free = pixels.column, pixels.face, pixels.free
    material_of, glosses = surfaces.material, paints.gloss
    scale, mask = len(noise) / 80, len(noise) - 1
    for p in range(num):
        gloss = glosses[material_of[face[p]]]
        if gloss <= 0:
            continue
        along = normal[p, 0] * way[p, 0] + normal[p, 1] * way[p, 1] + normal[p, 2] * way[p, 2]
        grazing = min(max(1 + along, 0.0), 1.0)  # smooth normals may look away from the eye
        shine = gloss + ((1 - gloss) * grazing**5 if gloss > 0.03 else 0.0)
        x, y = way[p, 0] - 2 * along * normal[p, 0], way[p, 1] - 2 * along * normal[p, 1]
        z = way[p, 2] - 2 * along * normal[p, 2]
        i = int(np.floor((x * 9 + point[p, 0] * 0.2) * scale)) & mask
        j = int(np.floor((y * 9 + point[p, 1] * 0.2) * scale)) & mask
        open_sky = z > 0.22 + 0.1 * noise[i, j]
        column, row, s, t = _sky_place(x, y, z, len(sky))
        for k in range(3):
            shown = _ROAD_MIRRORED if z < 0 else _HOUSES_MIRRORED
            if open_sky:
                low = (1 - s) * sky[row, column, k] + s * sky[row, column + 1, k]
                high = (1 - s) * sky[row + 1, column, k] + s * sky[row + 1, column + 1, k]
                shown = (1 - t) * low + t * high
            own = light[column_of[p], k]
            light[column_of[p], k] = own + shine * ((0.3 + 0.7 * free[p]) * shown - own)


@compiled
def _haze(day: Daylight, pixels: Pixels, num: int, light: Float32) -> None:
    """Fade what is far into the colour of the horizon."""
    column_of, distance, horizon = pixels.column, pixels.distance, day.horizon
    for p in range(num):
        # In float32, whose exponential takes a third of the time.
        clear, column = np.exp(distance[p] * np.float32(-1 / _HAZE_M)), column_of[p]
        for k in range(3):
            far = np.float32(0.85) * horizon[k]
            light[column, k] = far + clear * (light[column, k] - far)


@compiled
def _sky_place(x: float, y: float, z: float, size: int) -> tuple[int, int, float, float]:
    """Column and row of a unit direction in the sky table, and the shares of the next ones."""
    rise = max(z, 0.0)
    reach = np.sqrt(x * x + y * y + rise * rise) + rise
    u, v = (x / reach + 1) * size / 2 - 0.5, (y / reach + 1) * size / 2 - 0.5
    column, row = min(max(int(u), 0), size - 2), min(max(int(v), 0), size - 2)
    return column, row, min(max(u - column, 0.0), 1.0), min(max(v - row, 0.0), 1.0)
