"""Kernels on the cells of a grid beside their definitions, also where some cells are very full.

``gpu_check.py`` runs them.

Shape letters: M points, O cells in use, R cells of these and of their ring, C channels.
"""

import torch
import torch.nn.functional as F
from gpu_kernels import EPS, Kernel, Setting
from torch import Tensor

from lidistill.backbones.waffleiron.flatten_inflate import segment_sum
from lidistill.backbones.waffleiron.plane import Plane, build_plane


def street_plane(num_points: int, device: torch.device) -> Plane:
    """As many points in each cell as whole scans of KITTI have in a vertical plane.

    Squares of exponentially distributed numbers: 60,000 points fill 1,161 cells, the fullest has
    1,183, and 602 pieces go beyond the first 64 points of their cells. SemanticKITTI's 00/000001
    on voxels of 0.1 m: 59,094 points, 1,302 cells, 859 and 606.
    """
    (height, width), num_cells = (256, 32), max(1, num_points // 45)
    rank = torch.arange(num_cells, dtype=torch.float64)
    weight = ((rank + 1) / (num_cells + 1)).log().square()
    ends = (weight.cumsum(0) / weight.sum() * num_points).round()
    drawn = torch.searchsorted(ends, torch.arange(num_points, dtype=torch.float64), right=True)
    drawn = drawn[torch.randperm(num_points, generator=torch.Generator().manual_seed(0))]
    cell = (drawn * (height * width // num_cells)).to(device)
    return build_plane(cell, torch.zeros_like(cell), num_scans=1, size_hw=(height, width))


def sum_kernels(setting: Setting) -> list[Kernel]:
    """Sums of the points of each cell, forward and backward."""
    from lidistill.backbones.waffleiron.gpu.cells import segment_sums  # noqa: PLC0415  Triton is optional

    tokens, _, _, plane, keep = setting
    fills, reads = (plane.fills, plane.fills_offsets), (plane.reads_order, plane.reads_offsets)
    row, factor = 4 * tokens.shape[1], None if keep is None else keep[0]
    return [
        Kernel(
            name="LayerNorm + flatten; two launches",
            run=lambda: segment_sums(
                tokens, *fills, plane.fills_pieces, eps=EPS, share=plane.fills_share
            ),
            twin=lambda: segment_sum(
                F.layer_norm(tokens, tokens.shape[1:], eps=EPS), *fills, weight=plane.fills_share
            ),
            bytes_moved=(len(plane.fills) + plane.num_cells) * row,
        ),
        Kernel(
            name="sums by cell, backward; two launches",
            run=lambda: segment_sums(tokens, *reads, plane.reads_pieces, factor=factor),
            twin=lambda: segment_sum(tokens, *reads) * (1.0 if factor is None else factor[:, None]),
            bytes_moved=(len(plane.reads) + plane.num_cells) * row,
        ),
    ]


def cell_kernels(setting: Setting) -> list[Kernel]:
    """Kernels on cells, float32, with ReLU."""
    from lidistill.backbones.waffleiron.gpu import columns, taps  # noqa: PLC0415  Triton is optional

    tokens, _, weights, plane, _ = setting
    row, cell = 4 * tokens.shape[1], torch.randn(plane.num_cells, tokens.shape[1])
    cell = cell.to(tokens.device)
    ring = taps.gather_taps(cell, plane.sources, weights.kernels[0])
    in_use, around = plane.num_cells * row, len(ring) * row
    index = 8.0 * plane.taps.numel()
    flat = torch.randn_like(cell)
    return [
        Kernel(
            name="first convolution (cells to ring)",
            run=lambda: taps.gather_taps(cell, plane.sources, weights.kernels[0]),
            twin=lambda: _taps_twin(cell, plane.sources, weights.kernels[0]),
            bytes_moved=in_use + around + 8.0 * plane.sources.numel(),
        ),
        Kernel(
            name="activation + second convolution (ring to cells)",
            run=lambda: taps.gather_taps(ring, plane.taps, weights.kernels[1], read="relu"),
            twin=lambda: _taps_twin(ring.relu(), plane.taps, weights.kernels[1]),
            bytes_moved=in_use + around + index,
        ),
        Kernel(
            name="gradient of a convolution's kernel",
            run=lambda: taps.correlate_taps(
                cell, ring, plane.taps, activation="relu", out=torch.empty_like(weights.kernels[1])
            ),
            twin=lambda: torch.stack(
                [(F.pad(ring.relu(), (0, 0, 0, 1))[tap] * cell).sum(0) for tap in plane.taps]
            ),
            bytes_moved=in_use + around + index,
        ),
        Kernel(
            name="gradients of biases, gain and shift; two launches",
            run=lambda: columns.sums_over_cells(ring, cell, flat, cell, plane.filled),
            twin=lambda: torch.stack(
                [ring.sum(0), cell.sum(0), (flat * cell).sum(0), plane.filled @ flat]
            ),
            bytes_moved=3 * in_use + around,
        ),
    ]


def _taps_twin(values: Tensor, taps: Tensor, weights: Tensor) -> Tensor:
    padded = F.pad(values, (0, 0, 0, 1))
    taps = taps.clamp(max=len(values))
    total = torch.zeros(taps.shape[1], values.shape[1], device=values.device)
    for tap, weight in zip(taps, weights, strict=True):
        total.addcmul_(padded[tap], weight)
    return total
