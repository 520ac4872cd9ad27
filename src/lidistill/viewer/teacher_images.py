"""The teacher's features of whole images, in the space that the kept head leads to.

Shape letters: H x W cells of a grid, T channels of the teacher, D of them compared at points.
"""

import logging
from pathlib import Path
from typing import Final

import numpy as np
import torch

from lidistill.distill.heads import Matching
from lidistill.distill.lidar_teacher import LidarTeacherConfig
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.step import matching_of
from lidistill.distill.teacher_config import UNNAMED_TEACHER, part_name
from lidistill.errors import LidistillError
from lidistill.recipes import apply_overrides
from lidistill.teachers import Teacher
from lidistill.teachers.precision import for_run
from lidistill.teachers.target_reader import TargetReader
from lidistill.training.checkpoint import Checkpoint
from lidistill.training.precision import pick_device
from lidistill.viewer.spaces import Features

logger = logging.getLogger(__name__)
_MOST_CELLS: Final = 2048
_CELL: Final = 14  # pixels of a cell: a patch of the vision transformers


class TeacherImages:
    """Grids of the teacher's features, one feature for every patch of an image.

    Args:
        reader: The teacher at pixels.
        matching: Which of its channels points are compared with.
        mean: (T,) subtracted before; None: nothing.
        device: Where it computes.
    """

    def __init__(
        self,
        reader: TargetReader,
        matching: Matching,
        mean: torch.Tensor | None,
        device: torch.device,
    ) -> None:
        self._reader, self._matching, self._device = reader, matching, device
        self._mean = None if mean is None else mean.to(device)
        height, width = reader.size_hw
        self._cells = max(1, height // _CELL), max(1, width // _CELL)
        while self._cells[0] * self._cells[1] > _MOST_CELLS:
            self._cells = self._cells[0] // 2, self._cells[1] // 2

    @torch.no_grad()
    def grid(self, image: Path) -> Features:
        """(H, W, D) features in the middle of even parts of an image.

        Raises:
            LidistillError: If the image cannot be read.
        """
        (rows, columns), (height, width) = self._cells, self._reader.size_hw
        # Pixel centres are whole numbers: the middle of the first of n parts of s pixels.
        v = (torch.arange(rows) + 0.5) * height / rows - 0.5
        u = (torch.arange(columns) + 0.5) * width / columns - 0.5
        uv_P2 = torch.stack([u.repeat(rows), v.repeat_interleave(columns)], dim=1)
        target_PT = self._reader.at_pixels(image, uv_P2.to(self._device))
        if self._mean is not None:
            target_PT = target_PT - self._mean
        target_PD = self._matching.comparable(self._matching.separate(target_PT)[0])
        return np.asarray(target_PD.reshape(rows, columns, -1).float().cpu().numpy())


def teacher_of(
    checkpoint: Checkpoint, device: str, *, name: str | None = None
) -> TeacherImages | None:
    """The teacher that a distillation learned from; None, said in one line, where it is not here.

    Args:
        checkpoint: Of the run.
        device: ``auto``, ``cpu`` or ``cuda``.
        name: Which one of several.
    """
    recipe = apply_overrides(checkpoint.recipe, (), source=f"recipe of {checkpoint.path}")
    if not isinstance(recipe, PretrainRecipe):
        return None
    known = UNNAMED_TEACHER if name is None else name
    config = recipe.teachers.get(known)
    if config is None:
        logger.info(
            "%s learned from %s, each with a head: --teacher NAME shows the space of one",
            *(checkpoint.path, ", ".join(recipe.teachers)),
        )
        return None
    if isinstance(config, LidarTeacherConfig):
        logger.info("the teacher is a network that sees points alone, so images have no features")
        return None
    target = pick_device(device)
    try:
        decided = for_run(config, target, recipe.train.precision)
        teacher: Teacher = decided.build().to(target)
        reader = TargetReader(teacher, recipe.data.sampling, None, settings=config)
    except LidistillError as error:
        logger.info("no teacher beside the network, so images have no features: %s", error)
        return None
    matching = matching_of(recipe, teacher.groups, known)
    mean = checkpoint.weights.get(f"{part_name('center', known)}.mean")
    return TeacherImages(reader, matching, mean, target)
