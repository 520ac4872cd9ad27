"""What a probe can stand on: a backbone, the raw input channels, or the teacher itself.

Shape letters: N points of a frame, M points of its sample, C channels.
"""

import itertools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lidistill.backbones.base import Backbone
from lidistill.loading.collate import collate
from lidistill.records import Frame, Sample
from lidistill.samples.pairing import pair_view
from lidistill.teachers.target_reader import TargetReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Features of the points of one sample."""

    features: Tensor
    """(M, C) float32."""
    valid: Tensor
    """(M,) bool, whether a point has features at all."""


class Encoder(Protocol):
    """Gives every point of a frame a feature."""

    @property
    def num_channels(self) -> int:
        """C."""
        ...

    def __call__(self, frame: Frame, sample: Sample) -> Encoded:
        """Features of an unaugmented sample of a frame."""
        ...


class BackboneEncoder(nn.Module):
    """A frozen 3D network in evaluation mode.

    Args:
        backbone: The network.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone.eval()
        self.num_channels = backbone.num_channels

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(itertools.chain(self.backbone.parameters(), self.backbone.buffers())).device

    @torch.no_grad()
    def forward(self, frame: Frame, sample: Sample) -> Encoded:
        """See ``Encoder``."""
        del frame
        device = self.device
        with torch.autocast(device.type, enabled=False):  # whatever the caller is in
            features = self.backbone(collate([sample]).to(device)).float().cpu()
        return Encoded(features=features, valid=torch.ones(len(sample), dtype=torch.bool))


class InputEncoder:
    """The input channels themselves: what a network without weights would see.

    Args:
        num_channels: Input channels of the samples.
    """

    def __init__(self, num_channels: int) -> None:
        self.num_channels = num_channels

    def __call__(self, frame: Frame, sample: Sample) -> Encoded:
        """See ``Encoder``."""
        del frame
        return Encoded(features=sample.features, valid=torch.ones(len(sample), dtype=torch.bool))


class TeacherEncoder:
    """The teacher's features at the points a camera sees; their mean where several cameras do.

    Args:
        reader: Reads the teacher at pixels.
        device: Where the teacher is.
    """

    def __init__(self, reader: TargetReader, device: torch.device) -> None:
        self._reader, self._device = reader, device
        self.num_channels = reader.teacher.num_channels

    def __call__(self, frame: Frame, sample: Sample) -> Encoded:
        """See ``Encoder``."""
        points = frame.points[sample.source.numpy()]
        total = torch.zeros(len(points), self.num_channels)
        count = torch.zeros(len(points))
        for view in frame.views:
            if not self._reader.sees(view.name):
                continue
            pairs = pair_view(points, view, self._reader.size_hw)
            where = torch.from_numpy(pairs.index)
            pixels = torch.from_numpy(pairs.uv.astype(np.float32)).to(self._device)
            found = self._reader.at_pixels(view.image_path, pixels, size_hw=view.size_hw)
            total[where] += found.cpu()
            count[where] += 1
        return Encoded(features=total / count.clamp(min=1)[:, None], valid=count > 0)


def seen_by_camera(frame: Frame) -> NDArray[np.bool_]:
    """(N,) whether a point of a frame lies in any of its images."""
    seen = np.zeros(len(frame.points), dtype=bool)
    for view in frame.views:
        seen[pair_view(frame.points, view, view.size_hw).index] = True
    return seen
