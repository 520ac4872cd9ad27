"""Where the encoders of Segment Anything keep their blocks and maps, and where their cells lie."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lidistill.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One map of an encoder."""

    stride: float
    """Pixels from cell to cell."""
    origin: float
    """Pixel under the first cell."""
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SamEncoder:
    """What is read of an image encoder of transformers."""

    blocks: nn.ModuleList
    block_levels: tuple[Level, ...]
    """Of each block's output."""
    neck_levels: tuple[Level, ...]
    """Behind the neck, the finest first."""
    masks: float
    """Stride of the map that masks are made from."""
    multiple: int
    """What height and width of an image must be multiples of, pixels."""
    side: int | None
    """Height and width of the only images it takes, pixels; None for any such multiple."""
    pads: bool
    """Whether its authors fill smaller images up to that size with zeros."""
    neck_maps: Callable[[Tensor], dict[float, Tensor]]
    """(V, C, h, w) maps behind the neck, by their stride."""
    run_blocks: Callable[[Tensor], Any]
    """Runs the blocks that are there; those cut off, and what is behind, do not matter."""


def encoder_of(network: nn.Module) -> SamEncoder:
    """The parts of a network.

    Raises:
        ConfigError: If it is none of the three.
    """
    makers = {
        "SamVisionEncoder": _sam,
        "Sam2VisionModel": _sam2,
        "Sam3VisionModel": _sam3,
    }
    name = type(network).__name__
    if name not in makers:
        msg = (
            f"{name} is no image encoder of Segment Anything; 'kind: sam' takes SAM, SAM 2 and "
            "SAM 3 as transformers saves them."
        )
        raise ConfigError(msg)
    return makers[name](network)


def _sam(network: Any) -> SamEncoder:
    settings = network.config
    patch, blocks = settings.patch_size, network.layers
    neck = Level(stride=patch, origin=(patch - 1) / 2, channels=settings.output_channels)
    inner = Level(stride=patch, origin=(patch - 1) / 2, channels=settings.hidden_size)
    return SamEncoder(
        blocks=blocks,
        block_levels=(inner,) * len(blocks),
        neck_levels=(neck,),
        masks=patch,
        multiple=patch,
        side=settings.image_size,
        pads=True,
        neck_maps=lambda pixels: {neck.stride: network(pixels).last_hidden_state},
        run_blocks=network,
    )


def _sam2(network: Any) -> SamEncoder:
    """Its first convolution has 7 pixels centred on every fourth, pools of two cells follow."""
    settings, hiera = network.config, network.config.backbone_config
    first, pool = hiera.patch_stride[0], hiera.query_stride[0]

    def level(stage: int, channels: int) -> Level:
        stride = first * pool ** min(stage, hiera.num_query_pool_stages)
        return Level(stride=stride, origin=(stride - first) / 2, channels=channels)

    last = level(len(hiera.blocks_per_stage) - 1, 0)
    widths = hiera.embed_dim_per_stage
    stages = [s for s, count in enumerate(hiera.blocks_per_stage) for _ in range(count)]
    neck = tuple(level(s, settings.fpn_hidden_size) for s in range(settings.num_feature_levels))

    def neck_maps(pixels: Tensor) -> dict[float, Tensor]:
        maps = network(pixels).fpn_hidden_states
        return {level.stride: found for level, found in zip(neck, maps, strict=True)}

    return SamEncoder(
        blocks=network.backbone.blocks,
        block_levels=tuple(level(stage, widths[stage]) for stage in stages),
        neck_levels=neck,
        masks=neck[-1].stride,
        multiple=math.lcm(first * hiera.window_size_per_stage[0], int(last.stride)),
        side=None,
        pads=False,
        neck_maps=neck_maps,
        run_blocks=network.backbone,
    )


def _sam3(network: Any) -> SamEncoder:
    settings, vit = network.config, network.config.backbone_config
    patch = vit.patch_size

    def level(stride: float, channels: int) -> Level:
        return Level(stride=stride, origin=(stride - 1) / 2, channels=channels)

    neck = tuple(level(patch / s, settings.fpn_hidden_size) for s in settings.scale_factors)

    def neck_maps(pixels: Tensor) -> dict[float, Tensor]:
        maps = network(pixels).fpn_hidden_states
        return {level.stride: found for level, found in zip(neck, maps, strict=True)}

    return SamEncoder(
        blocks=network.backbone.layers,
        block_levels=(level(patch, vit.hidden_size),) * vit.num_hidden_layers,
        neck_levels=neck,
        masks=patch,
        multiple=patch,
        side=vit.image_size,
        pads=False,
        neck_maps=neck_maps,
        run_blocks=network.backbone,
    )
