"""Which points lie in the field of view of a backbone.

Shape letters: M points.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lidistill.records import FieldOfView

_MARGIN: Final = 1e-4  # metres that points must lie further inside


def crop_mask(coords: NDArray[np.floating], view: FieldOfView) -> NDArray[np.bool_]:
    """(M,) whether each of the (M, 3) points, metres, lies inside the field of view."""
    inside = np.ones(len(coords), dtype=bool)
    for column, low, high in zip(coords.T, view.low, view.high, strict=True):
        # Whatever their own precision, coordinates are compared in double.
        inside &= column > np.float64(low + _MARGIN)
        inside &= column < np.float64(high - _MARGIN)
    return inside


def crop_tensor(coords: Tensor, view: FieldOfView) -> Tensor:
    """``crop_mask`` of tensors, on their device."""
    position = coords.double()
    low = torch.tensor(view.low, dtype=torch.float64, device=coords.device) + _MARGIN
    high = torch.tensor(view.high, dtype=torch.float64, device=coords.device) - _MARGIN
    return ((position > low) & (position < high)).all(1)
