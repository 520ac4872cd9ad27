"""What every 3D network offers to the rest of the package.

Shape letters: M points of a packed batch, C channels.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn

from lidistill.config import Config
from lidistill.errors import ConfigError
from lidistill.records import Batch
from lidistill.samples.preparer import Channel, Preparer

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportForm:
    """A network as tensors in, features out, for a runtime outside PyTorch."""

    network: nn.Module
    """From the inputs, in their order, to (M, C) float32 features of one scan."""
    inputs: tuple[str, ...]
    """Their names."""
    point_axes: Mapping[str, int]
    """Which axis of an input counts the points; an input that is not named has none."""
    feed: Callable[[Batch], tuple[Tensor, ...]]
    """The inputs out of a batch of one scan."""
    settings: Mapping[str, Any]
    """What makes the inputs from points, as JSON values, for whoever has no lidistill."""


class Backbone(nn.Module, ABC):
    """A network that gives each point of a packed batch a feature.

    Attributes:
        num_channels: C, the width of the features.
        num_layers: Layers after the embedding.
        channels: Input channels that it wants, in this order.
        has_16_bits: Whether ``for_inference`` has a form with products in 16 bits.
        why_no_export: What a network without a form for other runtimes says of itself.
    """

    has_16_bits: ClassVar[bool] = False
    why_no_export: ClassVar[str] = "has no form without operators of its own"
    num_channels: int
    num_layers: int
    channels: tuple[Channel, ...]

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """(M, C) float32 features of the points; scans do not influence each other.

        The batch is one that the preparer of the network's configuration has made.

        Raises:
            TypeError: If it was made for another network.
        """

    def for_inference(self, dtype: torch.dtype = torch.float32) -> "Backbone":
        """A copy for evaluation only; later training leaves it.

        Args:
            dtype: Number format of matrix products, where the network has a form for it.
        """
        del dtype
        return copy.deepcopy(self).requires_grad_(requires_grad=False).eval()

    def export_form(self, dtype: torch.dtype = torch.float32) -> ExportForm:
        """This network of plain operators, for runtimes outside PyTorch.

        Args:
            dtype: Number format inside; features stay in float32.

        Raises:
            ConfigError: If it has no such form.
        """
        del dtype
        msg = (
            f"{self.shown_name} {self.why_no_export}, so it cannot become ONNX; export a "
            "waffleiron, or leave --onnx out."
        )
        raise ConfigError(msg)

    @property
    def shown_name(self) -> str:
        """What users call this network."""
        return type(self).__name__

    def path_taken(self, device: torch.device, *, who: str = "student") -> str:
        """What computes this network there under the caller's autocast, and why; one line.

        Args:
            device: Where it computes.
            who: What the line calls the network.
        """
        del device
        return f"{who}: PyTorch's own operations"

    def parts_of(self, parameter_name: str) -> list[str]:
        """What lies between the dots of a parameter's name.

        Raises:
            KeyError: If this network has no such parameter.
        """
        try:
            self.get_parameter(parameter_name)
        except AttributeError as error:
            raise KeyError(parameter_name) from error
        return parameter_name.split(".")

    @abstractmethod
    def layer_of(self, parameter_name: str) -> int:
        """Depth of a parameter, for layer-wise learning rates: embedding 0, layer l at l + 1.

        Raises:
            KeyError: If this network has no such parameter.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCost:
    """Memory of a network on one scan that its weights and saved activations do not tell, bytes."""

    inputs: int
    """Input channels and what the preparer makes."""
    working: int
    """What a layer fills and drops again."""


class BackboneSettings(Config, ABC):
    """Configuration of a network; ``kind`` is its name in ``BACKBONES``."""

    kind: str

    @abstractmethod
    def build(self) -> Backbone:
        """Network with fresh weights."""

    @abstractmethod
    def inputs(self) -> Preparer:
        """What makes the inputs of this network; weights are not needed for it."""

    @abstractmethod
    def cost(self, num_points: int) -> NetworkCost:
        """Memory of one scan of so many points."""

    @abstractmethod
    def shallow(self) -> tuple[Self, Self, float]:
        """Two small networks from which the memory of this one is extrapolated, and how far.

        Returns:
            A shallow one, a deeper one and n: this network costs as much as the shallow one, plus
            n times what the deeper one costs more.
        """


def own_inputs(batch: Batch, kind: type[T]) -> T:
    """The inputs of a batch that was prepared for networks of one kind.

    Args:
        batch: Of scans.
        kind: What the preparer of such a network makes.

    Raises:
        TypeError: If it was prepared for another kind of network.
    """
    if not isinstance(batch.inputs, kind):
        msg = f"the batch holds {type(batch.inputs).__name__}, this network needs {kind.__name__}"
        raise TypeError(msg)
    return batch.inputs
