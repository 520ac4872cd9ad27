"""One point per voxel, in lexicographic voxel order.

Shape letters: N points of a cloud, V voxels that hold at least one of them.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly, compiling

_BLOCK: Final = 256  # points
_KEY_BITS: Final = 63


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
    if compiling():
        found = _first_compiled(np.ascontiguousarray(points), size, permutation)
        if found is not None:
            return found
    return first_by_numpy(points, size, permutation)


def first_by_numpy(
    points: NDArray[np.floating], size: float, permutation: NDArray[np.integer]
) -> NDArray[np.int64]:
    """The definition of ``voxel_permuted``, and its way with clouds too wide for the other."""
    voxel = [_voxel_column(column, size) for column in np.ascontiguousarray(points.T)]
    bits = [_bits(float(column.max())) for column in voxel]
    rank_bits = len(points).bit_length()
    if sum(bits) + rank_bits > _KEY_BITS:
        first = _first_by_lexsort(voxel, permutation)
    else:
        key = _packed([column.astype(np.int64) for column in voxel], bits)
        first = _first_by_packed_key(key, permutation, rank_bits)
    return permutation[first].astype(np.int64, copy=False)


def _bits(largest: float) -> int:
    """Bits that a voxel's number along one axis takes."""
    return int(np.ceil(np.log2(largest + 1))) + 1


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


def _first_compiled(
    points: NDArray[np.floating], size: float, permutation: NDArray[np.integer]
) -> NDArray[np.int64] | None:
    """See ``first_by_numpy``; None where numbers are not finite or do not fit."""
    (low, high), edge = _extent(points), points.dtype.type(size)
    with np.errstate(over="ignore", invalid="ignore"):
        largest = (high - low) / edge
    if not np.isfinite(largest).all():
        return None
    bits = [_bits(float(value)) for value in largest]
    rank_bits = len(points).bit_length()
    if sum(bits) + rank_bits > _KEY_BITS:
        return None
    shifts = np.array([bits[1] + bits[2], bits[2], 0]) + rank_bits
    keys = _ranked_keys(points, low, edge, shifts, permutation)
    keys.sort()
    return _firsts(keys, rank_bits, permutation)


def _extent(points: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """(3,) least and (3,) largest of every column, NaN where one of its numbers is.

    Long rows of many points have vector instructions, rows of three have not.
    """
    whole = len(points) // _BLOCK * _BLOCK
    if not whole:
        return points.min(axis=0), points.max(axis=0)
    blocks, rest = points[:whole].reshape(-1, 3 * _BLOCK), points[whole:]
    low, high = blocks.min(axis=0).reshape(-1, 3), blocks.max(axis=0).reshape(-1, 3)
    return np.concatenate([low, rest]).min(axis=0), np.concatenate([high, rest]).max(axis=0)


@compiled_exactly
def _ranked_keys(
    points: NDArray[np.floating],
    low: NDArray[np.floating],
    edge: np.floating,
    shifts: NDArray[np.int64],
    permutation: NDArray[np.integer],
) -> NDArray[np.int64]:
    """(N,) a number for every point, in the order of a permutation; sorts like (x, y, z, rank)."""
    keys = np.empty(len(permutation), dtype=np.int64)
    for rank in range(len(permutation)):
        key = rank
        for axis in range(3):
            offset = points[permutation[rank], axis] - low[axis]
            key |= np.int64(offset / edge) << shifts[axis]
        keys[rank] = key
    return keys


@compiled_exactly
def _firsts(
    keys: NDArray[np.int64], rank_bits: int, permutation: NDArray[np.integer]
) -> NDArray[np.int64]:
    """(V,) point of the lowest rank in every voxel; the keys are sorted."""
    firsts = np.empty(len(keys), dtype=np.int64)
    count, before = 0, -1
    for place in range(len(keys)):
        voxel = keys[place] >> rank_bits
        firsts[count] = permutation[keys[place] & ((1 << rank_bits) - 1)]
        # Written over by the next point unless this one is the first of its voxel.
        count += voxel != before
        before = voxel
    return firsts[:count].copy()
