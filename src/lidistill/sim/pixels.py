"""The pixels of an image that show a surface, row by row.

Shape letters: W pixels of a row, H x W image.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Int32: TypeAlias = NDArray[np.int32]
UInt32: TypeAlias = NDArray[np.uint32]
Triple: TypeAlias = tuple[np.float32, np.float32, np.float32]


class Pixels(NamedTuple):
    """The pixels of one row that show a layer, W of them at most.

    Neighbours mostly show the same triangle, so the loops over pixels work out what holds for a
    whole triangle only where it changes. Each coordinate is a row of its own and most loops are
    short: so they become vector instructions.
    """

    column: UInt32
    face: UInt32
    """Both without sign, which spares the compiled loops a check for negative indices."""
    way: Float32
    """(3, W) unit directions, street frame."""
    distance: Float32
    """Along ``way``, metres."""
    point: Float32
    """(3, W) metres, street frame."""
    normal: Float32
    """(3, W) unit, on the eye's side."""
    axis: UInt32
    """Which axis the flat triangle faces most; 2 is up or down."""
    color: Float32
    """(3, W) own colour of the surface, with its pattern; in the end the light it sends."""
    lit: Float32
    """Share of the sun."""
    free: Float32
    """Share of the sky."""


class VisibilityBuffer(NamedTuple):
    """What a camera sees at every pixel: which triangle, and how far away."""

    pose: Float64
    """(3, 4) camera to street."""
    intrinsics: Float64
    """(4,) fx, fy, cx, cy."""
    inverse_depth: Float32
    """(H, W) 1 / metres; 0 in the sky."""
    face: Int32
    """(H, W) triangle, -1 in the sky."""


@compiled_exactly
def no_pixels(width: int) -> Pixels:
    """Room for the pixels of one row, to be filled by ``find``."""
    return Pixels(
        column=np.empty(width, dtype=np.uint32),
        face=np.empty(width, dtype=np.uint32),
        way=np.empty((3, width), dtype=np.float32),
        distance=np.empty(width, dtype=np.float32),
        point=np.empty((3, width), dtype=np.float32),
        normal=np.empty((3, width), dtype=np.float32),
        axis=np.empty(width, dtype=np.uint32),
        color=np.empty((3, width), dtype=np.float32),
        lit=np.empty(width, dtype=np.float32),
        free=np.empty(width, dtype=np.float32),
    )


@compiled_exactly
def rays_of_row(buffer: VisibilityBuffer, row: int) -> tuple[Triple, Triple]:
    """The ray through column 0 of a row, one metre deep, street frame, and its change per column.

    In float32, like all that is worked out for every pixel.
    """
    intrinsics, pose = buffer.intrinsics, buffer.pose
    x, y = (0.5 - intrinsics[2]) / intrinsics[0], (row + 0.5 - intrinsics[3]) / intrinsics[1]
    start = (
        np.float32(pose[0, 0] * x + pose[0, 1] * y + pose[0, 2]),
        np.float32(pose[1, 0] * x + pose[1, 1] * y + pose[1, 2]),
        np.float32(pose[2, 0] * x + pose[2, 1] * y + pose[2, 2]),
    )
    step = (
        np.float32(pose[0, 0] / intrinsics[0]),
        np.float32(pose[1, 0] / intrinsics[0]),
        np.float32(pose[2, 0] / intrinsics[0]),
    )
    return start, step


@compiled_exactly
def find(first: int, end: int, buffer: VisibilityBuffer, row: int, pixels: Pixels) -> int:
    """Collect the pixels of a row that show triangles first to end - 1, and say how many."""
    shown, inverse_depth = buffer.face[row], buffer.inverse_depth[row]
    total = 0
    for face in shown:
        total += (face >= first) & (face < end)
    if total == 0:
        return 0
    column_of, face_of, distance = pixels.column, pixels.face, pixels.distance
    num = 0
    for column in range(len(shown)):
        if first <= shown[column] < end:
            column_of[num], face_of[num] = column, shown[column] - first
            distance[num] = inverse_depth[column]
            num += 1
    _aim(buffer, row, pixels, num)
    return num


@compiled_exactly
def _aim(buffer: VisibilityBuffer, row: int, pixels: Pixels, num: int) -> None:
    """Rays to the pixels; ``distance`` holds the inverse depth before."""
    column_of, way, point, distance = pixels.column, pixels.way, pixels.point, pixels.distance
    shorter, pose = pixels.free, buffer.pose  # the first for now
    start, step = rays_of_row(buffer, row)
    for p in range(num):
        along = np.float32(column_of[p])
        x, y = start[0] + along * step[0], start[1] + along * step[1]
        z = start[2] + along * step[2]
        length = np.sqrt(x * x + y * y + z * z)
        distance[p] = length / distance[p]
        shorter[p] = np.float32(1) / length
    for k in range(3):
        eye, begin, change = np.float32(pose[k, 3]), start[k], step[k]
        for p in range(num):
            way[k, p] = (begin + np.float32(column_of[p]) * change) * shorter[p]
            point[k, p] = eye + distance[p] * way[k, p]
