"""EfficientNet-Lite without its BatchNorms: each is folded into the convolution before it.

Shape letters: V views, C channels in, D channels out, h x w map size.
"""

import logging
from collections.abc import Iterable
from functools import cache
from typing import Any, Final, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

logger = logging.getLogger(__name__)

_RELU6: Final = (0.0, 6.0)
_How: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]
"""Padding, stride and dilation, each down and across, and the number of groups."""
_Size: TypeAlias = tuple[int, ...]
"""V, C, h and w of a map, and the number of threads."""
_MOST_SIZES: Final = 4
"""Sizes that weights are packed for: images of a camera, and the last few of a drive."""


class FoldedPyramid(nn.Module):
    """The network up to the last block that is asked for, equal up to rounding.

    Args:
        network: ``EfficientNet`` of the package ``efficientnet_lite_pytorch``; it stays as it is.
        blocks: Indices of the blocks whose output is wanted.
        dtype: Of the weights and of the arithmetic; what is added to a product stays float32.
    """

    def __init__(self, network: Any, blocks: Iterable[int], dtype: torch.dtype) -> None:
        super().__init__()
        self._wanted = frozenset(blocks)
        self._dtype = dtype
        self.stem = FoldedConvolution(network._conv_stem, network._bn0, dtype, clips=True)
        self.blocks = nn.ModuleList(
            _FoldedBlock(block, dtype) for block in network._blocks[: max(self._wanted) + 1]
        )

    def runs_on_onednn(self, device: torch.device) -> bool:
        """Whether oneDNN's own operators compute it there."""
        return device.type == "cpu" and _onednn_computes(self._dtype)

    def forward(self, pixels: Tensor) -> dict[int, Tensor]:
        """(V, D, h, w) output of each block that is wanted, of (V, 3, H, W) images."""
        x = self.stem(pixels.to(self._dtype, memory_format=torch.channels_last))
        found = {}
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._wanted:
                found[index] = x
        return found


class _FoldedBlock(nn.Module):
    """More channels, each by itself over its neighbours, fewer channels; added to its input."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__()
        about = block._block_args
        convolutions = [
            FoldedConvolution(block._depthwise_conv, block._bn1, dtype, clips=True),
            FoldedConvolution(block._project_conv, block._bn2, dtype, clips=False),
        ]
        if about.expand_ratio != 1:
            first = FoldedConvolution(block._expand_conv, block._bn0, dtype, clips=True)
            convolutions.insert(0, first)
        self.convolutions = nn.Sequential(*convolutions)
        keeps_shape = about.stride == 1 and about.input_filters == about.output_filters
        self.is_residual = bool(about.id_skip and keeps_shape)

    def forward(self, x: Tensor) -> Tensor:
        """(V, D, h, w) of a map (V, C, h, w)."""
        y: Tensor = self.convolutions(x)
        return y.add_(x) if self.is_residual else y


class FoldedConvolution(nn.Module):
    """A convolution and the BatchNorm behind it as one convolution, then ReLU6 where one follows.

    The network pads a convolution of stride 2 by one pixel more at the right and below, for which
    PyTorch copies the map. A row and a column of zeros before its kernel give the same values with
    as many pixels on every side, which the convolution itself pads.

    On a processor oneDNN computes it, ReLU6 included, with its weights packed beforehand; by
    PyTorch's own way to it, convolutions of 1 x 1 would take another, slower road.

    Args:
        convolution: Without bias; with the ``static_padding`` of the network's package.
        norm: The BatchNorm behind it, with its running mean and variance.
        dtype: Of the weights.
        clips: Whether ReLU6 follows.
    """

    def __init__(self, convolution: Any, norm: Any, dtype: torch.dtype, *, clips: bool) -> None:
        super().__init__()
        scale_D = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        weight_DCkk = convolution.weight.double() * scale_D[:, None, None, None]
        bias_D = norm.bias.double() - norm.running_mean.double() * scale_D
        sides = getattr(convolution.static_padding, "padding", (0, 0, 0, 0))
        weight_DCkk, self.padding = _padded_alike(weight_DCkk, sides)
        weight_DCkk = weight_DCkk.to(dtype).contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight_DCkk, requires_grad=False)
        self.bias = nn.Parameter(bias_D.float(), requires_grad=False)
        self.stride, self.groups = tuple(convolution.stride), convolution.groups
        self.clips = clips
        self._packed: dict[_Size, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """(V, D, h, w) of a map (V, C, h, w) in the dtype of the weights."""
        is_learning = torch.is_grad_enabled() and x.requires_grad
        if x.device.type == "cpu" and not is_learning and _onednn_computes(x.dtype):
            how = (self.padding, self.stride, (1, 1), self.groups)
            return _by_onednn(x, self._packed_for(x, how), self.bias, how, clips=self.clips)
        is_low = x.dtype != torch.float32  # where a bias would be rounded like the weights
        bias = None if is_low else self.bias
        y = F.conv2d(x, self.weight, bias, self.stride, self.padding, groups=self.groups)
        if is_low:
            y += self.bias[:, None, None]
        return F.hardtanh_(y, *_RELU6) if self.clips else y

    def __getstate__(self) -> dict[str, Any]:
        """All but the packed weights, which only oneDNN can read: what a copy gets."""
        return {**self.__dict__, "_packed": {}}

    def _packed_for(self, x: Tensor, how: _How) -> Tensor:
        """The weights as oneDNN wants them for maps of this size, or as they are.

        Packed for another size they would be packed anew in each call, by a way that can take
        twenty times as long as the convolution; as they are, a tenth of it.
        """
        size = (*x.shape, torch.get_num_threads())
        if size not in self._packed:
            if len(self._packed) == _MOST_SIZES:
                return self.weight
            self._packed[size] = _pack(self.weight, how, x)
        return self._packed[size]


def _padded_alike(
    weight: Tensor, sides: tuple[int, int, int, int]
) -> tuple[Tensor, tuple[int, int]]:
    """The kernel and one padding for all sides, of a padding left, right, above and below."""
    left, right, above, below = sides
    if (left, right) != (above, below) or right - left not in {0, 1}:
        msg = f"a padding of {sides} is none of EfficientNet's"
        raise ValueError(msg)
    zeros = right - left
    return F.pad(weight, (zeros, 0, zeros, 0)), (right, right)


def _pack(weight: Tensor, how: _How, x: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, *how, x.shape)
    return packed


def _by_onednn(x: Tensor, packed: Tensor, bias: Tensor, how: _How, *, clips: bool) -> Tensor:
    """A convolution by the operator of PyTorch that ``torch.compile`` uses on processors."""
    after = ("hardtanh", _RELU6, "") if clips else ("none", (), "")
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(x, packed, bias, *how, *after)
    return y


@cache
def _onednn_computes(dtype: torch.dtype) -> bool:
    """Whether PyTorch has these operators here for a dtype, and they give what its own give.

    They are PyTorch's own affair: another version may have others, another processor none.
    """
    random = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(16, 1, 3, 3, generator=random), torch.randn(16, generator=random)
    x = torch.randn(1, 16, 6, 8, generator=random)
    weight, x = (a.to(dtype).contiguous(memory_format=torch.channels_last) for a in (weight, x))
    how = ((0, 0), (1, 1), (1, 1), 16)
    try:
        found = _by_onednn(x, _pack(weight, how, x), bias, how, clips=True)
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        logger.info("oneDNN computes no convolutions in %s here: %s", dtype, error)
        return False
    with torch.autocast("cpu", enabled=False):
        wanted = F.conv2d(x.float(), weight.float(), bias, groups=16).clamp(*_RELU6)
    return torch.allclose(found.float(), wanted, rtol=torch.finfo(dtype).eps, atol=1e-5)
