"""One distillation step, from a batch to its loss: teachers, student, distance.

Shape letters: M points; C student channels.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lidistill.backbones.base import Backbone
from lidistill.distill.heads import Matching, build_head
from lidistill.distill.objective import TeacherObjective
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.spread import TargetSpread
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.errors import ConfigError
from lidistill.records import Batch
from lidistill.teachers import ChannelGroup
from lidistill.teachers.centering import TargetCenter


class Distiller(nn.Module):
    """Backbone and heads under the distillation loss; all that is trained, and nothing else.

    Weights of a teacher without a name are called ``head``, ``center`` and ``class_head``; those
    of several are in ``heads``, ``centers``, ``class_heads`` and ``spreads`` by its name.

    Args:
        backbone: The 3D network.
        objectives: What it learns from each teacher, by name.
    """

    def __init__(self, backbone: Backbone, objectives: Mapping[str, TeacherObjective]) -> None:
        super().__init__()
        self.backbone = backbone
        self.objectives = dict(objectives)
        for part in ("head", "center", "class_head", "spread"):
            modules = {name: getattr(one, part) for name, one in objectives.items()}
            present = {name: module for name, module in modules.items() if module is not None}
            if UNNAMED_TEACHER in present:
                self.add_module(part, present[UNNAMED_TEACHER])
            elif present:
                self.add_module(f"{part}s", nn.ModuleDict(present))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Loss and mean cosine over the pairs of a batch, and over its images.

        References:
            ScaLR (CVPR 2024), equation 1. Several layers with a head each, class tokens and the
            cosine instead of the distance after HilDA (ECCV 2026), where the class token has a
            learned token of the student as its counterpart; here that is the mean over points.
        """
        # The teachers, one after the other: what each says about the points (batch_teachers.py).
        targets = {
            name: objective.target(batch, update_statistics=self.training)
            for name, objective in self.objectives.items()
        }

        # The student: features of all points, of which those that a teacher sees learn.
        features_MC = self.backbone(batch)

        # The loss: how far each head's guess is from its teacher, by direction.
        parts = {
            name: objective.compare(features_MC, targets[name], reduce_over_ranks=self.training)
            for name, objective in self.objectives.items()
        }
        return next(iter(parts.values())) if len(parts) == 1 else self._mean(parts)

    def _mean(self, parts: Mapping[str, dict[str, Tensor]]) -> dict[str, Tensor]:
        """One loss of several teachers: each divided by its spread, their mean scaled back.

        ``(1/T) sum_t loss_t / d_t``, times the harmonic mean of all d_t, so that several copies of
        a teacher are that teacher, gradients too, and one alone is divided by nothing.
        """
        spreads = {name: self.objectives[name].spread for name in parts}
        units = {name: 1 / one.value for name, one in spreads.items() if one is not None}
        losses = torch.stack([units[name] * part["loss"] for name, part in parts.items()])
        mean = {"loss": losses.sum() / torch.stack(list(units.values())).sum()}
        for measure in ("cosine", "class_cosine"):
            found = [part[measure] for part in parts.values() if measure in part]
            mean |= {measure: torch.stack(found).mean()} if found else {}
        for name, part in parts.items():
            mean |= {f"{measure}_{name}": value for measure, value in part.items()}
            mean[f"spread_{name}"] = 1 / units[name]
        return mean


def build_distiller(
    recipe: PretrainRecipe, groups: Mapping[str, tuple[ChannelGroup, ...]]
) -> Distiller:
    """The networks of a recipe, with freshly drawn weights.

    Args:
        recipe: The run.
        groups: What the channels of each teacher are, by its name.

    Raises:
        ConfigError: If a teacher does not give what the recipe wants to match.
    """
    matchings = {name: matching_of(recipe, groups[name], name) for name in groups}
    torch.manual_seed(recipe.seed)
    backbone = recipe.backbone.build()
    several = len(groups) > 1
    objectives = {
        name: _objective(recipe, matching, backbone.num_channels, name if several else None)
        for name, matching in matchings.items()
    }
    return Distiller(backbone, objectives)


def matching_of(recipe: PretrainRecipe, groups: tuple[ChannelGroup, ...], name: str) -> Matching:
    """How the channels of a teacher become targets in a run.

    Args:
        recipe: The run.
        groups: What the channels are.
        name: Of the teacher. Among several, those without a class token are left without.

    Raises:
        ConfigError: If it does not give what the recipe wants to match.
    """
    wanted = recipe.target.class_token
    others = name != UNNAMED_TEACHER and not any(group.whole_image for group in groups)
    try:
        return Matching(
            groups=groups,
            per_layer=recipe.head.per_layer,
            class_token=0.0 if others else wanted,
            loss=recipe.loss,
        )
    except ConfigError as error:
        where = "" if name == UNNAMED_TEACHER else f"teacher.{name}: "
        raise ConfigError(f"{where}{error}") from error


def _objective(
    recipe: PretrainRecipe, matching: Matching, channels: int, one_of: str | None
) -> TeacherObjective:
    """The parts of a student for one teacher; its name where there are others."""
    head = build_head(recipe.head, channels, matching.widths(by_image=False))
    by_image = matching.widths(by_image=True)
    class_head = build_head(recipe.head, channels, by_image) if by_image else None
    batches, width = recipe.target.center_batches, sum(g.num_channels for g in matching.groups)
    spread = None
    if one_of is not None:
        spread = TargetSpread(
            matching.widths(by_image=False),
            width,
            form=matching.loss,
            num_batches=batches or recipe.target.spread_batches,
            name=one_of,
        )
    return TeacherObjective(
        matching=matching,
        head=head,
        center=TargetCenter(width, num_batches=batches) if batches else None,
        class_head=class_head,
        spread=spread,
    )
