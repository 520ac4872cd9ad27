"""A WaffleIron as a graph of plain operators, for runtimes outside PyTorch.

What is sparse in the network is in index tables, and these are inputs: gathering, adding up in the
cells of a dense grid, dense convolutions and matrix products are left. No shape is computed, so
any number of points runs. One scan at a time.

Shape letters: N points, K neighbours, F input channels, C channels, G grids, A cells of the
largest grid, H x W cells of a grid.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lidistill.backbones.base import ExportForm, own_inputs
from lidistill.backbones.waffleiron.folded import FoldedEmbedding, FoldedLayer, FoldedWaffleIron
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.inputs import WaffleInputs
from lidistill.backbones.waffleiron.plane import COUNT_EPS, Flatten
from lidistill.records import Batch

INPUTS = ("points", "neighbors", "cells", "inverse_count")
_GROUP = 4
"""Neighbours at a time: all at once would take K times the memory of a layer."""


class EmbeddingGraph(nn.Module):
    """``FoldedEmbedding`` of plain operators.

    Differences of coordinates are taken in float32 before anything is rounded: 16 bits cannot tell
    points 5 cm apart at 64 m.

    Args:
        embed: Folded weights.
        dtype: Number format after the differences.
    """

    def __init__(self, embed: FoldedEmbedding, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        for name in ("point", "point_bias"):  # of coordinates, which need their float32
            self.register_buffer(name, embed.get_buffer(name).clone())
        for name in ("difference", "difference_bias", "neighbor", "merge"):
            self.register_buffer(name, embed.get_buffer(name).to(dtype))

    def forward(self, points_NF: Tensor, neighbors_NK: Tensor) -> Tensor:
        """(N, C) embedding."""
        get = self.get_buffer
        point_NC = F.linear(points_NF, get("point"), get("point_bias"))
        minus_N1F = points_NF.reshape(-1, 1, points_NF.shape[1]) * -1.0
        best = []
        for start in range(0, neighbors_NK.shape[1], _GROUP):
            edges_NgF = F.embedding(neighbors_NK[:, start : start + _GROUP], points_NF) + minus_N1F
            affine = get("difference").t(), get("difference_bias")
            hidden_NgC = F.relu(edges_NgF.to(self.dtype) @ affine[0] + affine[1])
            best.append((hidden_NgC @ get("neighbor").t()).amax(1, keepdim=True))
        near_NC = torch.cat(best, 1).amax(1)
        return point_NC.to(self.dtype) + near_NC @ get("merge").t()


class LayerGraph(nn.Module):
    """``FoldedLayer`` of plain operators.

    Args:
        layer: Folded weights.
        size_hw: Cells of its grid.
        plane: Number of its grid.
        dtype: Number format.
    """

    def __init__(
        self, layer: FoldedLayer, size_hw: tuple[int, int], plane: int, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.size_hw, self.plane = size_hw, plane
        self.eps, self.activation = layer.form.eps, layer.form.activation
        channels = len(layer.get_buffer("gain"))
        for name in ("gain", "shift", "first", "first_bias", "second", "second_bias", "biases"):
            self.register_buffer(name, layer.get_buffer(name).to(dtype))
        kernels = layer.get_buffer("kernels").transpose(1, 2).reshape(2, channels, 1, 3, 3)
        self.register_buffer("kernels", kernels.to(dtype))
        self.register_buffer("zeros", torch.zeros(1, channels, dtype=torch.int64))
        self.register_buffer("blank", torch.zeros(1, channels))

    def forward(self, tokens_NC: Tensor, cells_GN: Tensor, inverse_count_AG: Tensor) -> Tensor:
        """(N, C) points after the layer."""
        get, (height, width) = self.get_buffer, self.size_hw
        channels = tokens_NC.shape[1]
        share_A1 = inverse_count_AG[: height * width, self.plane : self.plane + 1]
        # Broadcasting makes what scatter wants without a shape that depends on N.
        index_NC = cells_GN[self.plane].reshape(-1, 1) + get("zeros")
        empty_AC = share_A1 * get("blank")
        # Sums are float32 in every format: a cell may hold a thousand points, and onnxruntime's
        # CPU adds no others.
        spread_NC = self._norm(tokens_NC, affine=True).float()
        cells_AC = (empty_AC.scatter_add(0, index_NC, spread_NC) * share_A1).to(tokens_NC.dtype)
        grid = cells_AC.t().reshape(1, channels, height, width)
        kernels, biases = get("kernels"), get("biases")
        grid = F.conv2d(grid, kernels[0], biases[0], padding=1, groups=channels)
        grid = F.conv2d(self._activate(grid), kernels[1], biases[1], padding=1, groups=channels)
        tokens_NC = tokens_NC + grid.reshape(channels, -1).t().index_select(0, cells_GN[self.plane])
        hidden_NC = F.linear(self._norm(tokens_NC), get("first"), get("first_bias"))
        return tokens_NC + F.linear(self._activate(hidden_NC), get("second"), get("second_bias"))

    def _norm(self, x_NC: Tensor, *, affine: bool = False) -> Tensor:
        gain, shift = self.get_buffer("gain"), self.get_buffer("shift")
        if self.eps < 0:  # a BatchNorm, of which all is folded
            return x_NC * gain + shift if affine else x_NC
        if not affine:
            return F.layer_norm(x_NC, x_NC.shape[1:], eps=self.eps)
        return F.layer_norm(x_NC, x_NC.shape[1:], gain, shift, self.eps)

    def _activate(self, x: Tensor) -> Tensor:
        return F.relu(x) if self.activation == "relu" else F.gelu(x)


class WaffleGraph(nn.Module):
    """A whole network of plain operators; see the module.

    Args:
        folded: The network for inference, in float32.
        dtype: Number format of everything but the first differences and the output.
    """

    def __init__(self, folded: FoldedWaffleIron, dtype: torch.dtype) -> None:
        super().__init__()
        planes = folded.grid.planes
        self.embed = EmbeddingGraph(folded.embed, dtype)
        self.layers = nn.ModuleList()
        for number, layer in enumerate(folded.layers):
            assert isinstance(layer, FoldedLayer)  # noqa: S101  it holds no others
            plane = number % len(planes)
            self.layers.append(LayerGraph(layer, planes[plane], plane, dtype))
        self.eval().requires_grad_(requires_grad=False)

    def forward(
        self, points: Tensor, neighbors: Tensor, cells: Tensor, inverse_count: Tensor
    ) -> Tensor:
        """(N, C) float32 features.

        Args:
            points: (N, F) float32 input channels.
            neighbors: (N, K) int64 nearest other points.
            cells: (G, N) int64 row-major cell of each point in each grid.
            inverse_count: (G, A) float32 what the points of a cell count: one over their number,
                0 where there is none, and behind the end of a smaller grid.
        """
        tokens_NC = self.embed(points, neighbors)
        inverse_count_AG = inverse_count.t()
        for layer in self.layers:
            tokens_NC = layer(tokens_NC, cells, inverse_count_AG)
        return tokens_NC.float()


def graph_feed(batch: Batch, grid: GridConfig, flatten: Flatten) -> tuple[Tensor, ...]:
    """Inputs of a ``WaffleGraph`` from a batch of one scan, in the order of ``INPUTS``.

    Raises:
        ValueError: If it holds several scans.
    """
    if batch.num_scans != 1:
        msg = f"a graph runs one scan at a time, found {batch.num_scans}"
        raise ValueError(msg)
    inputs = own_inputs(batch, WaffleInputs)
    largest = max(height * width for height, width in grid.planes)
    count = torch.stack([torch.bincount(cells, minlength=largest) for cells in inputs.cells.t()])
    divisor = count.clamp(min=1).double() if flatten == "mean" else count.double() + COUNT_EPS
    inverse = (count > 0) / divisor
    return batch.features, inputs.neighbors[:, 1:], inputs.cells.t().contiguous(), inverse.float()


def export_form(folded: FoldedWaffleIron, num_neighbors: int, dtype: torch.dtype) -> ExportForm:
    """See ``Backbone.export_form``."""
    grid, flatten = folded.grid, folded.flatten
    return ExportForm(
        network=WaffleGraph(folded, dtype),
        inputs=INPUTS,
        point_axes={"points": 0, "neighbors": 0, "cells": 1},
        feed=lambda batch: graph_feed(batch, grid, flatten),
        settings={
            "channels": list(folded.channels),
            "num_neighbors": num_neighbors,
            "fov_min": list(grid.fov_min),
            "fov_max": list(grid.fov_max),
            "axes": list(grid.axes),
            "planes": [list(size) for size in grid.planes],
            "count_eps": 0.0 if flatten == "mean" else COUNT_EPS,
        },
    )
