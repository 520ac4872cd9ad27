"""What turns features into class scores.

Shape letters: P points, C channels of the features, D classes.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lidistill.distributed.all_reduce import SyncedBatchNorm
from lidistill.row_padding import with_padded_rows

_FARTHEST_MEAN: Final = 30.0
"""Deviations that a channel's mean may lie away from 0 where norm and matrix become one. Float32
products of features that are not centred lose as many digits as this has."""


class SegmentationHead(nn.Module):
    """BatchNorm and a linear layer that starts at zero, for probes and fine-tuning."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = SyncedBatchNorm(in_channels)
        self.linear = nn.Linear(in_channels, num_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features_PC: Tensor) -> Tensor:
        """(P, D) class scores."""
        if self._is_frozen(features_PC):
            return self._of_frozen(features_PC)
        return with_padded_rows(self.linear, self.norm(features_PC))

    def _is_frozen(self, features_PC: Tensor) -> bool:
        """Whether it learns, on a CPU in float32, and what is below it does not."""
        plain = features_PC.device.type == "cpu" and features_PC.dtype == torch.float32
        learns = self.training and not features_PC.requires_grad
        return plain and learns and not torch.is_autocast_enabled("cpu")

    def _of_frozen(self, features_PC: Tensor) -> Tensor:
        """(P, D) class scores by one product: the norm goes into the matrix.

        The features are read three times, for their moments, the scores and the gradient of the
        matrix, instead of once for each step of the norm and of its gradient.
        """
        mean_C, variance_C = self.norm.batch_moments(features_PC)
        inverse_C = torch.rsqrt(variance_C + self.norm.eps)
        if (mean_C.abs() * inverse_C).max() > _FARTHEST_MEAN:
            rest_C = (mean_C - mean_C.float()).float()  # what float32 loses of a mean far away
            centred_PC = (features_PC - mean_C.float()).sub_(rest_C)
            gain_C = inverse_C.float() * self.norm.weight
            return self.linear(centred_PC * gain_C + self.norm.bias)
        weight_DC, gain_C = self.linear.weight.double(), self.norm.weight.double() * inverse_C
        shift_C = self.norm.bias.double() - mean_C * gain_C
        bias_D = self.linear.bias.double() + weight_DC @ shift_C
        return F.linear(features_PC, (weight_DC * gain_C).float(), bias_D.float())
