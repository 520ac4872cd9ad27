"""What a student has to match, and the heads that turn its features into that.

Shape letters: P points or pairs, C channels of the backbone, T of the teacher, D of them that are
compared at points, E by image.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from lidistill.config import Config
from lidistill.distill.losses import LossForm, comparable
from lidistill.errors import ConfigError
from lidistill.row_padding import with_padded_rows
from lidistill.teachers import ChannelGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """How a teacher's channels become targets.

    Raises:
        ConfigError: If there is no channel for what is to be compared.
    """

    groups: tuple[ChannelGroup, ...]
    """What the teacher's channels are, in their order."""
    per_layer: bool = False
    """Whether every group has a distance of its own; else all together have one."""
    class_token: float = 0.0
    """Weight of the class-token loss, one term an image. With 0 a class token counts as part of the
    feature of each pixel of its image instead."""
    loss: LossForm = "distance"

    def __post_init__(self) -> None:
        if self.class_token and not self.widths(by_image=True):
            msg = (
                "target.class_token needs a teacher that gives its class token; set "
                "teacher.class_token=true (a vit), or target.class_token=0."
            )
            raise ConfigError(msg)
        if not self.widths(by_image=False):
            msg = "nothing is left to match points with; set teacher.patch_tokens=true."
            raise ConfigError(msg)

    def widths(self, *, by_image: bool) -> list[int]:
        """Channels that each distance compares, at points or by image."""
        own = [g.num_channels for g in self.groups if self._is_by_image(g) == by_image]
        return own if self.per_layer or not own else [sum(own)]

    def separate(self, target_PT: Tensor) -> tuple[Tensor, Tensor]:
        """(P, D) what points are compared with, and (P, E) what images are."""
        parts = target_PT.split([group.num_channels for group in self.groups], dim=1)
        images = [self._is_by_image(group) for group in self.groups]
        if not any(images):
            return target_PT, target_PT[:, :0]
        at_points = [part for part, whole in zip(parts, images, strict=True) if not whole]
        by_image = [part for part, whole in zip(parts, images, strict=True) if whole]
        return torch.cat(at_points, dim=1), torch.cat(by_image, dim=1)

    def comparable(self, features_PD: Tensor) -> Tensor:
        """See the function ``comparable``."""
        return comparable(features_PD, self.widths(by_image=False))

    def _is_by_image(self, group: ChannelGroup) -> bool:
        return group.whole_image and self.class_token > 0


class LinearHead(nn.Module):
    """One linear layer, the head of ScaLR."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)

    def forward(self, features_PC: Tensor) -> Tensor:
        """(P, D) outputs."""
        return with_padded_rows(self.linear, features_PC)


class MLPHead(nn.Module):
    """Two linear layers with a ReLU between, the head of ScaLR+."""

    def __init__(self, in_channels: int, out_channels: int, *, hidden_channels: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(in_channels, hidden_channels)
        self.linear2 = nn.Linear(hidden_channels, out_channels)

    def forward(self, features_PC: Tensor) -> Tensor:
        """(P, D) outputs."""
        return with_padded_rows(self._layers, features_PC)

    def _layers(self, features_PC: Tensor) -> Tensor:
        return self.linear2(F.relu(self.linear1(features_PC)))


class SeparateHeads(nn.Module):
    """One head for each group of output channels, side by side.

    Args:
        heads: In the order of the groups.
    """

    def __init__(self, heads: Iterable[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, features_PC: Tensor) -> Tensor:
        """(P, D) outputs of all groups."""
        return torch.cat([head(features_PC) for head in self.heads], dim=1)


class _DistillationHeadConfig(Config):
    """What all heads between a backbone and a teacher share."""

    per_layer: bool = False
    """A head and a distance for each layer or stride of the teacher, not one for all together."""


class LinearHeadConfig(_DistillationHeadConfig):
    """See ``LinearHead``."""

    kind: Literal["linear"] = "linear"

    def build(self, in_channels: int, out_channels: int) -> LinearHead:
        """Head between a backbone and what it has to predict."""
        return LinearHead(in_channels, out_channels)


class MLPHeadConfig(_DistillationHeadConfig):
    """See ``MLPHead``."""

    kind: Literal["mlp"] = "mlp"
    hidden_channels: Annotated[int, Field(ge=1, le=1 << 16)] = 2048

    def build(self, in_channels: int, out_channels: int) -> MLPHead:
        """Head between a backbone and what it has to predict."""
        return MLPHead(in_channels, out_channels, hidden_channels=self.hidden_channels)


HeadConfig: TypeAlias = Annotated[LinearHeadConfig | MLPHeadConfig, Field(discriminator="kind")]
"""Any head between a backbone and a teacher."""


def build_head(config: HeadConfig, in_channels: int, widths: Sequence[int]) -> nn.Module:
    """A head for several groups of output channels.

    Args:
        config: Kind of each head.
        in_channels: C.
        widths: Channels of each group; a single one gives the plain head.
    """
    heads = [config.build(in_channels, width) for width in widths]
    return heads[0] if len(heads) == 1 else SeparateHeads(heads)


HEADS = {
    "linear": LinearHeadConfig,
    "mlp": MLPHeadConfig,
}
"""Configuration of each head, by its ``kind``."""
