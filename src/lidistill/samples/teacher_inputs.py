"""What teachers want of a sample beside one size of its images: more sizes, points for networks.

Shape letters: M points of a sample, Q of them that a further 3D network takes, P pairs, V views.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

import torch
from torch import Tensor

from lidistill.config import Size
from lidistill.records import Batch, Inputs, Sample
from lidistill.samples.preparer import Preparer


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherRequirements:
    """What the teachers of a run want."""

    own_size: bool = True
    """Images in the size of the sampling."""
    sizes: tuple[Size, ...] = ()
    """Images, and the pixels of pairs, in further sizes."""
    networks: Mapping[str, Preparer] = field(default_factory=dict)
    """What prepares the points for teachers that are 3D networks, by name."""
    pairs: bool = True
    """False: 3D networks alone teach, so that no camera has a part in a sample."""
    cameras: bool = False
    """The names of the cameras."""

    @property
    def more(self) -> bool:
        """Whether a teacher wants anything but images in the size of the sampling."""
        return bool(self.sizes or self.networks or self.cameras)

    def image_sizes(self, own: Size) -> tuple[Size, ...]:
        """The sizes of images to load, given that of the sampling."""
        return ((own,) if self.own_size else ()) + self.sizes


SINGLE_IMAGE_TEACHER: Final = TeacherRequirements()
"""What one teacher of images wants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized:
    """The images of a sample in a further size."""

    uv: Tensor
    """(P, 2) float32 column and row of the pairs; see ``Pairs.uv``."""
    images: Tensor | None
    """(V, 3, H, W) uint8; None where teacher features come from a cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPoints:
    """The points of a sample, or of a batch, as another 3D network takes them."""

    point: Tensor
    """(Q,) int64 index into the points of the sample; what is outside its field is left out."""
    features: Tensor
    """(Q, F) float32, its own input channels."""
    inputs: Inputs
    offsets: Tensor
    """(B + 1,) int64; scan b owns the rows offsets[b] to offsets[b + 1]."""

    @staticmethod
    def of(sample: Sample, point: Tensor) -> "NetworkPoints":
        """Those of one sample that its preparer has made.

        Args:
            sample: Q points.
            point: (Q,) which points of the student's sample they are.
        """
        offsets = torch.tensor([0, len(sample)])
        return NetworkPoints(
            point=point, features=sample.features, inputs=sample.inputs, offsets=offsets
        )

    def batch(self) -> Batch:
        """What to give to the network."""
        return Batch(offsets=self.offsets, features=self.features, inputs=self.inputs)

    @staticmethod
    def collate(parts: Sequence["NetworkPoints"], starts: Sequence[int]) -> "NetworkPoints":
        """Those of samples packed one after the other; see ``Inputs.collate``."""
        lengths = torch.tensor([len(part.point) for part in parts])
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        inputs = [part.inputs for part in parts]
        return NetworkPoints(
            point=torch.cat([p.point + s for p, s in zip(parts, starts, strict=True)]),
            features=torch.cat([part.features for part in parts]),
            inputs=type(inputs[0]).collate(inputs, offsets[:-1].tolist()),
            offsets=offsets,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherInputs:
    """See ``records.ForTeachers``."""

    cameras: tuple[str, ...] = ()
    """Camera of each of the V images."""
    resized: Mapping[Size, Resized] = field(default_factory=dict)
    networks: Mapping[str, NetworkPoints] = field(default_factory=dict)

    @classmethod
    def collate(cls, parts: Sequence[Self], starts: Sequence[int]) -> Self:
        """See ``records.ForTeachers.collate``."""
        resized = {}
        for size in parts[0].resized:
            same = [part.resized[size] for part in parts]
            images = [one.images for one in same if one.images is not None]
            resized[size] = Resized(
                uv=torch.cat([one.uv for one in same]),
                images=torch.cat(images) if images else None,
            )
        return cls(
            cameras=tuple(camera for part in parts for camera in part.cameras),
            resized=resized,
            networks={
                name: NetworkPoints.collate([part.networks[name] for part in parts], starts)
                for name in parts[0].networks
            },
        )


def with_network_points(sample: Sample, networks: Mapping[str, NetworkPoints]) -> Sample:
    """The sample with its points as further networks take them, too."""
    known = teacher_inputs(sample) if sample.for_teachers is not None else TeacherInputs()
    return replace(sample, for_teachers=replace(known, networks=networks))


def teacher_inputs(item: Sample | Batch) -> TeacherInputs:
    """What teachers find in a sample or a batch."""
    found = item.for_teachers
    assert isinstance(found, TeacherInputs)  # noqa: S101  samples are made for the run's teachers
    return found
