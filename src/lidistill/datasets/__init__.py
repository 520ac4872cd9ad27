"""Data sets behind one contract: files on disk, untouched, to frames."""

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias, Union

from pydantic import Field

from lidistill.datasets import base
from lidistill.datasets.base import FrameDataset, Parts, SensorFrames
from lidistill.datasets.sensors import SENSORS

__all__ = ["DATASETS", "DatasetConfig", "FrameDataset", "Parts", "SensorFrames"]

# In the order in which a folder is compared with their layouts.
_WHERE: Final = {
    "nuscenes": "nuscenes.dataset:NuScenesConfig",
    "semantic_kitti": "kitti.semantic:SemanticKittiConfig",
    "pandaset": "pandaset.dataset:PandaSetConfig",
    "kitti_raw": "kitti.raw:KittiRawConfig",
    "argoverse2": "argoverse2.dataset:Argoverse2Config",
    "folder": "own.dataset:FolderConfig",
}
"""The one line that adds a data set: its ``kind``, and where in this package its class is."""

DATASETS: Final[dict[str, type[base.DatasetConfig]]] = {
    kind: resolve_name(f"{__name__}.{place}") for kind, place in _WHERE.items()
}
"""Configuration of every data set by its ``kind``."""

SENSORS.update({one.name: one for config in DATASETS.values() for one in config.SENSORS})

if TYPE_CHECKING:
    DatasetConfig: TypeAlias = base.DatasetConfig
else:
    DatasetConfig = Annotated[Union[tuple(DATASETS.values())], Field(discriminator="kind")]  # noqa: UP007
"""Configuration of any data set."""
