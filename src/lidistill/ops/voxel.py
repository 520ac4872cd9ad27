"""One point per voxel, in lexicographic voxel order.

Shape letters: N points of a cloud, V voxels that hold at least one of them.
"""

import numpy as np
from numpy.typing import NDArray


def voxel_first(points: NDArray[np.floating], size: float) -> NDArray[np.int64]:
    """Index of the first point of every voxel.

    Args:
        points: (N, 3) finite coordinates, metres; the voxel is computed in their own precision.
        size: Edge of a voxel, metres.

    Returns:
        (V,) indices, ordered by the voxel's x, then y, then z.

    References:
        ScaLR (CVPR 2024), supplementary: voxels of 0.1 m counted from the cloud's minimum.
    """
    return voxel_permuted(points, size, np.arange(len(points)))


def voxel_random(
    points: NDArray[np.floating], size: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Index of a random point of every voxel; see ``voxel_first``."""
    return voxel_permuted(points, size, rng.permutation(len(points)))


def voxel_permuted(
    points: NDArray[np.floating], size: float, permutation: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Index of the point of every voxel that comes first in a given order.

    Args:
        points: (N, 3) finite coordinates, metres.
        size: Edge of a voxel, metres.
        permutation: (N,) order in which the points are visited.

    Returns:
        (V,) indices into ``points``, ordered by the voxel's x, then y, then z.

    Raises:
        ValueError: If the size is not positive or a coordinate is not finite.
    """
    if not size > 0:
        msg = f"voxel size is {size}, expected a positive number of metres"
        raise ValueError(msg)
    if not len(points):
        return np.zeros(0, dtype=np.int64)
    voxel = [_voxel_column(column, size) for column in np.ascontiguousarray(points.T)]
    bits = [int(np.ceil(np.log2(float(column.max()) + 1))) + 1 for column in voxel]
    rank_bits = len(points).bit_length()
    if sum(bits) + rank_bits > 63:
        first = _first_by_lexsort(voxel, permutation)
    else:
        key = _packed([column.astype(np.int64) for column in voxel], bits)
        first = _first_by_packed_key(key, permutation, rank_bits)
    return permutation[first].astype(np.int64, copy=False)


def _voxel_column(column: NDArray[np.floating], size: float) -> NDArray[np.floating]:
    """(N,) number of the voxel along one axis, not yet an integer: it may be too large for one."""
    quotient = (column - column.min()) / column.dtype.type(size)
    if not np.isfinite(quotient).all():
        msg = "a coordinate is not finite; drop such points before voxelising"
        raise ValueError(msg)
    return np.trunc(quotient)


def _packed(voxel: list[NDArray[np.int64]], bits: list[int]) -> NDArray[np.int64]:
    """(N,) one number per voxel that sorts like (x, y, z)."""
    x, y, z = voxel
    return (x << (bits[1] + bits[2])) | (y << bits[2]) | z


def _first_by_packed_key(
    key: NDArray[np.int64], permutation: NDArray[np.integer], rank_bits: int
) -> NDArray[np.int64]:
    """(V,) rank in the permutation of the first point of every key.

    The rank rides in the low bits, so that values are sorted instead of indices, for which NumPy
    has vector instructions; no two are equal, so the sort need not be a stable one.
    """
    rank = np.empty(len(key), dtype=np.int64)
    rank[permutation] = np.arange(len(key))
    ranked = np.sort((key << rank_bits) | rank)
    in_order = ranked >> rank_bits
    starts = np.concatenate([[True], in_order[1:] != in_order[:-1]])
    first: NDArray[np.int64] = ranked[starts] & ((1 << rank_bits) - 1)
    return first


def _first_by_lexsort(
    voxel: list[NDArray[np.floating]], permutation: NDArray[np.integer]
) -> NDArray[np.int64]:
    """The same for clouds too wide for a 63-bit key, such as those with an outlier far away."""
    x, y, z = (column[permutation] for column in voxel)
    order = np.lexsort((z, y, x))
    in_order = np.stack([x, y, z])[:, order]
    changes = (in_order[:, 1:] != in_order[:, :-1]).any(axis=0)
    first: NDArray[np.int64] = order[np.concatenate([[True], changes])]
    return first
