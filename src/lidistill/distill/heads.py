"""What turns a backbone's features into teacher features.

Shape letters: P points, C channels of the backbone, D channels of the output.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, TypeAlias

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from lidistill.config import Config


class LinearHead(nn.Module):
    """One linear layer, the head of ScaLR."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)

    def forward(self, features_PC: Tensor) -> Tensor:
        """(P, D) outputs."""
        return self.linear(features_PC)


class MLPHead(nn.Module):
    """Two linear layers with a ReLU between, the head of ScaLR+."""

    def __init__(self, in_channels: int, out_channels: int, *, hidden_channels: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(in_channels, hidden_channels)
        self.linear2 = nn.Linear(hidden_channels, out_channels)

    def forward(self, features_PC: Tensor) -> Tensor:
        """(P, D) outputs."""
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
