"""What every 3D network offers to the rest of the package.

Shape letters: M points of a packed batch, C channels.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from lidistill.config import GridConfig
from lidistill.records import Batch


class Backbone(nn.Module, ABC):
    """A network that gives each point of a packed batch a feature.

    Attributes:
        num_channels: C, the width of the features.
        num_layers: Layers after the embedding.
        grid: The field of view and the grids that samples must be prepared with.
    """

    num_channels: int
    num_layers: int
    grid: GridConfig

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """(M, C) float32 features of the points; scans do not influence each other."""

    def path_taken(self, device: torch.device) -> str:
        """What computes this network there under the caller's autocast, and why; one line."""
        del device
        return "student: PyTorch's own operations"

    @abstractmethod
    def layer_of(self, parameter_name: str) -> int:
        """Depth of a parameter, for layer-wise learning rates: embedding 0, layer l at l + 1.

        Raises:
            KeyError: If this network has no such parameter.
        """
