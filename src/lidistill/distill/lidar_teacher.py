"""A distilled network as the teacher of another one: lidar alone, at the same points.

Shape letters: Q points that the teacher sees, C channels of its features.
"""

import logging
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import TypeAdapter
from torch import Tensor

from lidistill.backbones import BackboneConfig
from lidistill.config import Config, FrozenPrecision
from lidistill.samples.preparer import Preparer
from lidistill.samples.teacher_inputs import NetworkPoints
from lidistill.teachers import ChannelGroup
from lidistill.training.checkpoint import Checkpoint, load_checkpoint
from lidistill.training.checkpoint_record import WEIGHTS
from lidistill.training.fitting import backbone_weights, build_fitting, stored_config

logger = logging.getLogger(__name__)

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class LidarTeacherConfig(Config):
    """The backbone of a run of this package, whose features are the target.

    References:
        ScaLR (CVPR 2024), section 4, scales the student; C. Bucila et al., "Model compression",
        KDD 2006, and G. Hinton et al., "Distilling the knowledge in a neural network", 2015: a
        small network learns more from a large one than from what that one learned from.
    """

    kind: Literal["lidistill"] = "lidistill"
    run: Path
    """Run folder of a distillation, a probe or a fine-tuning, or one of its checkpoints."""
    precision: FrozenPrecision = "fp32"
    """Of its products; fp32 where the network has no other form, which is said then."""

    def build(self, device: torch.device | str = "cpu") -> "LidarTeacher":
        """Load the weights and put the network on a device.

        Raises:
            CheckpointError: If there is no checkpoint, or it has no 3D network.
        """
        return LidarTeacher(self).to(device)


class LidarTeacher:
    """The features of a frozen 3D network.

    Args:
        config: Whose.
    """

    groups: tuple[ChannelGroup, ...]
    """One: the features have one direction."""

    def __init__(self, config: LidarTeacherConfig) -> None:
        checkpoint = load_checkpoint(config.run)
        weights = backbone_weights(checkpoint)
        settings = _backbone_config(checkpoint)
        network = build_fitting(settings.build, weights, source=checkpoint.path)
        self.precision: FrozenPrecision = config.precision if network.has_16_bits else "fp32"
        if self.precision != config.precision:
            logger.info("teacher.precision=fp32: %s has no other form", network.shown_name)
        self.network = network.for_inference(_DTYPES[self.precision])
        self.preparer: Preparer = settings.inputs()
        self.groups = (ChannelGroup(num_channels=network.num_channels),)
        self.label = f"{config.run.name} ({settings.kind})"
        digest = checkpoint.sha256.get(WEIGHTS, "")[:12]
        self.name = f"lidistill {settings.kind} weights={digest} precision={self.precision}"
        self._device = torch.device("cpu")

    def to(self, device: torch.device | str) -> Self:
        """Move the network, and return this teacher."""
        self.network.to(device)
        self._device = torch.device(device)
        return self

    @torch.no_grad()
    def features(self, points: NetworkPoints) -> Tensor:
        """(Q, C) float32 features of the points of a batch, whatever autocast the caller is in."""
        with torch.autocast(self._device.type, enabled=False):
            return self.network(points.batch()).float()

    def path_taken(self, device: torch.device) -> str:
        """What computes the teacher, in one line."""
        with torch.autocast(device.type, enabled=False):
            path = self.network.path_taken(device, who=f"teacher {self.label}")
        return f"{path} (teacher.precision={self.precision})"


def _backbone_config(checkpoint: Checkpoint) -> BackboneConfig:
    """The network that a run has trained, or stood on."""
    networks = checkpoint.meta.get("networks", {})
    stored: Any = networks.get("backbone") or checkpoint.recipe.get("backbone")
    return stored_config(TypeAdapter(BackboneConfig), stored, checkpoint, "backbone")
