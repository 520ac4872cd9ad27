"""Logistic regression on a handful of features, with its strength of regularisation from them.

Shape letters: E examples, C channels, K classes.
"""

from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

STRENGTHS: Final = (1e-4, 1e-3, 1e-2, 1e-1)
_FOLDS: Final = 5
_STEPS: Final = 100


def fit_logistic(
    features_EC: Tensor, classes_E: Tensor, num_classes: int, *, strength: float
) -> tuple[Tensor, Tensor]:
    """Weights (K, C) and biases (K,) of a multinomial logistic regression, float64.

    Every class counts the same, however many examples it has.

    Args:
        features_EC: Features, at unit length for the strengths that ``choose_strength`` tries.
        classes_E: int64 class of each.
        num_classes: K.
        strength: L2 coefficient of the weights beside the mean loss; biases are not regularised.
    """
    features_EC = features_EC.double()
    count_K = torch.bincount(classes_E, minlength=num_classes).clamp(min=1)
    share_E = 1.0 / (count_K[classes_E] * (torch.bincount(classes_E) > 0).sum())
    weight_KC = torch.zeros(num_classes, features_EC.shape[1], dtype=torch.float64)
    bias_K = torch.zeros(num_classes, dtype=torch.float64)
    for tensor in (weight_KC, bias_K):
        tensor.requires_grad_()
    solver = torch.optim.LBFGS(
        [weight_KC, bias_K], max_iter=_STEPS, line_search_fn="strong_wolfe", tolerance_grad=1e-7
    )

    def closure() -> Tensor:
        solver.zero_grad()
        losses_E = F.cross_entropy(
            features_EC @ weight_KC.t() + bias_K, classes_E, reduction="none"
        )
        loss = (losses_E * share_E).sum() + 0.5 * strength * weight_KC.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        solver.step(closure)
    return weight_KC.detach(), bias_K.detach()


def choose_strength(
    features_EC: Tensor,
    classes_E: Tensor,
    groups: Sequence[int],
    num_classes: int,
) -> float:
    """The L2 coefficient of ``STRENGTHS`` with the best cross-validated accuracy.

    Groups, for example the sizes of one image, are left out together, every fifth of a class at a
    time. Ties go to the largest; a class with one group has none to leave out.

    Args:
        features_EC: Features.
        classes_E: int64 class of each.
        groups: (E,) number of the group of each.
        num_classes: K.
    """
    group_E = torch.tensor(groups)
    fold_E = torch.full_like(group_E, -1)
    for number in range(num_classes):
        own = group_E[classes_E == number].unique()
        for place, group in enumerate(own if len(own) > 1 else own[:0]):
            fold_E[(group_E == group) & (classes_E == number)] = place % _FOLDS
    right = dict.fromkeys(STRENGTHS, 0.0)
    for fold in range(_FOLDS):
        out_E = fold_E == fold
        if not out_E.any():
            continue
        for strength in STRENGTHS:
            weight_KC, bias_K = fit_logistic(
                features_EC[~out_E], classes_E[~out_E], num_classes, strength=strength
            )
            scores = features_EC[out_E].double() @ weight_KC.t() + bias_K
            right[strength] += float((scores.argmax(1) == classes_E[out_E]).sum())
    best = max(right.values())
    return max(strength for strength in STRENGTHS if right[strength] == best)
