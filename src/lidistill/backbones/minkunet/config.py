"""Keys of a MinkUNet in recipes."""

import math
from abc import ABC
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from lidistill.backbones.base import BackboneSettings, NetworkCost
from lidistill.backbones.minkunet.inputs import Coordinates, MinkPreparer
from lidistill.reading.names import shown
from lidistill.samples.preparer import Channel, FieldOfView
from lidistill.sparse.cells import MAX_CELLS

_MAX_WEIGHTS: Final = 1 << 31  # MinkUNet34C has 38 million
_MAP_BYTES: Final = 120  # per point; see MinkInputs
_MOST: Final = 64  # times the width of the first convolution
_Factor: TypeAlias = Annotated[int, Field(ge=1, le=_MOST)]
Stages: TypeAlias = tuple[_Factor, _Factor, _Factor, _Factor, _Factor, _Factor, _Factor, _Factor]

BLOCKS: Final[dict[int, tuple[int, ...]]] = {
    14: (1,) * 8,
    18: (2,) * 8,
    34: (2, 3, 4, 6, 2, 2, 2, 2),
}
"""Residual blocks of each stage, four on the way down and four on the way up, by depth."""
STAGES: Final[dict[str, Stages]] = {
    "A": (1, 2, 4, 8, 4, 4, 3, 3),
    "C": (1, 2, 4, 8, 8, 4, 3, 3),
}
"""Published widths of the stages, as multiples of that of the first convolution."""


class MinkUNetKeys(BackboneSettings, ABC):
    """All that a MinkUNet can be asked for; ``MinkUNetConfig`` builds it.

    The defaults are the network that SLidR and its successors distil into.

    References:
        Choy, Gwak, Savarese, "4D Spatio-Temporal ConvNets: Minkowski Convolutional Neural
        Networks", CVPR 2019; Sautier et al., "Image-to-Lidar Self-Supervised Distillation for
        Autonomous Driving Data" (SLidR), CVPR 2022, for cells, widths and momenta.
    """

    kind: Literal["minkunet"] = "minkunet"
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)] = ("intensity",)
    """Input channels: any of ``intensity``, ``x``, ``y``, ``z`` and ``radius``, in any order."""
    intensity_gain: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """The network sees the standardised intensity times this, and then plus the shift. SLidR's own
    weights want it as the file has it: deviation and mean of the sensor; for nuScenes 22.04632
    and 18.742355."""
    intensity_shift: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    coordinates: Coordinates = "cylindrical"
    """What cells are counted in: distance, angle and z, or x, y and z."""
    cell_size: Annotated[float, Field(ge=1e-3, le=100)] = 0.1  # metres
    cell_angle: Annotated[float, Field(ge=1e-2, le=90)] = 1.0  # degrees
    fov_min: tuple[float, float, float] = (-128.0, -128.0, -24.0)  # metres; no grid is bounded
    fov_max: tuple[float, float, float] = (128.0, 128.0, 24.0)  # metres
    depth: Literal[14, 18, 34] = 34
    width: Annotated[int, Field(ge=1, le=512)] = 32  # of the first convolution
    stages: Literal["A", "C"] | Stages = "C"
    """Width of each stage as a multiple of ``width``; features have that of the last one."""
    kernel_size: Literal[3, 5] = 3  # of the first convolution
    bn_momentum: Annotated[float, Field(gt=0, le=1)] = 0.05
    block_bn_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Of the norms in blocks but for those of their shortcuts, which the authors left as it was."""

    @field_validator("stages", mode="before")
    @classmethod
    def _check_stages(cls, stages: Any) -> Any:
        factors = stages if isinstance(stages, list | tuple) else ()
        fitting = all(type(one) is int and 1 <= one <= _MOST for one in factors)
        if stages not in (*STAGES,) and not (fitting and len(factors) == len(BLOCKS[14])):
            msg = (
                f"found {shown(stages)}, expected {' or '.join(STAGES)}, or eight whole numbers "
                f"from 1 to {_MOST}, one for each stage"
            )
            raise ValueError(msg)
        return stages

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.channels)) != len(self.channels):
            msg = f"channels {', '.join(self.channels)}: name each once"
            raise ValueError(msg)
        weights = sum(
            54 * blocks * width**2 for blocks, width in zip(self.blocks, self.widths, strict=True)
        )
        if weights > _MAX_WEIGHTS:
            msg = (
                f"a network of depth {self.depth} and width {self.width} has {weights:,} weights "
                f"or more; expected at most {_MAX_WEIGHTS:,}"
            )
            raise ValueError(msg)
        self.inputs()  # refuses an empty field of view
        across = self._cells_across()
        if math.prod(across) >= MAX_CELLS:
            msg = (
                f"a field of view of {' x '.join(f'{count:.3g}' for count in across)} cells, too "
                "many to be numbered; raise cell_size, or set a smaller field of view"
            )
            raise ValueError(msg)
        return self

    def _cells_across(self) -> list[float]:
        """Cells along each axis of what is seen, and some around them."""
        x, y, z = zip(self.fov_min, self.fov_max, strict=True)
        edges = [(high - low) / self.cell_size for low, high in (x, y, z)]
        if self.coordinates == "cylindrical":
            farthest = math.hypot(max(map(abs, x)), max(map(abs, y)))
            edges[:2] = [farthest / self.cell_size, 360 / self.cell_angle]
        return [edge + self.kernel_size for edge in edges]

    @property
    def blocks(self) -> tuple[int, ...]:
        """Residual blocks of each of the eight stages."""
        return BLOCKS[self.depth]

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each of the eight stages."""
        factors = STAGES[self.stages] if isinstance(self.stages, str) else self.stages
        return tuple(factor * self.width for factor in factors)

    def inputs(self) -> MinkPreparer:
        """See ``BackboneSettings.inputs``."""
        return MinkPreparer(
            channels=self.channels,
            field_of_view=FieldOfView(low=self.fov_min, high=self.fov_max),
            coordinates=self.coordinates,
            cell_size=self.cell_size,
            cell_angle=self.cell_angle,
            kernel_size=self.kernel_size,
        )

    def cost(self, num_points: int) -> NetworkCost:
        """See ``BackboneSettings.cost``; as if each point had a cell of its own."""
        row = 4 * len(self.channels) + _MAP_BYTES * (4 if self.kernel_size > 3 else 1)
        gathered = 2 * 4 * max(self.widths[-1] + self.width, self.width)
        return NetworkCost(inputs=row * num_points, working=gathered * num_points)

    def shallow(self) -> tuple[Self, Self, float]:
        """See ``BackboneSettings.shallow``; no stage costs what another does: measured whole."""
        return self, self, 0.0
