"""The light that every pixel receives: sun with shadows, sky, reflections, haze.

Shape letters: W pixels of a row, S x S table, H x W image.
The inner loops take whole rows: calls that hand over arrays would cost more than the work itself.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly
from lidistill.sim.daylight import HeightMap, Shade
from lidistill.sim.pixels import Pixels, Triple, VisibilityBuffer, find, no_pixels, rays_of_row
from lidistill.sim.surfaces import Paints, Surfaces, orient, paint

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Plane: TypeAlias = tuple[np.float32, np.float32, np.float32, np.float32]
"""Changes per metre of x, y and z, and the value at the origin."""

# Numbers of the inner loops are float32, lest they turn all that they touch into float64.
_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
_DIM = np.float32(0.005)  # so little of the sun needs no shadow
_OFFSET = np.float32(0.05)  # surfaces cast no shadow on what is closer, metres
_LAYERS_APART = np.float32(0.06)  # nor what is so little nearer to the sun, metres
_SIDES_OPEN, _LEAST_HIDDEN = np.float32(0.25), np.float32(0.3)
_COVER_STEP = np.float32(0.125)  # points so close share what hides the sky, metres
_BLUR_REACH = (np.float32(0.5), np.float32(2), np.float32(6))  # metres, of ``Shade.cover``'s levels
_BLUR_WEIGHT = (np.float32(0.5), np.float32(0.35), np.float32(0.3))
_SKY_AMBIENT = (np.float32(0.62), np.float32(0.74), np.float32(0.95))
_GROUND_AMBIENT = (np.float32(0.36), np.float32(0.34), np.float32(0.3))
_ROAD_MIRRORED, _HOUSES_MIRRORED = np.float32(0.16), np.float32(0.22)
_MIRRORED_IN_SHADE = np.float32(0.3)
_HAZE_PER_M, _HAZE_SHARE = np.float32(1 / 420), np.float32(0.85)


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


@compiled_exactly
def light_sky(buffer: VisibilityBuffer, day: Daylight, light: Float32) -> None:
    """Fill the pixels without a surface; ``light`` is (H, W, 3), linear, and changed."""
    sky = day.sky
    for row in range(light.shape[0]):
        shown, start, step = buffer.face[row], *rays_of_row(buffer, row)
        for column in range(len(shown)):
            if shown[column] < 0:
                along = np.float32(column)
                x = start[0] + along * step[0]
                y = start[1] + along * step[1]
                z = start[2] + along * step[2]
                shorter = _ONE / np.sqrt(x * x + y * y + z * z)
                color = _sky_color(sky, x * shorter, y * shorter, z * shorter)
                light[row, column, 0], light[row, column, 1], light[row, column, 2] = color


@compiled_exactly
def light_surfaces(
    surfaces: Surfaces, first: int, buffer: VisibilityBuffer, paints: Paints, day: Daylight,
    shades: tuple[Shade, Shade], light: Float32,
) -> None:  # fmt: skip
    """Fill the pixels that show one layer.

    Args:
        surfaces: The layer.
        first: Number of its first triangle in ``buffer.face``.
        buffer: The image's geometry.
        paints: Materials.
        day: Sun and sky.
        shades: What the fixed and the moving layer hide.
        light: (H, W, 3) linear. Changed.
    """
    pixels = no_pixels(light.shape[1])
    for row in range(light.shape[0]):
        num = find(first, first + len(surfaces.faces), buffer, row, pixels)
        if num > 0:
            orient(surfaces, pixels, num)
            paint(surfaces, paints, pixels, num, 1 / buffer.intrinsics[0])
            _face_sun(surfaces, paints, day, pixels, num)
            for shade in shades:
                if len(shade.sun.height) > 0:
                    _cast_shadow(shade.sun, pixels, num)
            _cover(shades[0], shades[1], pixels, num)
            _mix(day, pixels, num)
            _mirror(surfaces, paints, day, pixels, num)
            _haze(day, pixels, num, light[row])


@compiled_exactly
def _face_sun(
    surfaces: Surfaces, paints: Paints, day: Daylight, pixels: Pixels, num: int
) -> None:  # fmt: skip
    """Sunlight by the angle alone; through leaves some comes from behind."""
    normal, lit, face = pixels.normal, pixels.lit, pixels.face
    x, y, z = np.float32(day.to_sun[0]), np.float32(day.to_sun[1]), np.float32(day.to_sun[2])
    material_of, through = surfaces.material, paints.through
    for p in range(num):
        facing = normal[0, p] * x + normal[1, p] * y + normal[2, p] * z
        lit[p] = facing if facing > _ZERO else -through[material_of[face[p]]] * facing


@compiled_exactly
def _cast_shadow(sun: HeightMap, pixels: Pixels, num: int) -> None:
    """Take away the share of four neighbouring rays to the sun that are blocked."""
    height, point, normal, lit = sun.height, pixels.point, pixels.normal, pixels.lit
    to_column, to_row, to_height = (
        _row_of(sun.frame, 0),
        _row_of(sun.frame, 1),
        _row_of(sun.frame, 2),
    )
    last_row, last_column = np.float32(height.shape[0] - 1), np.float32(height.shape[1] - 1)
    for p in range(num):
        if lit[p] <= _DIM:
            continue
        x, y = point[0, p] + _OFFSET * normal[0, p], point[1, p] + _OFFSET * normal[1, p]
        z = point[2, p] + _OFFSET * normal[2, p]
        column, row = _along(to_column, x, y, z), _along(to_row, x, y, z)
        if not (_ZERO <= column < last_column and _ZERO <= row < last_row):
            continue
        here = _along(to_height, x, y, z) + _LAYERS_APART
        i, j = np.uint32(row), np.uint32(column)
        down, right = row - np.float32(i), column - np.float32(j)
        up, left = _ONE - down, _ONE - right
        share = up * (left * (height[i, j] <= here) + right * (height[i, j + 1] <= here))
        share += down * (left * (height[i + 1, j] <= here) + right * (height[i + 1, j + 1] <= here))
        lit[p] *= share


@compiled_exactly
def _row_of(frame: Float64, k: int) -> Plane:
    return (
        np.float32(frame[k, 0]),
        np.float32(frame[k, 1]),
        np.float32(frame[k, 2]),
        np.float32(frame[k, 3]),
    )


@compiled_exactly
def _along(plane: Plane, x: np.float32, y: np.float32, z: np.float32) -> np.float32:
    return plane[0] * x + plane[1] * y + plane[2] * z + plane[3]


@compiled_exactly
def _cover(fixed: Shade, moving: Shade, pixels: Pixels, num: int) -> None:
    """Take away sky where the surroundings rise above a point, at several distances.

    Points of a triangle that lie closer together than the texels of the maps share one answer.
    """
    free, point, normal, face = pixels.free, pixels.point, pixels.normal, pixels.face
    last, share = -1, _ONE
    x = y = z = _ZERO
    for p in range(num):
        away = abs(point[0, p] - x) + abs(point[1, p] - y) + abs(point[2, p] - z)
        if face[p] != last or away > _COVER_STEP:
            last, x, y, z = face[p], point[0, p], point[1, p], point[2, p]
            share = _open_sky(fixed, x, y, z, normal[0, p], normal[1, p])
            share *= _open_sky(moving, x, y, z, normal[0, p], normal[1, p])
        free[p] = share


@compiled_exactly
def _open_sky(
    shade: Shade, x: np.float32, y: np.float32, z: np.float32, to_x: np.float32, to_y: np.float32
) -> np.float32:
    """Share of the sky over a point with a normal; without branches, which would be guesses."""
    cover, frame = shade.cover, shade.cover_frame
    last_row, last_column = np.float32(cover.shape[0] - 1), np.float32(cover.shape[1] - 1)
    to_column, left = np.float32(frame[0, 0]), np.float32(frame[0, 3] + 0.5)
    to_row, top = np.float32(frame[1, 1]), np.float32(frame[1, 3] + 0.5)
    share = _ONE
    for level in range(3):
        reach = _BLUR_REACH[level]
        # Beyond the map lies its border, which is lower than everything.
        column = min(max(to_column * (x + reach * to_x) + left, _ZERO), last_column)
        row = min(max(to_row * (y + reach * to_y) + top, _ZERO), last_row)
        above = max(cover[np.uint32(row), np.uint32(column), level] - z, _ZERO)
        rise = above * (_ONE / reach)
        # What rises far above leaves the sides open.
        hidden = min(rise, _ONE) * min(max(_TWO - _SIDES_OPEN * rise, _LEAST_HIDDEN), _ONE)
        share *= _ONE - _BLUR_WEIGHT[level] * hidden
    return share


@compiled_exactly
def _mix(day: Daylight, pixels: Pixels, num: int) -> None:
    """Sun and sky on the surface's own colour."""
    color, normal, lit, free = pixels.color, pixels.normal, pixels.lit, pixels.free
    for k in range(3):
        sun, low, change = day.sun[k], _GROUND_AMBIENT[k], _SKY_AMBIENT[k] - _GROUND_AMBIENT[k]
        for p in range(num):
            ambient = low + (_HALF + _HALF * normal[2, p]) * change
            color[k, p] *= lit[p] * sun + free[p] * ambient


@compiled_exactly
def _mirror(
    surfaces: Surfaces, paints: Paints, day: Daylight, pixels: Pixels, num: int
) -> None:  # fmt: skip
    """Add what glossy surfaces mirror: sky, a rough skyline, the road."""
    way, normal, point, sky, noise = pixels.way, pixels.normal, pixels.point, day.sky, paints.noise
    color, face, free = pixels.color, pixels.face, pixels.free
    material_of, glosses = surfaces.material, paints.gloss
    mask = len(noise) - 1
    by_way, by_place = np.float32(9 * len(noise) / 80), np.float32(0.2 * len(noise) / 80)
    for p in range(num):
        gloss = glosses[material_of[face[p]]]
        if gloss <= _ZERO:
            continue
        along = normal[0, p] * way[0, p] + normal[1, p] * way[1, p] + normal[2, p] * way[2, p]
        shine = gloss
        if gloss > np.float32(0.03):
            grazing = min(max(_ONE + along, _ZERO), _ONE)  # smooth normals may look away
            square = grazing * grazing
            shine += (_ONE - gloss) * square * square * grazing
        along *= _TWO
        x, y = way[0, p] - along * normal[0, p], way[1, p] - along * normal[1, p]
        z = way[2, p] - along * normal[2, p]
        i = int(np.floor(x * by_way + point[0, p] * by_place)) & mask
        j = int(np.floor(y * by_way + point[1, p] * by_place)) & mask
        shown = (_ROAD_MIRRORED, _ROAD_MIRRORED, _ROAD_MIRRORED)
        if z > np.float32(0.22) + np.float32(0.1) * noise[i, j]:
            shown = _sky_color(sky, x, y, z)
        elif z >= _ZERO:
            shown = (_HOUSES_MIRRORED, _HOUSES_MIRRORED, _HOUSES_MIRRORED)
        open_sky = _MIRRORED_IN_SHADE + (_ONE - _MIRRORED_IN_SHADE) * free[p]
        for k in range(3):
            color[k, p] += shine * (open_sky * shown[k] - color[k, p])


@compiled_exactly
def _haze(day: Daylight, pixels: Pixels, num: int, light: Float32) -> None:
    """Fade what is far into the colour of the horizon, and put it into a row of the image."""
    column_of, distance, color, clear = pixels.column, pixels.distance, pixels.color, pixels.free
    for p in range(num):
        clear[p] = _fading(distance[p] * _HAZE_PER_M)
    for k in range(3):
        far = _HAZE_SHARE * day.horizon[k]
        for p in range(num):
            color[k, p] = far + clear[p] * (color[k, p] - far)
    for p in range(num):
        for k in range(3):
            light[column_of[p], k] = color[k, p]


@compiled_exactly
def _fading(x: np.float32) -> np.float32:
    """``exp(-x)`` within 1e-4 up to x = 1, without a call: the eighth power of exp(-x / 8)."""
    y = x * np.float32(1 / 8)
    grown = _ONE + y * (_ONE + y * (_HALF + y * np.float32(1 / 6)))
    square = grown * grown
    fourth = square * square
    return _ONE / (fourth * fourth)


@compiled_exactly
def _sky_color(sky: Float32, x: np.float32, y: np.float32, z: np.float32) -> Triple:
    """Between the four texels of the sky table around a unit direction."""
    half, last, rise = np.float32(len(sky) / 2), np.float32(len(sky) - 2), max(z, _ZERO)
    scale = half / (np.sqrt(x * x + y * y + rise * rise) + rise)
    u, v = x * scale + (half - _HALF), y * scale + (half - _HALF)
    column, row = np.uint32(min(max(u, _ZERO), last)), np.uint32(min(max(v, _ZERO), last))
    s = min(max(u - np.float32(column), _ZERO), _ONE)
    t = min(max(v - np.float32(row), _ZERO), _ONE)
    near, far = sky[row], sky[row + 1]
    left, right = (_ONE - s) * (_ONE - t), s * (_ONE - t)
    red = left * near[column, 0] + right * near[column + 1, 0]
    green = left * near[column, 1] + right * near[column + 1, 1]
    blue = left * near[column, 2] + right * near[column + 1, 2]
    left, right = (_ONE - s) * t, s * t
    red += left * far[column, 0] + right * far[column + 1, 0]
    green += left * far[column, 1] + right * far[column + 1, 1]
    blue += left * far[column, 2] + right * far[column + 1, 2]
    return red, green, blue
