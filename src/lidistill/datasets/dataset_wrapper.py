"""A data set made of another one, frame by frame."""

from abc import ABC, abstractmethod

from lidistill.datasets.base import FrameDataset
from lidistill.labels import LabelMap
from lidistill.records import Frame


class DatasetWrapper(ABC):
    """A data set made of another: what a subclass does not change is that of the other.

    Args:
        dataset: The data set that reads.
    """

    def __init__(self, dataset: FrameDataset) -> None:
        self._dataset = dataset

    @property
    def frame_ids(self) -> tuple[str, ...]:
        """See ``FrameDataset.frame_ids``."""
        return self._dataset.frame_ids

    @property
    def drive_ids(self) -> tuple[str, ...]:
        """See ``FrameDataset.drive_ids``."""
        return self._dataset.drive_ids

    @property
    def label_map(self) -> LabelMap:
        """See ``FrameDataset.label_map``."""
        return self._dataset.label_map

    @property
    def cameras(self) -> tuple[str, ...]:
        """See ``FrameDataset.cameras``."""
        return self._dataset.cameras

    def __len__(self) -> int:
        return len(self._dataset)

    @abstractmethod
    def __getitem__(self, index: int) -> Frame:
        """See ``FrameDataset.__getitem__``."""
