"""What a student learns from one teacher: the teacher's target, and how far the student is from it.

Shape letters: M points, P pairs that the teacher sees, V views; C student channels, T teacher
channels, D of them compared at points, E by image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from lidistill.distill.heads import Matching
from lidistill.distill.losses import distillation_loss, mean_by_view
from lidistill.distill.spread import TargetSpread
from lidistill.distributed.all_reduce import sum_over_ranks, world_size
from lidistill.records import Batch
from lidistill.teachers.centering import TargetCenter


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherOutput:
    """What a teacher says about points of a batch."""

    features: Tensor
    """(P, T) float32, without gradient."""
    point: Tensor
    """(P,) int64 index into the points of the batch."""
    view: Tensor | None
    """(P,) int64 index of an image; None where the teacher sees none."""
    num_views: int | None = None
    """V; None: no view is known beyond the last of a pair."""
    num_counted: int
    """How many pairs (or points, where there are no pairs) a step counts in this batch."""
    is_part: bool = False
    """Whether the teacher may see fewer than are counted, here or in another process."""


def at_pairs(batch: Batch, features_PT: Tensor) -> TeacherOutput:
    """What a teacher says that sees all images of a batch."""
    pairs = batch.pairs
    assert pairs is not None  # noqa: S101  images have them
    return TeacherOutput(
        features=features_PT,
        point=pairs.point,
        view=pairs.view,
        num_views=len(batch.image_paths) or None,
        num_counted=len(pairs),
    )


def num_counted(batch: Batch) -> int:
    """How much a batch weighs in a step: its pairs, or its points where there are none."""
    return len(batch.features) if batch.pairs is None else len(batch.pairs)


BatchTeacher: TypeAlias = Callable[[Batch], TeacherOutput]
"""What the frozen teacher says about a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a student is trained towards for one teacher."""

    output: TeacherOutput
    points: Tensor
    """(P, D)."""
    images: Tensor
    """(P, E), alike for all points of an image."""


@dataclass(slots=True, kw_only=True)
class TeacherObjective:
    """One teacher, and the parts of the student that are for it alone."""

    matching: Matching
    """Which channels of the teacher are compared with what."""
    head: nn.Module
    """From the backbone's channels to those that points are compared with."""
    center: TargetCenter | None = None
    """Mean of the teacher's features; None leaves them raw."""
    class_head: nn.Module | None = None
    """From the backbone's channels to those that images are compared with."""
    spread: TargetSpread | None = None
    """The unit of the loss; None where there is no other teacher."""
    teacher: BatchTeacher | None = None
    """Set before the first step; neither trained nor saved, so no module. What only looks at the
    weights needs none."""

    def target(self, batch: Batch, *, update_statistics: bool) -> Target:
        """Ask the teacher, and bring what it says into the form of the student's targets.

        Args:
            batch: The scans.
            update_statistics: Whether mean and spread learn from this batch, as in training; one of
                which the teacher sees nothing does not count among theirs.
        """
        assert self.teacher is not None  # noqa: S101  set before the first step
        output = self.teacher(batch)
        if update_statistics and self._has_pairs_on_any_rank(output):
            if self.center is not None:
                self.center.update(output.features, sum_over_ranks)
            if self.spread is not None:
                self.spread.update(output.features, lambda x_PT: self._targets(x_PT)[0])
        target_PD, target_PE = self._targets(output.features)
        return Target(output=output, points=target_PD, images=target_PE)

    def _targets(self, features_PT: Tensor) -> tuple[Tensor, Tensor]:
        """(P, D) targets of points and (P, E) of images, with the mean as it is known so far."""
        centred_PT = features_PT if self.center is None else self.center(features_PT)
        return self.matching.separate(centred_PT)

    def compare(
        self, features_MC: Tensor, target: Target, *, reduce_over_ranks: bool
    ) -> dict[str, Tensor]:
        """Loss and mean cosine over the pairs that the teacher sees, and over its images.

        Args:
            features_MC: Of all points of the batch.
            target: What was asked.
            reduce_over_ranks: Whether other processes have further pairs of this step.
        """
        output = target.output
        if not len(output.point):
            nothing = 0 * self._heads_output(features_MC[:1])
            self._share(
                output, features_MC.device, reduce_over_ranks=reduce_over_ranks
            )  # as the others do
            names = ["cosine"] if self.class_head is None else ["cosine", "class_cosine"]
            return {"loss": nothing} | dict.fromkeys(names, nothing.detach())
        features_PC = features_MC[output.point]

        # The loss: how far the head's guess is from the teacher, by direction.
        loss, cosine = distillation_loss(
            self.head(features_PC),
            target.points,
            widths=self.matching.widths(by_image=False),
            form=self.matching.loss,
        )
        parts = {"loss": loss, "cosine": cosine}
        if self.class_head is not None:
            # Images weigh as many points as they show: cutting a batch in parts changes nothing.
            assert output.view is not None  # noqa: S101  class tokens are of images
            features_VC, count_V = mean_by_view(features_PC, output.view, output.num_views)
            class_loss, class_cosine = distillation_loss(
                self.class_head(features_VC),
                mean_by_view(target.images, output.view, output.num_views)[0],
                widths=self.matching.widths(by_image=True),
                form=self.matching.loss,
                weight_P=count_V,
            )
            loss = loss + self.matching.class_token * class_loss
            parts = {"loss": loss, "cosine": cosine, "class_cosine": class_cosine}
        share = self._share(output, features_MC.device, reduce_over_ranks=reduce_over_ranks)
        return parts if share is None else {name: part * share for name, part in parts.items()}

    def _has_pairs_on_any_rank(self, output: TeacherOutput) -> bool:
        """Whether mean and spread can learn from a batch: it has a pair on some rank."""
        parts = [part for part in (self.center, self.spread) if part is not None]
        if not output.is_part or all(part.is_frozen for part in parts):
            return True
        if world_size() == 1:
            return len(output.point) > 0
        count = torch.full((), len(output.point), device=output.features.device)
        return bool(sum_over_ranks(count))

    def _heads_output(self, features_PC: Tensor) -> Tensor:
        """A scalar that depends on every weight, for gradients of zero instead of none."""
        heads = [self.head] if self.class_head is None else [self.head, self.class_head]
        return torch.stack([head(features_PC).float().sum() for head in heads]).sum()

    def _share(
        self, output: TeacherOutput, device: torch.device, *, reduce_over_ranks: bool
    ) -> Tensor | None:
        """Factor on this rank's mean, so that averaging over ranks gives the mean over all pairs.

        A step weighs processes by what they count. Where a teacher sees another share of it here
        than elsewhere, its mean weighs more or less; None where it sees all that is counted.
        """
        if not output.is_part:
            return None
        # Made on the device: a copy of two numbers would wait for a GPU.
        counts = [len(output.point), output.num_counted]
        own = torch.stack([torch.full((), n, dtype=torch.float64, device=device) for n in counts])
        everywhere = sum_over_ranks(own) if reduce_over_ranks else own
        share = own[0] * everywhere[1] / (own[1] * everywhere[0]).clamp(min=1)
        return share.float()
