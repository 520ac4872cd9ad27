"""Data sets behind one contract: files on disk, untouched, to frames."""

from typing import TYPE_CHECKING, Annotated, TypeAlias, Union

from pydantic import Field

from lidistill.datasets import base
from lidistill.datasets.argoverse2.dataset import Argoverse2Config
from lidistill.datasets.base import FrameDataset, Parts, SensorFrames
from lidistill.datasets.kitti.raw import KittiRawConfig
from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.datasets.own.dataset import FolderConfig
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.datasets.sensors import SENSORS

__all__ = ["DATASETS", "DatasetConfig", "FrameDataset", "Parts", "SensorFrames"]

# In the order in which a folder is compared with their layouts.
DATASETS: dict[str, type[base.DatasetConfig]] = {
    "nuscenes": NuScenesConfig,
    "semantic_kitti": SemanticKittiConfig,
    "pandaset": PandaSetConfig,
    "kitti_raw": KittiRawConfig,
    "argoverse2": Argoverse2Config,
    "folder": FolderConfig,
}
"""Configuration of every data set by its ``kind``."""

SENSORS.update({one.name: one for config in DATASETS.values() for one in config.SENSORS})

if TYPE_CHECKING:
    DatasetConfig: TypeAlias = base.DatasetConfig
else:
    DatasetConfig = Annotated[Union[tuple(DATASETS.values())], Field(discriminator="kind")]  # noqa: UP007
"""Configuration of any data set."""
