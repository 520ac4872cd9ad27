"""What is visible from a point, or along a direction: triangles drawn into a depth buffer.

Embree finds the same surfaces ray by ray (``raycast``); for the millions of rays of six cameras
drawing is several times faster, since neighbouring pixels share a triangle's equations.

Shape letters: V vertices, F triangles, B blocks of consecutive triangles, H x W image.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Int32: TypeAlias = NDArray[np.int32]
Int64: TypeAlias = NDArray[np.int64]
Vector: TypeAlias = tuple[float, float, float]

BLOCK = 64
"""Triangles that are left out together where their common box is out of view."""
NEAR = 0.05
"""Nothing closer than this is drawn, metres."""
_ROUNDED_UP = 1 + 1e-6
_SLACK = 1e-3  # pixels, far more than rounding moves an edge


@compiled_exactly
def block_boxes(vertices: Float32, faces: Int32) -> Float32:
    """(B, 2, 3) lowest and highest corner of every ``BLOCK`` consecutive triangles."""
    num = (len(faces) + BLOCK - 1) // BLOCK
    boxes = np.empty((num, 2, 3), dtype=np.float32)
    boxes[:, 0], boxes[:, 1] = np.inf, -np.inf
    for i in range(len(faces)):
        for corner in range(3):
            for k in range(3):
                value = vertices[faces[i, corner], k]
                boxes[i // BLOCK, 0, k] = min(boxes[i // BLOCK, 0, k], value)
                boxes[i // BLOCK, 1, k] = max(boxes[i // BLOCK, 1, k], value)
    return boxes


@compiled_exactly
def draw_view(
    vertices: Float32, faces: Int32, boxes: Float32, camera: Float64, intrinsics: Float64,
    first: int, inverse_depth: Float32, face: Int32,
) -> None:  # fmt: skip
    """Draw triangles as a pinhole camera sees them.

    Args:
        vertices: (V, 3) metres, street frame.
        faces: (F, 3) vertex indices.
        boxes: See ``block_boxes``.
        camera: (3, 4) street to camera.
        intrinsics: (4,) focal lengths and principal point fx, fy, cx, cy, pixels.
        first: Number of the first triangle, added to what is written.
        inverse_depth: (H, W) drawn so far, 1 / metres; 0 where nothing is. Changed.
        face: (H, W) triangle drawn so far, -1 where none. Changed.
    """
    blocks, closest = _blocks_in_view(boxes, camera, intrinsics, face.shape)
    for j in np.argsort(-closest):  # near ones first: they hide many of the others
        block = blocks[j]
        if _is_hidden(boxes[block], camera, intrinsics, closest[j], inverse_depth):
            continue
        for i in range(block * BLOCK, min(len(faces), (block + 1) * BLOCK)):
            a = _seen_from(camera, vertices[faces[i, 0]])
            b = _seen_from(camera, vertices[faces[i, 1]])
            c = _seen_from(camera, vertices[faces[i, 2]])
            u0, u1, v0, v1 = _extent(a, b, c, intrinsics, face.shape)
            if u0 <= u1 and v0 <= v1:
                edges = _edges_in_view(a, b, c, intrinsics)
                _fill(edges, (u0, u1, v0, v1), 1.0 / NEAR, first + i, inverse_depth, face)


@compiled_exactly
def draw_from_above(vertices: Float32, faces: Int32, frame: Float64, height: Float32) -> None:
    """Draw the highest surfaces into a map, along parallel rays.

    Args:
        vertices: (V, 3) metres, street frame.
        faces: (F, 3) vertex indices.
        frame: (3, 4) street to column, row and height.
        height: (H, W) highest so far. Changed.
    """
    no_face = np.empty((0, 0), dtype=np.int32)
    for i in range(len(faces)):
        a = _seen_from(frame, vertices[faces[i, 0]])
        b = _seen_from(frame, vertices[faces[i, 1]])
        c = _seen_from(frame, vertices[faces[i, 2]])
        bounds = (
            max(0, int(np.ceil(min(a[0], b[0], c[0])))),
            min(height.shape[1] - 1, int(np.floor(max(a[0], b[0], c[0])))),
            max(0, int(np.ceil(min(a[1], b[1], c[1])))),
            min(height.shape[0] - 1, int(np.floor(max(a[1], b[1], c[1])))),
        )
        if bounds[0] <= bounds[1] and bounds[2] <= bounds[3]:
            _fill(_edges_from_above(a, b, c), bounds, np.inf, i, height, no_face)


@compiled_exactly
def _seen_from(frame: Float64, point: Float32) -> Vector:
    return _turned(frame, float(point[0]), float(point[1]), float(point[2]))


@compiled_exactly
def _turned(frame: Float64, x: float, y: float, z: float) -> Vector:
    return (
        frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z + frame[0, 3],
        frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z + frame[1, 3],
        frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z + frame[2, 3],
    )


@compiled_exactly
def _blocks_in_view(
    boxes: Float32, camera: Float64, intrinsics: Float64, size_hw: tuple[int, int]
) -> tuple[Int64, Float32]:
    """Blocks whose eight corners do not all lie behind the camera or beyond one edge.

    Returns:
        Their numbers, and the inverse depth that nothing in them exceeds, 1 / metres.
    """
    num, blocks = 0, np.empty(len(boxes), dtype=np.int64)
    closest = np.empty(len(boxes), dtype=np.float32)
    for block in range(len(boxes)):
        behind, left, right, above, below, depth = 0, 0, 0, 0, 0, np.inf
        for k in range(8):
            x, y, z = _corner_from(camera, boxes[block], k)
            u, v = intrinsics[0] * x + intrinsics[2] * z, intrinsics[1] * y + intrinsics[3] * z
            behind += z < NEAR
            left += u < 0
            right += u > size_hw[1] * z
            above += v < 0
            below += v > size_hw[0] * z
            depth = min(depth, z)
        if max(behind, left, right, above, below) < 8:
            blocks[num], closest[num] = block, _ROUNDED_UP / max(depth, NEAR)
            num += 1
    return blocks[:num], closest[:num]


@compiled_exactly
def _is_hidden(
    box: Float32, camera: Float64, intrinsics: Float64, closest: float, inverse_depth: Float32
) -> bool:  # fmt: skip
    """Whether all pixels that a block may cover show something nearer."""
    height, width = inverse_depth.shape
    u0, u1, v0, v1 = np.inf, -np.inf, np.inf, -np.inf
    for k in range(8):
        x, y, z = _corner_from(camera, box, k)
        if z < NEAR:
            return False
        u, v = intrinsics[0] * x / z + intrinsics[2], intrinsics[1] * y / z + intrinsics[3]
        u0, u1, v0, v1 = min(u0, u), max(u1, u), min(v0, v), max(v1, v)
    left, right = int(max(u0 - 1, 0.0)), int(min(u1 + 1, float(width)))
    for row in range(int(max(v0 - 1, 0.0)), int(min(v1 + 1, float(height)))):
        free = 0
        for column in range(left, right):
            free += inverse_depth[row, column] < closest
        if free:
            return False
    return True


@compiled_exactly
def _corner_from(camera: Float64, box: Float32, k: int) -> Vector:
    """One of a box's eight corners, seen from a camera."""
    x, y, z = float(box[k & 1, 0]), float(box[(k >> 1) & 1, 1]), float(box[k >> 2, 2])
    return _turned(camera, x, y, z)


@compiled_exactly
def _extent(
    a: Vector, b: Vector, c: Vector, intrinsics: Float64, size_hw: tuple[int, int]
) -> tuple[int, int, int, int]:
    """First and last column and row whose middle a triangle, cut at the near plane, may cover.

    Most triangles of a street are far and cover none: they are left out here.
    """
    u0, u1, v0, v1 = np.inf, -np.inf, np.inf, -np.inf
    for p, q in ((a, b), (b, c), (c, a)):
        if p[2] >= NEAR:
            u, v = (
                intrinsics[0] * p[0] / p[2] + intrinsics[2],
                intrinsics[1] * p[1] / p[2] + intrinsics[3],
            )
            u0, u1, v0, v1 = min(u0, u), max(u1, u), min(v0, v), max(v1, v)
        if (p[2] >= NEAR) != (q[2] >= NEAR):
            s = (NEAR - p[2]) / (q[2] - p[2])
            u = intrinsics[0] * (p[0] + s * (q[0] - p[0])) / NEAR + intrinsics[2]
            v = intrinsics[1] * (p[1] + s * (q[1] - p[1])) / NEAR + intrinsics[3]
            u0, u1, v0, v1 = min(u0, u), max(u1, u), min(v0, v), max(v1, v)
    if not (u1 >= 0 and v1 >= 0 and u0 <= size_hw[1] and v0 <= size_hw[0]):
        return 0, -1, 0, -1
    return (
        int(max(0.0, np.ceil(u0 - 0.5 - _SLACK))),
        int(min(size_hw[1] - 1.0, np.floor(u1 - 0.5 + _SLACK))),
        int(max(0.0, np.ceil(v0 - 0.5 - _SLACK))),
        int(min(size_hw[0] - 1.0, np.floor(v1 - 0.5 + _SLACK))),
    )


@compiled_exactly
def _edges_in_view(
    a: Vector, b: Vector, c: Vector, intrinsics: Float64
) -> tuple[Vector, Vector, Vector, Vector]:
    """Three functions of column and row that are positive inside, and the inverse depth.

    A function is (per column, per row, at the first pixel's middle). Points behind the camera need
    no cutting: the functions are those of the planes through the eye and the edges.

    References:
        Olano and Greer, "Triangle scan conversion using 2D homogeneous coordinates", 1997.
    """
    na, nb, nc = cross(b, c), cross(c, a), cross(a, b)
    volume = a[0] * na[0] + a[1] * na[1] + a[2] * na[2]
    sign = 1.0 if volume > 0 else -1.0
    ea = _on_pixels(na, sign, intrinsics)
    eb = _on_pixels(nb, sign, intrinsics)
    ec = _on_pixels(nc, sign, intrinsics)
    share = 1.0 / abs(volume) if volume != 0 else 0.0
    inverse = (
        share * (ea[0] + eb[0] + ec[0]),
        share * (ea[1] + eb[1] + ec[1]),
        share * (ea[2] + eb[2] + ec[2]),
    )
    return ea, eb, ec, inverse


@compiled_exactly
def cross(a: Vector, b: Vector) -> Vector:
    """Cross product; swapping the arguments changes exactly the sign."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@compiled_exactly
def _on_pixels(normal: Vector, sign: float, intrinsics: Float64) -> Vector:
    x, y = sign * normal[0] / intrinsics[0], sign * normal[1] / intrinsics[1]
    return x, y, sign * normal[2] + x * (0.5 - intrinsics[2]) + y * (0.5 - intrinsics[3])


@compiled_exactly
def _edges_from_above(
    a: Vector, b: Vector, c: Vector
) -> tuple[Vector, Vector, Vector, Vector]:  # fmt: skip
    """As ``_edges_in_view`` for parallel rays; the last is the height."""
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    sign = 1.0 if area > 0 else -1.0
    share = 1.0 / abs(area) if area != 0 else 0.0
    ea = (sign * (b[1] - c[1]), sign * (c[0] - b[0]), sign * (b[0] * c[1] - c[0] * b[1]))
    eb = (sign * (c[1] - a[1]), sign * (a[0] - c[0]), sign * (c[0] * a[1] - a[0] * c[1]))
    ec = (sign * (a[1] - b[1]), sign * (b[0] - a[0]), sign * (a[0] * b[1] - b[0] * a[1]))
    rise = (
        share * (ea[0] * a[2] + eb[0] * b[2] + ec[0] * c[2]),
        share * (ea[1] * a[2] + eb[1] * b[2] + ec[1] * c[2]),
        share * (ea[2] * a[2] + eb[2] * b[2] + ec[2] * c[2]),
    )
    return ea, eb, ec, rise


@compiled_exactly
def _fill(
    edges: tuple[Vector, Vector, Vector, Vector], bounds: tuple[int, int, int, int],
    limit: float, number: int, nearest: Float32, face: Int32,
) -> None:  # fmt: skip
    """Write a triangle where it is nearer than what is there and inside its three edges."""
    value = edges[3]
    steps = (_reciprocal(edges[0]), _reciprocal(edges[1]), _reciprocal(edges[2]))
    for row in range(bounds[2], bounds[3] + 1):
        low, high = float(bounds[0]), float(bounds[1])
        for edge, step in zip(edges[:3], steps):  # noqa: B905  compiled
            rest = edge[1] * row + edge[2]
            if step > 0:
                low = max(low, np.ceil(-rest * step))
            elif step < 0:
                high = min(high, np.floor(-rest * step))
            elif rest < 0:
                high = -1.0
        start = value[1] * row + value[2]
        for column in range(int(low), int(high) + 1):
            here = np.float32(start + value[0] * column)
            if here > nearest[row, column] and here < limit:
                nearest[row, column] = here
                if face.shape[0] > 0:
                    face[row, column] = number


@compiled_exactly
def _reciprocal(edge: Vector) -> float:
    """One over the change of an edge function per column, 0 where it does not change."""
    return 1.0 / edge[0] if edge[0] != 0 else 0.0
