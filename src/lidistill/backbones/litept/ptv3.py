"""Point Transformer V3: convolution and attention in every block, blocks on the way back, too."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lidistill.backbones.litept.blocks import BlockPlan
from lidistill.backbones.litept.config import (
    Depth,
    Heads,
    Plan,
    SerializedKeys,
    Width,
    by_level,
    check_count,
    check_heads,
    check_size,
    rising,
)
from lidistill.backbones.litept.inputs import LevelRule
from lidistill.backbones.litept.network import SerializedNetwork


class PTv3Config(SerializedKeys):
    """Point Transformer V3; the defaults are the published network of 46.2 million weights.

    References:
        Wu et al., "Point Transformer V3: Simpler, Faster, Stronger", CVPR 2024.
    """

    kind: Literal["ptv3"] = "ptv3"
    widths: Annotated[tuple[Width, ...], Field(min_length=2, max_length=8)] = (
        *(32, 64, 128),
        *(256, 512),
    )
    depths: tuple[Depth, ...] = (2, 2, 2, 6, 2)
    heads: tuple[Heads, ...] = (2, 4, 8, 16, 32)
    decoder_widths: tuple[Width, ...] = (64, 64, 128, 256)
    decoder_depths: tuple[Depth, ...] = (2, 2, 2, 2)
    decoder_heads: tuple[Heads, ...] = (4, 4, 8, 16)

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        levels = len(self.widths)
        check_count("heads", self.heads, levels, levels)
        check_count("decoder_depths", self.decoder_depths, levels - 1, levels)
        check_count("decoder_heads", self.decoder_heads, levels - 1, levels)
        check_heads("heads", self.heads, self.widths, multiple=1)
        check_size(self.decoder_depths, self.decoder_widths)
        check_heads("decoder_heads", self.decoder_heads, self.decoder_widths, multiple=1)
        return self

    def plan(self) -> Plan:
        """See ``SerializedKeys.plan``; on the way back the rates of a level fall."""
        up = by_level(rising(self.drop_path, self.depth), self.depths)
        down = by_level(rising(self.drop_path, sum(self.decoder_depths)), self.decoder_depths)
        encoder = zip(self.widths, self.heads, up, strict=True)
        decoder = zip(self.decoder_widths, self.decoder_heads, down, strict=True)
        return Plan(
            encoder=tuple(self._blocks(*level) for level in encoder),
            decoder=tuple(self._blocks(w, h, rates[::-1]) for w, h, rates in decoder),
            rotary_base=None,
        )

    def _blocks(self, width: int, heads: int, rates: Sequence[float]) -> tuple[BlockPlan, ...]:
        in_16_bits = self.attention_in_16_bits
        return tuple(
            BlockPlan(
                width=width, heads=heads, convolution=True, drop_path=rate, in_16_bits=in_16_bits
            )
            for rate in rates
        )

    def rule(self) -> LevelRule:
        """See ``SerializedKeys.rule``."""
        every = (True,) * len(self.widths)
        return LevelRule(
            convolved=every, ordered=every, serialized_per_level=False, over=self.depth_over
        )

    def build(self) -> SerializedNetwork:
        """Network with fresh weights."""
        return SerializedNetwork(self)
