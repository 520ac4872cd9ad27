"""LitePT: convolutions where cells are small, attention where they are large."""

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
    check_heads,
    rising,
)
from lidistill.backbones.litept.inputs import LevelRule
from lidistill.backbones.litept.network import SerializedNetwork


class LitePTConfig(SerializedKeys):
    """LitePT; the defaults are the published LitePT-S of 12.7 million weights.

    References:
        Yue et al., "LitePT: Lighter Yet Stronger Point Transformer", 2025.
    """

    kind: Literal["litept"] = "litept"
    widths: Annotated[tuple[Width, ...], Field(min_length=2, max_length=8)] = (
        *(36, 72, 144),
        *(252, 504),
    )
    depths: tuple[Depth, ...] = (2, 2, 2, 6, 2)
    decoder_widths: tuple[Width, ...] = (72, 72, 144, 252)
    heads: Annotated[tuple[Heads, ...], Field(min_length=1)] = (14, 28)
    """Of the coarsest levels, which have attention; those before have convolutions."""
    rotary_base: Annotated[float, Field(gt=1)] = 100.0

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if len(self.heads) > len(self.widths):
            msg = f"heads has {len(self.heads)} numbers, for {len(self.widths)} widths"
            raise ValueError(msg)
        check_heads("heads", self.heads, self.widths[-len(self.heads) :], multiple=6)
        return self

    def _heads(self) -> tuple[int, ...]:
        """H of each level, 0 where it has convolutions."""
        return (0,) * (len(self.widths) - len(self.heads)) + self.heads

    def plan(self) -> Plan:
        """See ``SerializedKeys.plan``."""
        rates = by_level(rising(self.drop_path, self.depth), self.depths)
        levels = zip(self.widths, self._heads(), rates, strict=True)
        encoder = tuple(
            tuple(
                BlockPlan(
                    width=width,
                    heads=heads,
                    convolution=not heads,
                    drop_path=rate,
                    in_16_bits=self.attention_in_16_bits,
                )
                for rate in of_level
            )
            for width, heads, of_level in levels
        )
        return Plan(
            encoder=encoder,
            decoder=((),) * len(self.decoder_widths),
            rotary_base=self.rotary_base,
        )

    def rule(self) -> LevelRule:
        """See ``SerializedKeys.rule``."""
        attending = tuple(heads > 0 for heads in self._heads())
        convolved = tuple(not attends for attends in attending)
        return LevelRule(
            convolved=convolved, ordered=attending, serialized_per_level=True, over=self.depth_over
        )

    def build(self) -> SerializedNetwork:
        """Network with fresh weights."""
        return SerializedNetwork(self)
