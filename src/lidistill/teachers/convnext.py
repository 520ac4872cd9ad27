"""DINOv3 ConvNeXt as a teacher: a pyramid of maps at 4 to 32 pixels a cell.

Shape letters: V views, C channels, h x w cells.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import field_validator
from torch import Tensor, nn

from lidistill.config import Size
from lidistill.errors import ConfigError
from lidistill.teachers.base import ChannelGroup, TeacherMaps, require_multiple
from lidistill.teachers.dinov3_names import convnext_arguments, convnext_tensors, is_convnext
from lidistill.teachers.file_names import not_of, read_network
from lidistill.teachers.from_transformers import build_from_tensors, load_network
from lidistill.teachers.named import NamedTeacherConfig, settings_digest, weights_of
from lidistill.teachers.transformers_teacher import TransformersTeacher
from lidistill.teachers.weights import weights_digest

STAGES = {4: 0, 8: 1, 16: 2, 32: 3}
"""Index of the stage that ends at each stride."""


class ConvNextTeacherConfig(NamedTeacherConfig):
    """A DINOv3 ConvNeXt, read at several strides.

    References:
        O. Siméoni et al., "DINOv3", 2025; Z. Liu et al., "A ConvNet for the 2020s", CVPR 2022.
    """

    kind: Literal["convnext"] = "convnext"
    model: str = "dinov3-convnext-tiny"
    strides: tuple[int, ...] = (8, 16, 32)  # pixels
    final_norm: bool = False  # apply the network's last norm to the map of stride 32
    class_token: bool = False  # beside the maps: the normed mean over the image at stride 32
    normalize: bool = True  # each map to unit length

    @field_validator("strides")
    @classmethod
    def _check_strides(cls, strides: tuple[int, ...]) -> tuple[int, ...]:
        if not strides or len(set(strides)) != len(strides) or not set(strides) <= set(STAGES):
            msg = f"strides {strides} must be different ones of {tuple(STAGES)}"
            raise ValueError(msg)
        return strides

    def groups(self, channels: tuple[int, ...]) -> tuple[ChannelGroup, ...]:
        """What the channels are, of a network with that many at each stride."""
        maps = tuple(ChannelGroup(num_channels=channels[STAGES[s]]) for s in self.strides)
        pooled = ChannelGroup(num_channels=channels[-1], whole_image=True)
        return (*maps, pooled) if self.class_token else maps

    def build(self, device: torch.device | str = "cpu") -> "ConvNextTeacher":
        """Load the weights and put the network on a device.

        Raises:
            WeightsNotFoundError: If they are nowhere, with the ways to give them.
            ConfigError: If they are of no DINOv3 ConvNeXt.
        """
        return ConvNextTeacher(self).to(device)


def _load(model: str, *, download: bool) -> nn.Module:
    path = Path(model).expanduser()
    if not path.is_file():
        return load_network(model, download=download)
    state = read_network(path)
    if not is_convnext(state):
        raise not_of("a ConvNeXt in the names of DINOv3's code or of timm", path, state)
    state = convnext_tensors(state, path)
    return build_from_tensors("DINOv3ConvNext", convnext_arguments(state, path), state, path)


class ConvNextTeacher(TransformersTeacher):
    """The output of the chosen stages.

    Patches and steps between stages do not overlap, and all other convolutions see as far to the
    left as to the right: a cell lies in the middle of the pixels it covers.

    Args:
        config: Which weights and strides.
    """

    def __init__(self, config: ConvNextTeacherConfig) -> None:
        source = weights_of(config.model, kind=config.kind)
        network: Any = _load(source, download=config.download)
        settings = network.config
        if type(network).__name__ != "DINOv3ConvNextModel" or len(settings.depths) != len(STAGES):
            msg = (
                f"{type(network).__name__} is no DINOv3 ConvNeXt of four stages, which "
                "'kind: convnext' takes as transformers saves it."
            )
            raise ConfigError(msg)
        super().__init__(network, config, source=source, family=settings.model_type)
        self.config = config
        self._stages: nn.ModuleList = network.model.stages
        if not config.class_token:
            del self._stages[max(STAGES[stride] for stride in config.strides) + 1 :]
        self.groups = config.groups(tuple(settings.hidden_sizes))
        self.name = (
            f"convnext {settings.model_type} weights={weights_digest(network)} "
            f"settings={settings_digest(settings)} strides={config.strides} "
            f"final_norm={config.final_norm} class={config.class_token} "
            f"mean={self.mean} std={self.std} precision={self.precision}"
        )

    def check_size(self, size_hw: Size) -> None:
        """See ``Teacher.check_size``."""
        deepest = 2 ** (len(self._stages) + 1)
        require_multiple(size_hw, of=deepest, teacher=self.label)

    def forward_levels(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """See ``FrozenTeacher.forward_levels``."""
        network: Any = self.network
        maps: dict[int, Tensor] = {}
        x = pixels
        for index, stage in enumerate(self._stages):
            x = stage(x)
            maps[2 ** (index + 2)] = x
        if self.config.final_norm and 32 in maps:
            maps[32] = network.layer_norm(maps[32].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        levels = tuple(maps[stride] for stride in self.config.strides)
        if not self.config.class_token:
            return levels
        pooled = network.layer_norm(network.pool(x).flatten(1))
        return *levels, pooled[:, :, None, None]

    def _place(self, levels: tuple[Tensor, ...]) -> TeacherMaps:
        strides = [float(stride) for stride in self.config.strides]
        strides += [32.0] * (len(levels) - len(strides))  # the pooled map has one cell
        return TeacherMaps(
            levels=levels,
            alignment="centers",
            strides=tuple(strides),
            origins=tuple((stride - 1) / 2 for stride in strides),
        )
