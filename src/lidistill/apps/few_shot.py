"""Classes of scans by a head that was fitted in the viewer, on the network of a finished run.

Shape letters: P points, T channels of the teacher.
"""

from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from lidistill.apps.features import FeatureModel
from lidistill.distill.losses import comparable
from lidistill.errors import CheckpointError
from lidistill.segment.few_shot_head import read_few_shot_head, weights_digest


def with_few_shot_head(model: FeatureModel, file: Path) -> FeatureModel:
    """The same network under a head that was fitted in the viewer.

    Args:
        model: Of the run that the head was fitted with.
        file: What the viewer saved.

    Raises:
        FileFormatError: If it is no head.
        CheckpointError: If it was fitted with other weights.
    """
    fitted = read_few_shot_head(file)
    own = weights_digest(model.checkpoint)
    if fitted.checkpoint_sha256 != own:
        msg = (
            f"{file} was fitted with the weights {fitted.checkpoint_sha256[:12]}, "
            f"{model.checkpoint} has {own[:12]}; give the run and checkpoint that it was fitted "
            "with."
        )
        raise CheckpointError(msg)
    projected = fitted.space == "head"
    if projected:
        model.check_one_head()
    head: nn.Module = fitted.network.to(model.device)
    if projected and (model.head is None or model.class_names):
        msg = f"{file} stands on the head of a distillation, and {model.checkpoint} has none."
        raise CheckpointError(msg)
    if projected:
        assert model.head is not None  # noqa: S101  as was just looked at
        head = nn.Sequential(model.head, Comparable(model.head_widths), head)
    channels = sum(model.head_widths) if projected else model.num_channels
    if fitted.num_channels != channels:
        msg = f"{file} is for {fitted.num_channels} channels, {model.checkpoint} has {channels}."
        raise CheckpointError(msg)
    return replace(model, head=head, class_names=fitted.class_names)


class Comparable(nn.Module):
    """See ``comparable``."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self._widths = list(widths)

    def forward(self, features_PT: Tensor) -> Tensor:
        """(P, T)."""
        return comparable(features_PT, self._widths)
