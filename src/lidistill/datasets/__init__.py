"""Data sets behind one protocol, and the way from a frame on disk to a packed batch."""

from typing import Annotated, Protocol, TypeAlias

from pydantic import Field

from lidistill.datasets.kitti.raw import KittiRawConfig
from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.datasets.own.dataset import FolderConfig
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.labels import LabelMap
from lidistill.records import Frame


class FrameDataset(Protocol):
    """A data set reads: it does not augment, batch, count or guess."""

    @property
    def frame_ids(self) -> tuple[str, ...]:
        """Name of every frame, in reading order."""
        ...

    @property
    def label_map(self) -> LabelMap:
        """The table from raw ids to training ids."""
        ...

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def __getitem__(self, index: int) -> Frame:
        """Read one frame from disk."""
        ...


DATASETS = {
    "folder": FolderConfig,
    "kitti_raw": KittiRawConfig,
    "nuscenes": NuScenesConfig,
    "pandaset": PandaSetConfig,
    "semantic_kitti": SemanticKittiConfig,
}
"""Configuration of every data set by its ``kind``."""

DatasetConfig: TypeAlias = Annotated[
    FolderConfig | KittiRawConfig | NuScenesConfig | PandaSetConfig | SemanticKittiConfig,
    Field(discriminator="kind"),
]
"""Configuration of any data set."""
