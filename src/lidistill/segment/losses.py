"""What training on labels makes small.

Shape letters: P points, C classes, T classes with a point.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lidistill.labels import IGNORE


def _largest_first(error_PT: Tensor) -> Tensor:
    """(P, T) row of each error, the largest first; equal ones in the order in which they stand.

    On a CPU the bits of an error, which is not negative, and its row make one whole number. Those
    are all different, so a sort that need not be stable, which is faster, gives the same order.
    """
    if error_PT.device.type != "cpu" or error_PT.dtype != torch.float32:
        return torch.sort(error_PT, dim=0, descending=True, stable=True).indices
    bits_TP = error_PT.t().contiguous().numpy().view(np.int32)
    key_TP = np.invert(bits_TP).astype(np.int64) << 32 | np.arange(len(error_PT))
    key_TP.sort(axis=1)
    return torch.from_numpy(key_TP & 0xFFFFFFFF).t()


def _lovasz(probability_PC: Tensor, labels_P: Tensor) -> Tensor:
    present_T = torch.unique(labels_P)
    truth_PT = (labels_P[:, None] == present_T).to(probability_PC.dtype)
    error_PT = (truth_PT - probability_PC[:, present_T]).abs()
    order_PT = _largest_first(error_PT.detach())
    error_PT, truth_PT = error_PT.gather(0, order_PT), truth_PT.gather(0, order_PT)
    total_T = truth_PT.sum(0)
    intersection_PT = total_T - truth_PT.cumsum(0)
    union_PT = total_T + (1 - truth_PT).cumsum(0)
    jaccard_PT = 1 - intersection_PT / union_PT
    step_PT = torch.diff(jaccard_PT, dim=0, prepend=torch.zeros_like(jaccard_PT[:1]))
    return (error_PT * step_PT).sum(0).mean()


def lovasz_softmax(logits_PC: Tensor, labels_P: Tensor, *, ignore: int = IGNORE) -> Tensor:
    """Lovász extension of the Jaccard loss, mean over the classes that have a point.

    Args:
        logits_PC: Class scores.
        labels_P: int64 class of each point.
        ignore: Label of points that do not count.

    Returns:
        Scalar in [0, 1]; 0 with zero gradients where no point counts.

    References:
        Berman, Triki, Blaschko, "The Lovász-Softmax loss", CVPR 2018, equations 8 and 11.
    """
    return cross_entropy_lovasz(
        logits_PC, labels_P, cross_entropy_weight=0.0, lovasz_weight=1.0, ignore=ignore
    )


def cross_entropy_lovasz(
    logits_PC: Tensor,
    labels_P: Tensor,
    *,
    cross_entropy_weight: float = 1.0,
    lovasz_weight: float = 1.0,
    ignore: int = IGNORE,
) -> Tensor:
    """Cross-entropy plus Lovász-softmax.

    Args:
        logits_PC: Class scores.
        labels_P: int64 class of each point.
        cross_entropy_weight: Factor of the cross-entropy.
        lovasz_weight: Factor of the Lovász-softmax loss.
        ignore: Label of points that do not count.

    Returns:
        Scalar; 0 with zero gradients where no point counts.
    """
    counts_P = labels_P != ignore
    logits_PC = logits_PC.to(torch.promote_types(logits_PC.dtype, torch.float32))
    logits_PC, labels_P = logits_PC[counts_P], labels_P[counts_P]
    if len(labels_P) == 0:
        return logits_PC.sum()
    loss = logits_PC.new_zeros(())
    if cross_entropy_weight:
        loss = loss + cross_entropy_weight * F.cross_entropy(logits_PC, labels_P)
    if lovasz_weight:
        loss = loss + lovasz_weight * _lovasz(logits_PC.softmax(1), labels_P)
    return loss
