"""One distillation step, from a batch to its loss: teacher, student, distance.

Shape letters: M points, P pairs, V views; C student channels, T teacher channels, D of them
compared at points, E by image.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from lidistill.backbones.base import Backbone
from lidistill.distill.heads import Matching, build_head
from lidistill.distill.losses import distillation_loss, mean_by_view
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distributed.all_reduce import sum_over_ranks
from lidistill.errors import TrainingError
from lidistill.records import Batch
from lidistill.teachers import ChannelGroup, Teacher
from lidistill.teachers.centering import TargetCenter

TeacherAtPairs: TypeAlias = Callable[[Batch], Tensor]
"""(P, T) float32 features of the frozen teacher at the pairs of a batch, without gradient:
``features_at_pairs``, or what a cache has of them."""


class Distiller(nn.Module):
    """Backbone and head under the distillation loss; all that is trained, and nothing else.

    Args:
        backbone: The 3D network.
        head: From its channels to those of the teacher that points are compared with.
        center: Mean of the teacher's features, or None to leave them raw.
        matching: Which channels of the teacher are compared with what.
        class_head: From the backbone's channels to those that images are compared with.
    """

    teacher: TeacherAtPairs
    """Set before the first step; neither trained nor saved, so no submodule. What only looks at
    the weights needs none."""

    def __init__(
        self,
        backbone: Backbone,
        head: nn.Module,
        center: TargetCenter | None,
        *,
        matching: Matching,
        class_head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.center = center
        self.matching = matching
        self.class_head = class_head

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Loss and mean cosine over the pairs of a batch, and over its images.

        References:
            ScaLR (CVPR 2024), equation 1. Several layers with a head each, class tokens and the
            cosine instead of the distance after HilDA (ECCV 2026), where the class token has a
            learned token of the student as its counterpart; here that is the mean over points.
        """
        pairs = batch.pairs
        assert pairs is not None  # noqa: S101  distillation samples always carry pairs

        # The teacher: features of the images, read at the pixels of the pairs (features_at_pairs).
        target_PT = self.teacher(batch)
        if self.center is not None:
            if self.training:
                self.center.update(target_PT, sum_over_ranks)
            target_PT = self.center(target_PT)
        target_PD, target_PE = self.matching.separate(target_PT)

        # The student: features of all points, of which those of the pairs learn.
        features_MC = self.backbone(batch)
        features_PC = features_MC[pairs.point]

        # The loss: how far the head's guess is from the teacher, by direction.
        loss, cosine = distillation_loss(
            self.head(features_PC),
            target_PD,
            widths=self.matching.widths(by_image=False),
            form=self.matching.loss,
        )
        if self.class_head is None:
            return {"loss": loss, "cosine": cosine}

        # Images weigh as many points as they show, so cutting a batch in parts changes nothing.
        features_VC, count_V = mean_by_view(features_PC, pairs.view)
        class_loss, class_cosine = distillation_loss(
            self.class_head(features_VC),
            mean_by_view(target_PE, pairs.view)[0],
            widths=self.matching.widths(by_image=True),
            form=self.matching.loss,
            weight_P=count_V,
        )
        loss = loss + self.matching.class_token * class_loss
        return {"loss": loss, "cosine": cosine, "class_cosine": class_cosine}


def features_at_pairs(teacher: Teacher, batch: Batch) -> Tensor:
    """(P, T) float32 features of a frozen teacher, read from maps of a batch's images at its pairs.

    Raises:
        TrainingError: If the batch has no images.
    """
    images, pairs = batch.images, batch.pairs
    assert pairs is not None  # noqa: S101  distillation samples always carry pairs
    if images is None:
        msg = "a batch without images needs a teacher cache; set teacher_cache."
        raise TrainingError(msg)
    height, width = images.shape[-2:]
    with torch.no_grad():
        maps = teacher.maps(images)
        return teacher.read(maps, pairs.view, pairs.uv, (height, width)).float()


def build_distiller(recipe: PretrainRecipe, groups: tuple[ChannelGroup, ...]) -> Distiller:
    """The networks of a recipe, with freshly drawn weights.

    Args:
        recipe: The run.
        groups: What the teacher's channels are.

    Raises:
        ConfigError: If the teacher does not give what the recipe wants to match.
    """
    matching = Matching(
        groups=groups,
        per_layer=recipe.head.per_layer,
        class_token=recipe.target.class_token,
        loss=recipe.loss,
    )
    torch.manual_seed(recipe.seed)
    backbone = recipe.backbone.build()
    channels = backbone.num_channels
    head = build_head(recipe.head, channels, matching.widths(by_image=False))
    by_image = matching.widths(by_image=True)
    class_head = build_head(recipe.head, channels, by_image) if by_image else None
    batches, num_channels = recipe.target.center_batches, sum(g.num_channels for g in groups)
    center = TargetCenter(num_channels, num_batches=batches) if batches else None
    return Distiller(backbone, head, center, matching=matching, class_head=class_head)
