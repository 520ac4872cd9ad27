"""Frames on which two networks differ most.

Shape letters: P points that are compared.
"""

from typing import Final

import numpy as np

from lidistill.viewer.content import Content
from lidistill.viewer.models import ViewedModel

_COMPARED: Final = 400


def difference(one: ViewedModel, other: ViewedModel, index: int, num_points: int) -> float:
    """How differently two networks see a frame, 0 where they agree.

    The share of points that get another class; where one of the two has learned none, the mean
    difference of the cosines between points, which needs no common space.

    Args:
        one: A network.
        other: Another.
        index: The frame.
        num_points: Of the frame.
    """
    classes, others = one.class_of_points(index), other.class_of_points(index)
    if classes is not None and others is not None:
        apart = sum(a != b for a, b in zip(classes, others, strict=True))
        return apart / max(1, len(classes))
    points = np.linspace(0, max(0, num_points - 1), min(_COMPARED, num_points)).astype(np.int64)
    gap = np.abs(one.likeness(index, points) - other.likeness(index, points))
    return float(gap.mean()) if len(points) else 0.0


def most_different(content: Content, num: int) -> list[int]:
    """The frames on which the first two networks differ most, the most different one first.

    Args:
        content: With two networks.
        num: At most so many.

    Returns:
        Indices of the data set.
    """
    one, other = content.models[:2]
    numbers = range(len(content.frames))
    found = [
        difference(one, other, number, len(content.frames[number].frame.points))
        for number in numbers
    ]
    order = sorted(numbers, key=lambda number: -found[number])
    return [content.frames.indices[number] for number in order[:num]]
