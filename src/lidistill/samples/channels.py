"""Input channels by their names, as arrays and as tensors.

Shape letters: M points, F channels.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lidistill.samples.preparer import Channel

_SPATIAL: Final = {"x": 0, "y": 1, "z": 2, "radius": 3}
"""Column of each channel in those that augmentation gives."""


def wants_intensity(channels: Sequence[Channel]) -> bool:
    """Whether a sensor's intensity and its statistics are needed at all."""
    return "intensity" in channels


def stack_channels(
    channels: Sequence[Channel],
    intensity: NDArray[np.floating] | None,
    spatial: NDArray[np.floating],
) -> NDArray[np.float32]:
    """(M, F) float32 channels in the order in which they are asked for.

    Args:
        channels: Names.
        intensity: (M,) standardised; None where no channel is intensity.
        spatial: (M, 4) x, y, z and radius, metres.
    """
    stacked = np.empty((len(spatial), len(channels)), dtype=np.float32)
    for column, name in enumerate(channels):
        if name == "intensity":
            assert intensity is not None  # noqa: S101  made where it is wanted
            stacked[:, column] = intensity
        else:
            stacked[:, column] = spatial[:, _SPATIAL[name]]
    return stacked


def stack_tensors(channels: Sequence[Channel], intensity: Tensor | None, spatial: Tensor) -> Tensor:
    """``stack_channels`` of tensors, on their device."""
    columns = []
    for name in channels:
        column = intensity if name == "intensity" else spatial[:, _SPATIAL[name]]
        assert column is not None  # noqa: S101  made where it is wanted
        columns.append(column)
    return torch.stack(columns, dim=1)
