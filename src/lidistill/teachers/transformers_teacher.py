"""What all teachers around a network of transformers are set up with."""

from torch import nn

from lidistill.teachers.base import FrozenTeacher
from lidistill.teachers.named import NamedTeacherConfig
from lidistill.teachers.pixel_statistics import pixel_statistics


class TransformersTeacher(FrozenTeacher):
    """A teacher with the pixel statistics of its model's own file, or of its family.

    Args:
        network: As it is loaded.
        config: Its settings.
        source: Folder, file or Hugging Face name that it was loaded from.
        family: What transformers calls it.
    """

    def __init__(
        self, network: nn.Module, config: NamedTeacherConfig, *, source: str, family: str
    ) -> None:
        mean, std = pixel_statistics(source, family, mean=config.mean, std=config.std)
        super().__init__(
            network,
            mean=mean,
            std=std,
            precision=config.precision,
            batch_size=config.batch_size,
            normalize=config.normalize,
        )
        self.label = config.model
