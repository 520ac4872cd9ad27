"""What lies where in a kernel: (V, in, out), a matrix for each of V places, x fastest.

Shape letters: V places of a kernel, k of them along each axis.
"""

import torch
from torch import Tensor


def kernel_offsets(kernel_size: int) -> Tensor:
    """(V, 3) int64 where the input cell of each place lies, x, y and z, seen from the output cell.

    Place i lies at (i % k, i // k % k, i // k^2), less k // 2 where k is odd: an odd kernel is
    centred. An even one counts from the lower corner of its cell. This is MinkowskiEngine's order.
    """
    place = torch.arange(kernel_size**3)
    digits = (place, place // kernel_size, place // kernel_size**2)
    first = kernel_size // 2 if kernel_size % 2 else 0
    return torch.stack([digit % kernel_size for digit in digits], 1) - first


def dense_weight(kernel: Tensor) -> Tensor:
    """(out, in, k, k, k) weight of the ``conv3d`` over x, y, z that is equal to a (V, in, out)."""
    return _cubic(kernel).permute(4, 3, 2, 1, 0)


def from_dense_weight(weight: Tensor) -> Tensor:
    """(V, in, out) kernel of a ``conv3d`` weight (out, in, kx, ky, kz)."""
    return weight.permute(4, 3, 2, 1, 0).flatten(0, 2)


def from_spconv(weight: Tensor) -> Tensor:
    """(V, in, out) kernel of a weight as spconv stores it, (out, kx, ky, kz, in)."""
    return weight.permute(3, 2, 1, 4, 0).flatten(0, 2)


def from_z_fastest(kernel: Tensor) -> Tensor:
    """(V, in, out) kernel out of one whose places count z fastest and x slowest."""
    return _cubic(kernel).transpose(0, 2).flatten(0, 2)


def _cubic(kernel: Tensor) -> Tensor:
    """(k, k, k, in, out) view of a kernel, slowest axis first.

    Raises:
        ValueError: If its number of places is no cube.
    """
    size = round(kernel.shape[0] ** (1 / 3))
    if kernel.ndim != 3 or size**3 != kernel.shape[0]:
        msg = f"a kernel has shape {tuple(kernel.shape)}, expected (k^3, in, out)"
        raise ValueError(msg)
    return kernel.unflatten(0, (size, size, size))
