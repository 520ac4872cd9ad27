"""What turns features into class scores.

Shape letters: P points, C channels of the features, D classes.
"""

from torch import Tensor, nn

from lidistill.distributed.all_reduce import SyncedBatchNorm
from lidistill.few_sizes import by_few_sizes


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
        return by_few_sizes(self.linear, self.norm(features_PC))
