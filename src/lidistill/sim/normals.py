"""Normals at the corners of triangles, so that round bodies look round.

Shape letters: V vertices, F triangles.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly
from lidistill.sim.raster import cross

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Int32: TypeAlias = NDArray[np.int32]
Int64: TypeAlias = NDArray[np.int64]


@compiled_exactly
def corner_normals(vertices: Float32, faces: Int32, crease: float) -> Float32:
    """(F, 3, 3) unit normals that run smoothly over edges flatter than ``crease`` (a cosine)."""
    flat = _area_normals(vertices, faces)
    size = np.empty(len(faces), dtype=np.float64)
    for i in range(len(faces)):  # a sum along an axis takes a second or two to compile
        square = flat[i, 0] * flat[i, 0] + flat[i, 1] * flat[i, 1] + flat[i, 2] * flat[i, 2]
        size[i] = np.sqrt(square) + 1e-20
    start, around = _faces_around(len(vertices), faces)
    normals = np.empty((len(faces), 3, 3), dtype=np.float32)
    for i in range(len(faces)):
        for k in range(3):
            x, y, z = 0.0, 0.0, 0.0
            vertex = faces[i, k]
            for j in around[start[vertex] : start[vertex + 1]]:
                same = flat[i, 0] * flat[j, 0] + flat[i, 1] * flat[j, 1] + flat[i, 2] * flat[j, 2]
                if same > crease * size[i] * size[j]:
                    x, y, z = x + flat[j, 0], y + flat[j, 1], z + flat[j, 2]
            length = np.sqrt(x * x + y * y + z * z) + 1e-30
            normals[i, k, 0], normals[i, k, 1], normals[i, k, 2] = (
                x / length,
                y / length,
                z / length,
            )
    return normals


@compiled_exactly
def _area_normals(vertices: Float32, faces: Int32) -> Float64:
    """(F, 3) normals as long as twice the triangle's area."""
    normals = np.empty((len(faces), 3), dtype=np.float64)
    for i in range(len(faces)):
        a, b, c = vertices[faces[i, 0]], vertices[faces[i, 1]], vertices[faces[i, 2]]
        ab = (float(b[0] - a[0]), float(b[1] - a[1]), float(b[2] - a[2]))
        ac = (float(c[0] - a[0]), float(c[1] - a[1]), float(c[2] - a[2]))
        normals[i, 0], normals[i, 1], normals[i, 2] = cross(ab, ac)
    return normals


@compiled_exactly
def _faces_around(num_vertices: int, faces: Int32) -> tuple[Int64, Int64]:
    """Where each vertex's triangles start in the second array, and that list of triangles."""
    start = np.zeros(num_vertices + 1, dtype=np.int64)
    for i in range(len(faces)):
        for k in range(3):
            start[faces[i, k] + 1] += 1
    start = np.cumsum(start)
    filled = start.copy()
    around = np.empty(3 * len(faces), dtype=np.int64)
    for i in range(len(faces)):
        for k in range(3):
            around[filled[faces[i, k]]] = i
            filled[faces[i, k]] += 1
    return start, around
