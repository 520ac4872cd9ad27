"""Distillation losses: distance or cosine between unit features of student and teacher.

Shape letters: P points, C channels, V views.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

LossForm: TypeAlias = Literal["distance", "cosine"]
"""The Euclidean distance of unit features, or one minus their cosine: half of its square."""

_ZERO_NORM = 1e-12
"""Features shorter than this have no direction: they count as zero and get no gradient."""


_CHUNK = 512
"""Pairs at a time, so that the few arrays of a chunk stay in the processor's cache."""


def _unit(x_PC: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors, and (P, 1) the reciprocal lengths; zeros where there is no direction."""
    norm_P1 = torch.linalg.vector_norm(x_PC, dim=1, keepdim=True)
    inverse_P1 = torch.where(norm_P1 > _ZERO_NORM, norm_P1.reciprocal(), 0.0)
    return x_PC * inverse_P1, inverse_P1


class _Distances(torch.autograd.Function):
    """Chunk by chunk; the unit vectors are made again in the backward pass, never kept."""

    @staticmethod
    def forward(ctx: FunctionCtx, student_PC: Tensor, teacher_PC: Tensor) -> Tensor:
        wide = torch.promote_types(student_PC.dtype, torch.float32)
        distance_P = student_PC.new_empty(len(student_PC), dtype=wide)
        for rows in _chunks(student_PC):
            difference_PC = _unit(student_PC[rows].to(wide))[0]
            difference_PC -= _unit(teacher_PC[rows].to(wide))[0]
            torch.linalg.vector_norm(difference_PC, dim=1, out=distance_P[rows])
        ctx.save_for_backward(student_PC, teacher_PC, distance_P)
        return distance_P

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_P: Tensor) -> tuple[Tensor, None]:
        student_PC, teacher_PC, distance_P = ctx.saved_tensors  # type: ignore[attr-defined]
        # Where both directions coincide, the gradient of the distance is defined as zero.
        slope_P = torch.where(distance_P > 0, grad_P / distance_P, 0.0)
        gradient_PC = torch.empty_like(student_PC)
        for rows in _chunks(student_PC):
            unit_PC, inverse_P1 = _unit(student_PC[rows].to(distance_P.dtype))
            pull_PC = unit_PC - _unit(teacher_PC[rows].to(distance_P.dtype))[0]
            # Only what is at right angles to the student's direction turns it.
            along_P1 = (pull_PC * unit_PC).sum(1, keepdim=True)
            pull_PC.addcmul_(unit_PC, along_P1, value=-1)
            gradient_PC[rows] = pull_PC.mul_(inverse_P1 * slope_P[rows, None])
        return gradient_PC, None


def _chunks(x_PC: Tensor) -> list[slice]:
    size = _CHUNK if x_PC.device.type == "cpu" else len(x_PC)
    return [slice(start, start + size) for start in range(0, len(x_PC), size)]


def distillation_distances(student_PC: Tensor, teacher_PC: Tensor) -> Tensor:
    """(P,) float32 Euclidean distance between unit student and teacher features, in [0, 2].

    Args:
        student_PC: Features of the paired points.
        teacher_PC: Features of the paired pixels; no gradient flows into them.

    Raises:
        ValueError: If the shapes differ or there is not a single pair.
    """
    if student_PC.shape != teacher_PC.shape or len(student_PC) == 0:
        msg = (
            f"student features {tuple(student_PC.shape)} and teacher features "
            f"{tuple(teacher_PC.shape)}: expected equal shapes and at least one pair"
        )
        raise ValueError(msg)
    return _Distances.apply(student_PC, teacher_PC.detach())


def distillation_loss(
    student_PC: Tensor,
    teacher_PC: Tensor,
    *,
    widths: Sequence[int],
    form: LossForm = "distance",
    weight_P: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Loss over groups of channels, each of which has a direction and a distance of its own.

    Args:
        student_PC: Features of the student.
        teacher_PC: What they are to agree with; no gradient flows into it.
        widths: Channels of each group, C in all.
        form: What is averaged.
        weight_P: How much each row counts; None: all alike.

    Returns:
        Two scalars, the loss and the cosine without gradient: means over rows, then over groups.

    Raises:
        ValueError: If the shapes differ or there is not a single row.

    References:
        ScaLR (CVPR 2024), equation 1: one group and ``form="distance"``.
    """
    losses, cosines = [], []
    for student, teacher in zip(
        _groups(student_PC, widths), _groups(teacher_PC, widths), strict=True
    ):
        distance_P = distillation_distances(student, teacher)
        half_square_P = 0.5 * distance_P.square()
        losses.append(_mean(distance_P if form == "distance" else half_square_P, weight_P))
        cosines.append(1 - _mean(half_square_P.detach(), weight_P))
    return torch.stack(losses).mean(), torch.stack(cosines).mean()


def _groups(x_PC: Tensor, widths: Sequence[int]) -> Sequence[Tensor]:
    return [x_PC] if len(widths) == 1 else x_PC.split(widths, dim=1)  # a split costs a copy


def _mean(x_P: Tensor, weight_P: Tensor | None) -> Tensor:
    return x_P.mean() if weight_P is None else (x_P * weight_P).sum() / weight_P.sum()


def cosine_distillation(student_PC: Tensor, teacher_PC: Tensor) -> Tensor:
    """Mean Euclidean distance between unit student and teacher features.

    Features shorter than 1e-12 count as zero vectors and get no gradient.

    Args:
        student_PC: Features of the paired points.
        teacher_PC: Features of the paired pixels; no gradient flows into them.

    Returns:
        Scalar in [0, 2].

    Raises:
        ValueError: If the shapes differ or there is not a single pair.

    References:
        ScaLR (CVPR 2024), section 3; equals the mean of ``sqrt(2 - 2 cos)``.
    """
    return distillation_distances(student_PC, teacher_PC).mean()


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


def mean_by_view(
    x_PC: Tensor, view_P: Tensor, num_views: int | None = None
) -> tuple[Tensor, Tensor]:
    """Mean feature of the points of each view.

    Args:
        x_PC: Features of paired points.
        view_P: int64 view of each pair.
        num_views: V; None: up to the last view of a pair, for which a GPU is waited for.

    Returns:
        (V, C) float32 means, zero for a view without a point, and (V,) how many points each has.
    """
    if num_views is None:
        num_views = int(view_P.max()) + 1
    # Not by bincount, which waits for a GPU to see how many there are.
    count_V = view_P.new_zeros(num_views).index_add_(0, view_P, torch.ones_like(view_P))
    sum_VC = x_PC.new_zeros(num_views, x_PC.shape[1], dtype=torch.float32)
    sum_VC = sum_VC.index_add(0, view_P, x_PC.float())
    return sum_VC / count_V.clamp(min=1)[:, None], count_V
