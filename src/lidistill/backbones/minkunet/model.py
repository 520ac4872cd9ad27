"""MinkUNet: a residual U-Net of sparse convolutions over occupied cells.

Shape letters: M points of a packed batch, U cells of a level, N cells of the next one, C channels.
"""

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lidistill.backbones.base import Backbone, own_inputs
from lidistill.backbones.minkunet.config import MinkUNetKeys
from lidistill.backbones.minkunet.inputs import NUM_STRIDES, MinkInputs
from lidistill.distributed.all_reduce import SyncedBatchNorm
from lidistill.records import Batch
from lidistill.sparse.convolution import FanAxis, SparseConvolution
from lidistill.sparse.kernel_map import KernelMap


class MinkUNetConfig(MinkUNetKeys):
    """See ``MinkUNetKeys``."""

    def build(self) -> "MinkUNet":
        """Network with fresh weights."""
        return MinkUNet(self)


class NormedConvolution(nn.Module):
    """A sparse convolution without bias and the BatchNorm after it."""

    def __init__(
        self, channels: tuple[int, int], num_places: int, *, momentum: float, fan: FanAxis = "in"
    ) -> None:
        super().__init__()
        self.conv = SparseConvolution(*channels, num_places, fan=fan)
        self.norm: nn.Module = SyncedBatchNorm(channels[1], momentum=momentum)

    def forward(self, x_UC: Tensor, kernel_map: KernelMap) -> Tensor:
        """(N, C) normalised sums."""
        return self.norm(self.conv(x_UC, kernel_map))


class Shortcut(nn.Module):
    """What a block of another width than its input adds to its result."""

    def __init__(self, channels: tuple[int, int], *, momentum: float) -> None:
        super().__init__()
        self.linear = nn.Linear(*channels, bias=False)
        self.norm: nn.Module = SyncedBatchNorm(channels[1], momentum=momentum)

    def forward(self, x_UC: Tensor) -> Tensor:
        """(U, C) normalised products."""
        return self.norm(self.linear(x_UC))


class Block(nn.Module):
    """Two convolutions, and the input added to what comes out."""

    def __init__(self, channels: tuple[int, int], config: MinkUNetKeys) -> None:
        super().__init__()
        width, momentum = channels[1], config.block_bn_momentum
        self.first = NormedConvolution(channels, 27, momentum=momentum)
        self.second = NormedConvolution((width, width), 27, momentum=momentum)
        self.shortcut: nn.Module = nn.Identity()
        if channels[0] != width:
            self.shortcut = Shortcut(channels, momentum=config.bn_momentum)

    def forward(self, x_UC: Tensor, same: KernelMap) -> Tensor:
        """(U, C) features of the same cells."""
        hidden_UC = F.relu_(self.first(x_UC, same))
        return F.relu_(self.second(hidden_UC, same) + self.shortcut(x_UC))


class Stage(nn.Module):
    """The way to another level and the blocks there.

    Args:
        channels: Of what comes in, of what is joined on the way up (0: a way down), and of what
            leaves.
        blocks: How many.
        config: Momenta.
    """

    def __init__(self, channels: tuple[int, int, int], blocks: int, config: MinkUNetKeys) -> None:
        super().__init__()
        before, joined, width = channels
        # A way down keeps its width, a way up has already that of its blocks.
        after, fan = (width, "out") if joined else (before, "in")
        self.move = NormedConvolution(
            (before, after), 8, momentum=config.bn_momentum, fan=cast("FanAxis", fan)
        )
        widths = [after + joined, *[width] * blocks]
        self.blocks = nn.ModuleList(Block(pair, config) for pair in pairwise(widths))

    def forward(
        self, x_UC: Tensor, move: KernelMap, same: KernelMap, joined_NC: Tensor | None = None
    ) -> Tensor:
        """(N, C) features of the cells of the other level."""
        x_NC = F.relu_(self.move(x_UC, move))
        if joined_NC is not None:
            x_NC = torch.cat([x_NC, joined_NC], 1)
        for block in self.blocks:
            x_NC = block(x_NC, same)
        return x_NC


class MinkUNet(Backbone):
    """See ``MinkUNetConfig``.

    A point has the features of its cell, and a cell has the input channels of its first point.
    """

    why_no_export = (
        "reads lists of cells and kernel maps, each as long as the scan makes it, where "
        "graphs here have one length, the number of points"
    )

    def __init__(self, config: MinkUNetKeys) -> None:
        super().__init__()
        self.config = config
        widths, blocks = config.widths, config.blocks
        self.num_channels = widths[-1]
        self.num_layers = sum(blocks)
        self.channels = config.channels
        self.stem = NormedConvolution(
            (len(config.channels), config.width),
            config.kernel_size**3,
            momentum=config.bn_momentum,
        )
        before = [config.width, *widths]
        skips = [0] * NUM_STRIDES + before[NUM_STRIDES - 1 :: -1]
        self.stages = nn.ModuleList(
            Stage(channels, number, config)
            for channels, number in zip(
                zip(before, skips, widths, strict=False), blocks, strict=True
            )
        )

    def forward(self, batch: Batch) -> Tensor:
        """See ``Backbone.forward``."""
        inputs = own_inputs(batch, MinkInputs)
        cells_UC = self._cells(self._seen(batch.features.index_select(0, inputs.first)), inputs)
        return cells_UC.index_select(0, inputs.cell).float()

    def _seen(self, features_UF: Tensor) -> Tensor:
        """Input channels of cells, with the intensity in the units that the weights want."""
        scale, shift = self.config.intensity_gain, self.config.intensity_shift
        if "intensity" not in self.channels or (scale, shift) == (1, 0):
            return features_UF
        column = self.channels.index("intensity")
        seen_UF = features_UF.clone()
        seen_UF[:, column] = features_UF[:, column] * scale + shift
        return seen_UF

    def _cells(self, features_UF: Tensor, inputs: MinkInputs) -> Tensor:
        """(U, C) features of the finest cells."""
        wide = inputs.same[0] if inputs.wide is None else inputs.wide
        levels = [F.relu_(self.stem(features_UF, wide))]
        for level in range(NUM_STRIDES):
            moved = self.stages[level](levels[-1], inputs.down[level], inputs.same[level + 1])
            levels.append(moved)
        x_UC = levels[-1]
        for level in reversed(range(NUM_STRIDES)):
            stage = self.stages[2 * NUM_STRIDES - 1 - level]
            up = inputs.down[level].transposed()
            x_UC = stage(x_UC, up, inputs.same[level], levels[level])
        return x_UC

    def for_inference(self, dtype: torch.dtype = torch.float32) -> "MinkUNet":
        """A copy for evaluation only, with every norm folded into the kernel before it.

        Args:
            dtype: Plays no part; products have the format of the caller's autocast.
        """
        folded = cast("MinkUNet", super().for_inference(dtype))
        for module in folded.modules():
            if isinstance(module, NormedConvolution):
                fold(module.conv.kernel, module)
            elif isinstance(module, Shortcut):
                fold(module.linear.weight, module, channel_axis=0)
        return folded

    def path_taken(self, device: torch.device, *, who: str = "student") -> str:
        """See ``Backbone.path_taken``."""
        del device
        return f"{who}: sparse convolutions of PyTorch's own operations"

    def layer_of(self, parameter_name: str) -> int:
        """See ``Backbone.layer_of``; the way to a level belongs to the first block there."""
        part, *rest = self.parts_of(parameter_name)
        if part == "stem":
            return 0
        stage, block = int(rest[0]), int(rest[2]) if rest[1] == "blocks" else 0
        return sum(self.config.blocks[:stage]) + block + 1


class Shift(nn.Module):
    """What is left of a BatchNorm in evaluation once its gain is part of the matrix before it."""

    def __init__(self, shift_C: Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", shift_C)

    def forward(self, x_UC: Tensor) -> Tensor:
        """(U, C) rows, moved."""
        return x_UC + self.get_buffer("shift").to(x_UC.dtype)


@torch.no_grad()
def fold(weight: Tensor, module: NormedConvolution | Shortcut, *, channel_axis: int = -1) -> None:
    """Make the gain of a BatchNorm part of the weight before it, and leave its shift behind it."""
    norm = cast("nn.BatchNorm1d", module.norm)
    gain_C = norm.weight * torch.rsqrt(norm.get_buffer("running_var") + norm.eps)
    weight.mul_(gain_C if channel_axis == -1 else gain_C[:, None])
    module.norm = Shift(norm.bias - gain_C * norm.get_buffer("running_mean"))
