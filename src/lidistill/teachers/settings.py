"""What the configuration of every teacher of images has, whatever its network."""

from lidistill.config import Config, Size


class ImageTeacherConfig(Config):
    """Which images a teacher sees, and how large."""

    image_size_hw: Size | None = None
    """Height and width its images are resized to; None: ``data.sampling.image_size_hw``."""
    cameras: tuple[str, ...] = ()
    """Names of the cameras whose images it is asked about; all where empty. Points that only
    others see learn nothing from it."""
