"""A second backbone, as small as one can be: a perceptron on each point, without neighbours.

Its one input is the position of each point in its scan, so that packing has an index to shift.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from lidistill.backbones.base import Backbone, BackboneSettings, NetworkCost
from lidistill.samples.preparer import Channel, FieldOfView


@dataclass(frozen=True, slots=True, kw_only=True)
class PointInputs:
    row: torch.Tensor
    """(M,) int64 number of each point in the batch."""

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def collate(cls, parts, starts):
        return cls(row=torch.cat([p.row + s for p, s in zip(parts, starts, strict=True)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPreparer:
    channels: tuple[Channel, ...]
    field_of_view: FieldOfView

    def prepare(self, coords, features):
        assert features.shape == (len(coords), len(self.channels))
        return PointInputs(row=torch.arange(len(coords)))

    def prepare_on_device(self, coords, features):
        assert features.shape == (len(coords), len(self.channels))
        return PointInputs(row=torch.arange(len(coords), device=coords.device))


class PointwiseConfig(BackboneSettings):
    kind: Literal["pointwise"] = "pointwise"
    channels: tuple[Channel, ...] = ("z", "radius", "x")
    width: int = 8
    depth: int = 2
    reach: float = 32.0

    def build(self):
        return Pointwise(self)

    def inputs(self):
        corner = (self.reach, self.reach, self.reach)
        view = FieldOfView(low=tuple(-side for side in corner), high=corner)
        return PointPreparer(channels=self.channels, field_of_view=view)

    def cost(self, num_points):
        return NetworkCost(inputs=(4 * len(self.channels) + 8) * num_points, working=0)

    def shallow(self):
        one, two = (self.model_copy(update={"depth": depth}) for depth in (1, 2))
        return one, two, self.depth - 1


class Pointwise(Backbone):
    def __init__(self, config):
        super().__init__()
        self.num_channels, self.num_layers = config.width, config.depth
        self.channels = config.channels
        self.embed = nn.Linear(len(config.channels), config.width)
        self.layers = nn.ModuleList(
            nn.Linear(config.width, config.width) for _ in range(config.depth)
        )

    def forward(self, batch):
        assert isinstance(batch.inputs, PointInputs)
        tokens = self.embed(batch.features[batch.inputs.row] / 10)
        for layer in self.layers:
            tokens = tokens + torch.tanh(layer(tokens))
        return tokens

    def layer_of(self, parameter_name):
        try:
            self.get_parameter(parameter_name)
        except AttributeError as error:
            raise KeyError(parameter_name) from error
        part, number, *_ = parameter_name.split(".")
        return 0 if part == "embed" else int(number) + 1
