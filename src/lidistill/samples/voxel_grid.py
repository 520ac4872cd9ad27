"""One point per voxel, in lexicographic voxel order, by compiled loops.

Shape letters: N points of a cloud, V voxels that hold at least one of them.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly, compiling

_BLOCK: Final = 256  # points
_KEY_BITS: Final = 63


def first_by_keys(
    points: NDArray[np.floating], size: float, permutation: NDArray[np.integer]
) -> NDArray[np.int64] | None:
    """``voxels.voxel_permuted`` by sorting one number a point.

    Args:
        points: (N, 3) coordinates, metres, contiguous; at least one.
        size: Edge of a voxel, metres.
        permutation: (N,) order in which the points are visited.

    Returns:
        (V,) indices; None where loops are not compiled, or the cloud is too wide for such numbers.

    Raises:
        ValueError: If a coordinate is not finite.
    """
    edge = points.dtype.type(size)
    with np.errstate(over="ignore", invalid="ignore"):
        low, extent = _extent(points)
    bits = [_bits(float(value)) for value in _largest(extent, edge)]
    rank_bits = len(points).bit_length()
    if not compiling() or sum(bits) + rank_bits > _KEY_BITS:
        return None
    shifts = np.array([bits[1] + bits[2], bits[2], 0]) + rank_bits
    keys = _ranked_keys(points, low, edge, shifts, permutation)
    keys.sort()
    return _firsts(keys, rank_bits, permutation)


def _bits(largest: float) -> int:
    """Bits that a voxel's number along one axis takes."""
    return int(np.ceil(np.log2(largest + 1))) + 1


def _largest(extent: NDArray[np.floating], edge: np.floating) -> NDArray[np.floating]:
    """(3,) largest number of a voxel along each axis, not yet an integer: it may not fit one."""
    with np.errstate(over="ignore", invalid="ignore"):
        largest: NDArray[np.floating] = extent / edge
    if not np.isfinite(largest).all():
        msg = "a coordinate is not finite; drop such points before voxelising"
        raise ValueError(msg)
    return largest


def _extent(points: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """(3,) least of every column and (3,) how far it reaches, NaN where one of its numbers is.

    Long rows of many points have vector instructions, rows of three have not.
    """
    whole = len(points) // _BLOCK * _BLOCK
    if not whole:
        return points.min(axis=0), points.max(axis=0) - points.min(axis=0)
    blocks, rest = points[:whole].reshape(-1, 3 * _BLOCK), points[whole:]
    low, high = blocks.min(axis=0).reshape(-1, 3), blocks.max(axis=0).reshape(-1, 3)
    least = np.concatenate([low, rest]).min(axis=0)
    return least, np.concatenate([high, rest]).max(axis=0) - least


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
