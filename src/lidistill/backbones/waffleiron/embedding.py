"""The first stage of a WaffleIron: a point's own features and those of its neighbourhood.

Shape letters: M points, K neighbours, F input channels, C channels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lidistill.backbones.waffleiron.edge_max import edge_max
from lidistill.distributed.all_reduce import pool_moments, update_running_statistics
from lidistill.row_padding import with_padded_rows

_MOMENTUM = 0.1


class Embedding(nn.Module):
    """Point branch and neighbour branch, merged.

    The neighbour branch is BatchNorm, linear, BatchNorm, ReLU, linear, maximum. The statistics of
    both BatchNorms follow exactly from the mean and the covariance of the (few) input channels,
    so everything before the ReLU is one affine map of raw differences.

    Args:
        in_channels: F.
        width: C.
        relative: Channels that the point branch does not see: only their differences count.

    References:
        Puy, Boulch, Marlet, "Using a Waffle Iron for Automotive Point Cloud Semantic
        Segmentation", ICCV 2023, section 3.
    """

    absolute: Tensor | None
    """(F,) 1 for a channel that the point branch sees, else 0; None: it sees all."""

    def __init__(self, in_channels: int, width: int, relative: Sequence[int] = ()) -> None:
        super().__init__()
        self.feature_norm = nn.BatchNorm1d(in_channels, momentum=_MOMENTUM)
        self.point = nn.Linear(in_channels, width)
        self.difference_norm = nn.BatchNorm1d(in_channels, momentum=_MOMENTUM)
        self.difference = nn.Linear(in_channels, width, bias=False)
        self.hidden_norm = nn.BatchNorm1d(width, momentum=_MOMENTUM)
        self.neighbor = nn.Linear(width, width, bias=False)
        self.merge = nn.Linear(2 * width, width)
        absolute = torch.ones(in_channels)
        absolute[list(relative)] = 0.0
        self.register_buffer("absolute", absolute if relative else None, persistent=False)

    def point_weight(self) -> Tensor:
        """(C, F) of the point branch."""
        return self.point.weight if self.absolute is None else self.point.weight * self.absolute

    def forward(self, features_MF: Tensor, neighbors_MK1: Tensor) -> Tensor:
        """(M, C) embedding.

        Args:
            features_MF: Input features.
            neighbors_MK1: (M, 1 + K) nearest points, the point itself first.
        """
        wide_MF = features_MF.double()
        edges_KMF = features_MF[neighbors_MK1[:, 1:].t()] - features_MF
        if self._learns():
            scale_F, shift_F = _fold(self.feature_norm, *self._pooled(_moments(wide_MF)))
            affine_CF, bias_C = self._fold_neighbor_branch(edges_KMF, scale_F)
        else:  # the statistics are there: those of all edges in float64 would cost as much again
            scale_F, shift_F, affine_CF, bias_C = self.evaluation_affine()
        normal_MF = (wide_MF * scale_F + shift_F).to(features_MF.dtype)
        point_MC = with_padded_rows(
            lambda rows: F.linear(rows, self.point_weight(), self.point.bias), normal_MF
        )
        near_MC = edge_max(
            edges_KMF,
            affine_CF.to(edges_KMF.dtype),
            bias_C.to(edges_KMF.dtype),
            self.neighbor.weight,
        )
        both_M2C = torch.cat([point_MC, near_MC.to(point_MC.dtype)], dim=1)
        return with_padded_rows(self.merge, both_M2C).to(features_MF.dtype)

    def _fold_neighbor_branch(self, edges_KMF: Tensor, scale_F: Tensor) -> tuple[Tensor, Tensor]:
        """Affine map (C, F), (C,) of raw differences up to the ReLU, in float64."""
        mean_F, cov_FF, count = self._pooled(_covariance(edges_KMF.flatten(0, 1).double()))
        variance_F = cov_FF.diagonal() * scale_F**2
        inner_F, shift_F = _fold(self.difference_norm, mean_F * scale_F, variance_F, count)
        weight_CF = self.difference.weight.double()
        affine_CF = weight_CF * (inner_F * scale_F)
        constant_C = weight_CF @ shift_F
        mean_C = affine_CF @ mean_F + constant_C
        variance_C = ((affine_CF @ cov_FF) * affine_CF).sum(1)
        outer_C, shift_C = _fold(self.hidden_norm, mean_C, variance_C, count)
        return affine_CF * outer_C[:, None], constant_C * outer_C + shift_C

    def _learns(self) -> bool:
        """Whether a norm takes the statistics of what comes in."""
        norms = (self.feature_norm, self.difference_norm, self.hidden_norm)
        return any(norm.training for norm in norms)

    def _pooled(self, moments: tuple[Tensor, Tensor, int]) -> tuple[Tensor, Tensor, int]:
        """Training takes the statistics of the batch over all processes; evaluation takes none."""
        return pool_moments(*moments) if self.training else moments

    def _evaluation_neighbor_branch(self, scale_F: Tensor) -> tuple[Tensor, Tensor]:
        """``_fold_neighbor_branch`` on running statistics: the differences do not matter."""
        inner_F, shift_F = _running(self.difference_norm)
        outer_C, shift_C = _running(self.hidden_norm)
        weight_CF = self.difference.weight.double()
        affine_CF = weight_CF * (inner_F * scale_F) * outer_C[:, None]
        return affine_CF, (weight_CF @ shift_F) * outer_C + shift_C

    def evaluation_affine(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All affine maps before the ReLU on running statistics, float64.

        Returns:
            Scale and shift (F,) of the features; matrix (C, F) and bias (C,) of raw differences.
        """
        scale_F, shift_F = _running(self.feature_norm)
        return scale_F, shift_F, *self._evaluation_neighbor_branch(scale_F)


def _moments(x: Tensor) -> tuple[Tensor, Tensor, int]:
    variance, mean = torch.var_mean(x, dim=0, correction=0)
    return mean, variance, len(x)


def _covariance(x: Tensor) -> tuple[Tensor, Tensor, int]:
    mean = x.mean(0)
    centred = x - mean
    return mean, centred.t() @ centred / len(x), len(x)


def _fold(
    norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Scale and shift that a BatchNorm amounts to; in training mode its statistics move on."""
    if norm.training:
        update_running_statistics(norm, mean, variance, count)
        return _scale_and_shift(norm, mean, variance)
    return _running(norm)


def _running(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    return _scale_and_shift(norm, mean.double(), variance.double())


def _scale_and_shift(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    scale = norm.weight.double() * torch.rsqrt(variance + norm.eps)
    return scale, norm.bias.double() - mean * scale
