"""Words and images that the page of ``lidistill view`` can be asked for."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lidistill.apps.features import FeatureModel
from lidistill.apps.open_vocabulary import direction_of, teacher_behind
from lidistill.apps.text_classes import text_direction
from lidistill.teachers import Teacher
from lidistill.viewer.models import Queries


def queries_of(
    model: FeatureModel, run: Path, *, has_teacher: bool, partner: Path | None
) -> Queries:
    """What a network can be asked for.

    Args:
        model: The network.
        run: Where it was loaded from.
        has_teacher: Whether its teacher's weights are at hand; they are loaded at the first image.
        partner: Folder of the teacher's text partner.

    Raises:
        LidistillError: If the partner does not fit; tried once, so that it is said at the start.
    """

    @cache
    def teacher() -> Teacher:
        return teacher_behind(model, run)

    def of_image(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return direction_of(image, teacher(), model)

    def of_text(folder: Path, words: str) -> NDArray[np.float32]:
        return text_direction(model, words, folder)

    if partner is not None:
        of_text(partner, "car")
    return Queries(
        image=of_image if has_teacher else None,
        text=None if partner is None else lambda words: of_text(partner, words),
    )
