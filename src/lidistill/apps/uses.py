"""What a network is asked for, and what of that must stay as it is in 16 bits.

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
    """What must stay as it is for a use, and its name.

    Args:
        use: What is asked for.
        head: Of the network.
        project: From (M, C) features to (M, T) in the teacher's space.
    """
    if use == "features" or head is None:
        return same_direction, "direction"
    if use == "classes":
        return SameClass(head), "class"
    return lambda exact, low: same_direction(project(exact), project(low)), "direction"
