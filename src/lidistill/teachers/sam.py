"""The image encoders of Segment Anything, its second and its third version, as teachers.

Shape letters: V views, C channels, h x w cells.
"""

from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from lidistill.config import Size
from lidistill.errors import ConfigError
from lidistill.teachers.base import ChannelGroup, TeacherMaps, require_multiple
from lidistill.teachers.file_names import not_of, read_network
from lidistill.teachers.from_transformers import build_from_tensors, image_part, load_network
from lidistill.teachers.named import NamedTeacherConfig, settings_digest, weights_of
from lidistill.teachers.sam_names import is_sam, sam_arguments, sam_tensors
from lidistill.teachers.sam_parts import Level, SamEncoder, encoder_of
from lidistill.teachers.transformers_teacher import TransformersTeacher
from lidistill.teachers.vit_parts import positive_layers
from lidistill.teachers.weights import weights_digest


class SamTeacherConfig(NamedTeacherConfig):
    """An encoder of Segment Anything, and which of its maps are the target.

    By default that is the map which masks are made from, behind the neck: 256 channels, one cell
    for 16 pixels (SAM, SAM 2) or 14 (SAM 3).

    References:
        A. Kirillov et al., "Segment Anything", ICCV 2023; N. Ravi et al., "SAM 2", ICLR 2025;
        N. Carion et al., "SAM 3", 2025.
    """

    kind: Literal["sam"] = "sam"
    model: str = "sam2.1-hiera-base-plus"
    strides: tuple[float, ...] = ()  # maps of the neck, pixels a cell; (): that of the masks
    layers: tuple[int, ...] = ()  # instead: after the k-th block of the encoder, from 1; -1: last
    normalize: bool = True  # each map to unit length

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.strides and self.layers:
            msg = "strides are maps of the neck and layers blocks before it; give one of them"
            raise ValueError(msg)
        if 0 in self.layers or len(set(self.layers)) != len(self.layers):
            msg = f"layers {self.layers} must be different; 1 is the first block and -1 the last"
            raise ValueError(msg)
        if len(set(self.strides)) != len(self.strides):
            msg = f"strides {self.strides} must be different"
            raise ValueError(msg)
        return self

    def groups(self, channels: int) -> tuple[ChannelGroup, ...]:
        """What the channels are behind a neck of that width, where no ``layers`` are asked for."""
        return (ChannelGroup(num_channels=channels),) * max(1, len(self.strides))

    def build(self, device: torch.device | str = "cpu") -> "SamTeacher":
        """Load the weights and put the network on a device.

        Raises:
            WeightsNotFoundError: If they are nowhere, with the ways to give them.
            ConfigError: If they are no image encoder of Segment Anything.
        """
        return SamTeacher(self).to(device)


def _load(model: str, *, download: bool) -> nn.Module:
    path = Path(model).expanduser()
    if not path.is_file():
        return load_network(model, download=download)
    state = read_network(path)
    if not is_sam(state):
        raise not_of("a SAM in the names of its authors or of timm", path, state)
    state = sam_tensors(state)
    return image_part(build_from_tensors("SamVision", sam_arguments(state, path), state, path))


class SamTeacher(TransformersTeacher):
    """Maps behind the neck of an encoder, or of its blocks.

    SAM sees images of 1024 x 1024 only: smaller ones are filled up with zeros at the right and
    below, as its authors do, and what lies there is cut off again. SAM 2 takes any multiple of 32,
    SAM 3 only images of its own size.

    Args:
        config: Which weights and maps.
    """

    def __init__(self, config: SamTeacherConfig) -> None:
        source = weights_of(config.model, kind=config.kind)
        network = _load(source, download=config.download)
        self._encoder: SamEncoder = encoder_of(network)
        settings: Any = network.config
        super().__init__(network, config, source=source, family=settings.model_type)
        self.layers: tuple[int, ...] = ()
        if config.layers:
            blocks = self._encoder.blocks
            self.layers = positive_layers(config.layers, len(blocks))
            self._levels = [self._encoder.block_levels[layer - 1] for layer in self.layers]
            del blocks[max(self.layers) :]
        else:
            self._levels = [self._of_neck(s) for s in config.strides or (self._encoder.masks,)]
        self.groups = tuple(ChannelGroup(num_channels=level.channels) for level in self._levels)
        read = f"layers={self.layers}" if self.layers else f"strides={self.strides}"
        self.name = (
            f"sam {settings.model_type} weights={weights_digest(network)} "
            f"settings={settings_digest(settings)} {read} mean={self.mean} std={self.std} "
            f"precision={self.precision}"
        )

    @property
    def strides(self) -> tuple[float, ...]:
        """Pixels from cell to cell of each map."""
        return tuple(level.stride for level in self._levels)

    def _of_neck(self, stride: float) -> Level:
        known = {level.stride: level for level in self._encoder.neck_levels}
        if stride not in known:
            names = ", ".join(f"{s:g}" for s in known)
            msg = f"{self.label} has no map of stride {stride:g} behind its neck; take {names}."
            raise ConfigError(msg)
        return known[stride]

    def check_size(self, size_hw: Size) -> None:
        """See ``Teacher.check_size``."""
        side = self._encoder.side
        if side is None or self._encoder.pads:
            require_multiple(size_hw, of=self._encoder.multiple, teacher=self.label)
        if side is None or size_hw == (side, side):
            return
        if self._encoder.pads and max(size_hw) <= side:
            return
        only = "at most" if self._encoder.pads else "only"
        msg = (
            f"images of {size_hw[0]} x {size_hw[1]} pixels do not fit {self.label}, which takes "
            f"{only} {side} x {side}; set the image size to {side} x {side}."
        )
        raise ConfigError(msg)

    def forward_levels(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """See ``FrozenTeacher.forward_levels``."""
        height, width = pixels.shape[-2:]
        if self._encoder.pads and self._encoder.side is not None:
            side = self._encoder.side
            pixels = F.pad(pixels, (0, side - width, 0, side - height))
        maps = self._block_maps(pixels) if self.layers else self._neck_maps(pixels)
        cut = []
        for level, whole in zip(self._levels, maps, strict=True):
            cut.append(whole[:, :, : round(height / level.stride), : round(width / level.stride)])
        return tuple(cut)

    def _neck_maps(self, pixels: Tensor) -> tuple[Tensor, ...]:
        maps = self._encoder.neck_maps(pixels)
        return tuple(maps[level.stride] for level in self._levels)

    def _block_maps(self, pixels: Tensor) -> tuple[Tensor, ...]:
        taken: dict[int, Tensor] = {}

        def keep(layer: int, _module: nn.Module, _inputs: Any, output: Any) -> None:
            taken[layer] = (output[0] if isinstance(output, tuple) else output).permute(0, 3, 1, 2)

        handles = [
            self._encoder.blocks[layer - 1].register_forward_hook(partial(keep, layer))
            for layer in self.layers
        ]
        try:
            self._encoder.run_blocks(pixels)
        finally:
            for handle in handles:
                handle.remove()
        return tuple(taken[layer] for layer in self.layers)

    def _place(self, levels: tuple[Tensor, ...]) -> TeacherMaps:
        return TeacherMaps(
            levels=levels,
            alignment="centers",
            strides=self.strides,
            origins=tuple(level.origin for level in self._levels),
        )
