"""Between sampling and a backbone: its input channels, field of view and index tables."""

from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lidistill.records import Inputs

Channel: TypeAlias = Literal["intensity", "x", "y", "z", "radius", "height", "intensity_rank"]
"""An input channel: intensity, standardised by its sensor's statistics; coordinates and distance
from the sensor, metres; height over the ground around the point, metres (``ground.py``); rank of
the intensity in its scan (``intensity.ranked``)."""
CHANNELS: tuple[Channel, ...] = ("intensity", "x", "y", "z", "radius")
"""Those of the published networks, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldOfView:
    """The box that the points of a sample lie in, in the lidar frame."""

    low: tuple[float, float, float]
    """Lower corner, metres."""
    high: tuple[float, float, float]
    """Upper corner, metres."""

    def __post_init__(self) -> None:
        if any(low >= high for low, high in zip(self.low, self.high, strict=True)):
            msg = f"low {self.low} must lie below high {self.high} on every axis"
            raise ValueError(msg)

    def __str__(self) -> str:
        """The corners in words."""
        return f"{self.low} to {self.high} m"


class Preparer(Protocol):
    """Makes the inputs of one backbone from the points of a sample.

    A backbone's configuration makes it. It is small and picklable, for it goes to the worker
    processes that make samples.
    """

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Input channels that the backbone wants, in this order."""
        ...

    @property
    def field_of_view(self) -> FieldOfView:
        """What samples are cropped to."""
        ...

    def prepare(self, coords: NDArray[np.floating], features: NDArray[np.float32]) -> Inputs:
        """Inputs of one sample, on the CPU.

        Args:
            coords: (M, 3) metres, inside the field of view, after augmentation.
            features: (M, F) input channels.
        """
        ...

    def prepare_on_device(self, coords: Tensor, features: Tensor) -> Inputs:
        """The same from tensors and on their device; integers are equal to those of the CPU."""
        ...


@runtime_checkable
class PacksTables(Protocol):
    """A preparer whose network derives tables from a whole batch, and can be spared it."""

    def with_batch_tables(self) -> Self:
        """The same preparer; packing its samples on the CPU makes those tables, too."""
        ...


def for_batches_on(device: torch.device, preparer: Preparer) -> Preparer:
    """The preparer of batches that are packed by workers and computed on a device.

    Tables are made where samples are packed only for a GPU, which Python would wait for several
    times a batch to know their sizes. On the CPU the network makes them as fast as a worker does,
    and sending them costs another half of that (docs/experiments.md, 29 November 2026).
    """
    if device.type != "cpu" and isinstance(preparer, PacksTables):
        return preparer.with_batch_tables()
    return preparer
