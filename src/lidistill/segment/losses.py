"""Segmentation losses: cross-entropy plus Lovász-softmax.

Shape letters: P points, C classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lidistill.labels import IGNORE
from lidistill.segment.lovasz import lovasz


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
        loss = loss + lovasz_weight * lovasz(logits_PC.softmax(1), labels_P)
    return loss
