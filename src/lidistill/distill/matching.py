"""Which channels of the teacher the student is compared with where: at points, or by image.

Shape letters: P pairs, V views, C student channels, T all teacher channels, D channels compared at
points, E channels compared by image.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lidistill.distill.losses import LossForm
from lidistill.errors import ConfigError
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
    """Weight of comparing images; 0 takes class tokens for features of each of their pixels."""
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


def comparable(features_PD: Tensor, widths: list[int]) -> Tensor:
    """Features of points whose cosine means something, of the student or of the teacher.

    With a distance for each group the lengths of the student's groups are not trained, so each is
    brought to length 1; with one distance there is nothing to do.

    Args:
        features_PD: What is compared at points.
        widths: Channels that each distance compares.
    """
    if len(widths) == 1:
        return features_PD
    return torch.cat([F.normalize(part, dim=1) for part in features_PD.split(widths, 1)], 1)


def mean_by_view(x_PC: Tensor, view_P: Tensor) -> tuple[Tensor, Tensor]:
    """Mean feature of the points of each view.

    Args:
        x_PC: Features of paired points.
        view_P: int64 view of each pair.

    Returns:
        (V, C) float32 means, zero for a view without a point, and (V,) how many points each has.
    """
    num_views = int(view_P.max()) + 1
    count_V = torch.bincount(view_P, minlength=num_views)
    sum_VC = x_PC.new_zeros(num_views, x_PC.shape[1], dtype=torch.float32)
    sum_VC = sum_VC.index_add(0, view_P, x_PC.float())
    return sum_VC / count_V.clamp(min=1)[:, None], count_V
