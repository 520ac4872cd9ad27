"""How the frozen teachers of a run are asked about a batch: from images, a cache, or points.

Shape letters: P pairs, V views, T teacher channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from lidistill.config import Size
from lidistill.distill.lidar_teacher import LidarTeacher, LidarTeacherConfig
from lidistill.distill.objective import TeacherOutput, at_pairs, num_counted
from lidistill.distill.recipe import PretrainRecipe
from lidistill.errors import ConfigError, TrainingError, unknown_name
from lidistill.records import Batch
from lidistill.samples.image_augmentation import mirror_some
from lidistill.samples.teacher_inputs import TeacherRequirements, teacher_inputs
from lidistill.teachers import Teacher
from lidistill.teachers.precision import for_run
from lidistill.teachers.settings import ImageTeacherConfig
from lidistill.teachers.target_reader import TargetReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBatchTeacher:
    """A teacher of images, and where it finds them."""

    teacher: Teacher
    reader: TargetReader
    """The teacher at pixels of images on disk; with a cache, at those of a batch, too."""
    settings: ImageTeacherConfig
    cached: bool
    further_size: Size | None
    """Its size of images where that is not the one of the samples."""

    def __call__(self, batch: Batch) -> TeacherOutput:
        """See ``BatchTeacher``."""
        cameras = self.settings.cameras
        if not cameras:
            return at_pairs(batch, self._ask(batch, None))
        pairs = batch.pairs
        assert pairs is not None  # noqa: S101  images have them
        names = teacher_inputs(batch).cameras
        views = torch.tensor([n for n, name in enumerate(names) if name in cameras]).long()
        rows = torch.nonzero(torch.isin(pairs.view, views.to(pairs.view.device))).squeeze(1)
        return TeacherOutput(
            features=self._ask(batch, views)[rows],
            point=pairs.point[rows],
            view=pairs.view[rows],
            num_views=len(names),
            num_counted=len(pairs),
            is_part=True,
        )

    def _ask(self, batch: Batch, views: Tensor | None) -> Tensor:
        """(P, T); rows of views that are not asked about are zero."""
        if self.cached:
            return self.reader(batch)
        return features_at_pairs(self.teacher, batch, size_hw=self.further_size, views=views)


@dataclass(frozen=True, slots=True, kw_only=True)
class LidarBatchTeacher:
    """A 3D network as a teacher."""

    teacher: LidarTeacher
    name: str
    """Under which samples carry its points."""

    def __call__(self, batch: Batch) -> TeacherOutput:
        """See ``BatchTeacher``."""
        points = teacher_inputs(batch).networks[self.name]
        return TeacherOutput(
            features=self.teacher.features(points),
            point=points.point,
            view=None,
            num_counted=num_counted(batch),
            is_part=True,
        )


AnyBatchTeacher: TypeAlias = ImageBatchTeacher | LidarBatchTeacher


def build_batch_teacher(recipe: PretrainRecipe, name: str, device: torch.device) -> AnyBatchTeacher:
    """Build a teacher of a recipe.

    Raises:
        WeightsNotFoundError: If its weights are not there.
        ConfigError: If it cannot take images of that size.
    """
    config = recipe.teachers[name]
    if isinstance(config, LidarTeacherConfig):
        return LidarBatchTeacher(teacher=config.build(device), name=name)
    decided = for_run(config, device, recipe.train.precision)
    teacher = decided.build().to(device)
    sampling = recipe.data.sampling
    reader = TargetReader(teacher, sampling, recipe.teacher_cache, settings=config)
    return ImageBatchTeacher(
        teacher=teacher,
        reader=reader,
        settings=config,
        cached=recipe.teacher_cache is not None,
        further_size=None if reader.size_hw == sampling.image_size_hw else reader.size_hw,
    )


def check_cameras(recipe: PretrainRecipe, cameras: Sequence[str]) -> None:
    """See to it that the data have the cameras that teachers are for.

    Args:
        recipe: The run.
        cameras: Of the data.

    Raises:
        ConfigError: If one is not there; the teacher would be asked about nothing.
    """
    for name, config in recipe.teachers.items():
        wanted = () if isinstance(config, LidarTeacherConfig) else config.cameras
        absent = [camera for camera in wanted if camera not in cameras]
        if absent:
            where = ".".join(part for part in ("teacher", name, "cameras") if part)
            error = unknown_name("camera", absent[0], cameras)
            raise ConfigError(f"{where}: the data have none of that name: {error}")


def requirements_of(batch_teachers: dict[str, AnyBatchTeacher]) -> TeacherRequirements:
    """What samples must carry for some teachers."""
    image_teachers = [one for one in batch_teachers.values() if isinstance(one, ImageBatchTeacher)]
    sizes = dict.fromkeys(one.further_size for one in image_teachers)
    return TeacherRequirements(
        own_size=None in sizes,
        sizes=tuple(size for size in sizes if size is not None),
        networks={
            name: one.teacher.preparer
            for name, one in batch_teachers.items()
            if isinstance(one, LidarBatchTeacher)
        },
        pairs=bool(image_teachers),
        cameras=any(one.settings.cameras for one in image_teachers),
    )


def features_at_pairs(
    teacher: Teacher, batch: Batch, *, size_hw: Size | None = None, views: Tensor | None = None
) -> Tensor:
    """(P, T) float32 features of a frozen teacher, read from maps of a batch's images at its pairs.

    Args:
        teacher: The network.
        batch: With images.
        size_hw: A further size of its images; None: that of the samples.
        views: Which of the images the teacher sees; all where None. Rows of others are zero.

    Raises:
        TrainingError: If the batch has no images.
    """
    images, pairs = batch.images, batch.pairs
    assert pairs is not None  # noqa: S101  distillation samples always carry pairs
    uv = pairs.uv
    if size_hw is not None:
        further = teacher_inputs(batch).resized[size_hw]
        images, uv = further.images, further.uv
    if images is None:
        msg = "a batch without images needs a teacher cache; set teacher_cache."
        raise TrainingError(msg)
    images, uv = mirror_some(images, pairs.view, uv, batch.mirrored)
    height, width = images.shape[-2:]
    with torch.no_grad():
        if views is None:
            maps = teacher.maps(images)
            return teacher.read(maps, pairs.view, uv, (height, width)).float()
        target_PT = uv.new_zeros(len(pairs), teacher.num_channels)
        number = torch.full((len(images),), -1)
        number[views] = torch.arange(len(views))
        view = number.to(uv.device)[pairs.view]
        rows = torch.nonzero(view >= 0).squeeze(1)
        if len(rows):
            maps = teacher.maps(images[views.to(images.device)])
            target_PT[rows] = teacher.read(maps, view[rows], uv[rows], (height, width)).float()
        return target_PT
