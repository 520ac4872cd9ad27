"""The three uses of a network, and for each what bf16 must leave as it is in fp32.

Shape letters: M points, C channels, T channels of the teacher.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

from torch import Tensor, nn

from lidistill.backbones.checked import Judge, SameClass, same_direction

Use: TypeAlias = Literal["features", "head", "classes"]
"""Its features, the output of its head, or the head's classes."""


def judge_of(
    use: Use, head: nn.Module | None, project: Callable[[Tensor], Tensor]
) -> tuple[Judge, str]:
    """What compares the outputs of a use in bf16 with those in fp32, point by point.

    Args:
        use: What is asked for.
        head: What follows the backbone; None: features alone are asked for.
        project: From (M, C) features to (M, T) in the teacher's space.

    Returns:
        The comparison, and what it compares, for the log: ``direction`` of the features or of the
        head's output, or ``class``.
    """
    if use == "features" or head is None:
        return same_direction, "direction"
    if use == "classes":
        return SameClass(head), "class"
    return lambda exact, low: same_direction(project(exact), project(low)), "direction"
