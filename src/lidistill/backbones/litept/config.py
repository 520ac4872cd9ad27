"""Keys that LitePT and Point Transformer V3 share in recipes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Annotated, Final, Literal, Self, TypeAlias, TypeVar

from pydantic import Field, model_validator

from lidistill.backbones.base import BackboneSettings, NetworkCost
from lidistill.backbones.litept.blocks import BlockPlan
from lidistill.backbones.litept.inputs import DepthOver, LevelRule, SerializedPreparer
from lidistill.backbones.litept.orders import MAX_DEPTH
from lidistill.samples.preparer import Channel, FieldOfView

T = TypeVar("T")
Width: TypeAlias = Annotated[int, Field(ge=1, le=8192)]
Depth: TypeAlias = Annotated[int, Field(ge=1, le=256)]
Heads: TypeAlias = Annotated[int, Field(ge=1, le=1024)]

_MAX_WEIGHTS: Final = 1 << 31
_PRODUCTS: Final = 40  # of a block, in squares of its width, at most: 27 + 1 + 3 + 1 + 8
_MAX_LEVELS: Final = 8
_MAX_CELLS: Final = (1 << MAX_DEPTH) - 2
_CELL_BYTES: Final = 500
"""Of what is prepared for a cell and the coarser ones above it; measured on scans of nuScenes."""
_FLOAT: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A network of serialised attention, block by block."""

    encoder: tuple[tuple[BlockPlan, ...], ...]
    """Of each level, from the finest to the coarsest."""
    decoder: tuple[tuple[BlockPlan, ...], ...]
    """Of each level but the coarsest, from the finest; a level may have no blocks."""
    rotary_base: float | None
    """See ``rotary.rotation``; None: rows are not turned."""


class SerializedKeys(BackboneSettings, ABC):
    """What both networks can be asked for; numbers of levels go from the finest to the coarsest."""

    channels: Annotated[tuple[Channel, ...], Field(min_length=1)] = ("x", "y", "z", "intensity")
    """Input channels: any of ``intensity``, ``x``, ``y``, ``z`` and ``radius``, in any order."""
    intensity_gain: float = 1.0
    """Factor of the standardised intensity; published weights want the one of their own scale."""
    intensity_shift: float = 0.0
    """What is added to it then."""
    grid_size: Annotated[float, Field(gt=0)] = 0.05  # metres, edge of the finest cells
    fov_min: tuple[float, float, float] = (-128.0, -128.0, -16.0)  # metres, corner of what is seen
    fov_max: tuple[float, float, float] = (128.0, 128.0, 16.0)
    widths: Annotated[tuple[Width, ...], Field(min_length=2, max_length=_MAX_LEVELS)]
    depths: tuple[Depth, ...]
    """Blocks of each level."""
    decoder_widths: tuple[Width, ...]
    """Of each level but the coarsest; the first one is the width of the features."""
    patch_size: Annotated[int, Field(ge=1, le=1 << 16)] = 1024
    """Cells that attend to one another."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.3  # of the last block; the first has 0
    norm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Share of a batch in the statistics that BatchNorm evaluates with; with the published one
    they follow within some 300 steps, so runs of fewer need a larger one."""
    shuffle_orders: Literal["never", "training", "always"] = "training"
    """Whether chance says which order a block takes. The authors' code shuffles ``always``, so
    that one scan has other features each time."""
    depth_over: DepthOver = "scan"
    """Whose cells say how many bits an order counts with; the authors' code asks the ``batch``."""
    attention_in_16_bits: bool = False
    """Round what attention is made of as the authors' code does, whatever else is computed in."""

    @property
    def depth(self) -> int:
        """Blocks of the encoder."""
        return sum(self.depths)

    @abstractmethod
    def plan(self) -> Plan:
        """The network, block by block."""

    @abstractmethod
    def rule(self) -> LevelRule:
        """What the levels are prepared for."""

    def inputs(self) -> SerializedPreparer:
        """See ``BackboneSettings.inputs``."""
        return SerializedPreparer(
            channels=self.channels,
            field_of_view=FieldOfView(low=self.fov_min, high=self.fov_max),
            grid_size=self.grid_size,
            rule=self.rule(),
        )

    def cost(self, num_points: int) -> NetworkCost:
        """See ``BackboneSettings.cost``; a pooling fills the features of eight children a cell."""
        row = _FLOAT * len(self.channels) + _CELL_BYTES
        pooled = 8 * _FLOAT * self.widths[1] * (num_points // 2)
        return NetworkCost(inputs=row * num_points, working=pooled)

    def shallow(self) -> tuple[Self, Self, float]:
        """See ``BackboneSettings.shallow``; the deeper one is the network itself.

        Blocks of different levels cost different things, so no number of small steps leads there.
        """
        return self.model_copy(update={"depths": (1,) * len(self.depths)}), self, 1.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        levels = len(self.widths)
        check_count("depths", self.depths, levels, levels)
        check_count("decoder_widths", self.decoder_widths, levels - 1, levels)
        if len(set(self.channels)) != len(self.channels):
            msg = f"channels {', '.join(self.channels)}: name each once"
            raise ValueError(msg)
        check_size(self.depths, self.widths)
        return self

    @model_validator(mode="after")
    def _cells_can_be_counted(self) -> Self:
        extents = [high - low for low, high in zip(self.fov_min, self.fov_max, strict=True)]
        if min(extents) <= 0:
            msg = f"fov_min {self.fov_min} must lie below fov_max {self.fov_max} on every axis"
            raise ValueError(msg)
        if max(extents) / self.grid_size >= _MAX_CELLS:
            msg = (
                f"a field of view of {max(extents):g} m has too many cells of {self.grid_size:g} "
                f"m; expected at most {_MAX_CELLS:,} along each axis"
            )
            raise ValueError(msg)
        return self


def check_count(name: str, values: Sequence[object], expected: int, levels: int) -> None:
    """See that there is one value for each level that has one.

    Raises:
        ValueError: If there are more or fewer.
    """
    if len(values) != expected:
        msg = f"{name} has {len(values)} numbers; with {levels} widths expected {expected}"
        raise ValueError(msg)


def check_size(depths: Sequence[int], widths: Sequence[int]) -> None:
    """See that blocks of these widths are no larger than any network.

    Raises:
        ValueError: If they are.
    """
    weights = sum(_PRODUCTS * d * w**2 for d, w in zip(depths, widths, strict=True))
    if weights > _MAX_WEIGHTS:
        msg = f"this network may have {weights:,} weights; expected at most {_MAX_WEIGHTS:,}"
        raise ValueError(msg)


def check_heads(name: str, heads: Sequence[int], widths: Sequence[int], multiple: int) -> None:
    """See that each width can be shared among its heads.

    Args:
        name: Of the key.
        heads: How many.
        widths: Of as many levels.
        multiple: What the channels of one head have to be a multiple of.

    Raises:
        ValueError: If a width is not so many times a multiple of it.
    """
    for count, width in zip(heads, widths, strict=True):
        if width % (count * multiple):
            msg = (
                f"{name}: {count} heads share {width} channels; expected {multiple} channels a "
                "head, or a multiple of that"
            )
            raise ValueError(msg)


def rising(drop_path: float, count: int) -> list[float]:
    """Rates of stochastic depth from 0 for the first of so many blocks to the highest."""
    return [drop_path * number / max(count - 1, 1) for number in range(count)]


def by_level(values: Sequence[T], depths: Sequence[int]) -> list[Sequence[T]]:
    """Values of all blocks, cut into those of each level."""
    ends = [0, *accumulate(depths)]
    return [values[begin:end] for begin, end in pairwise(ends)]
