"""Several data sets as one, a few frames of one, and frames kept in memory."""

from bisect import bisect_right
from itertools import accumulate

from lidistill.datasets import FrameDataset
from lidistill.datasets.base import distinct
from lidistill.datasets.dataset_wrapper import DatasetWrapper
from lidistill.errors import ConfigError
from lidistill.labels import LabelMap
from lidistill.records import Frame


class Concatenation:
    """Data sets one after the other, as the papers mix them.

    Args:
        datasets: At least one.
    """

    def __init__(self, datasets: list[FrameDataset]) -> None:
        if not datasets:
            msg = "a mixture needs at least one data set; list some under data.sets."
            raise ConfigError(msg)
        self.datasets = datasets
        self._ends = list(accumulate(len(dataset) for dataset in datasets))

    @property
    def frame_ids(self) -> tuple[str, ...]:
        """See ``FrameDataset.frame_ids``."""
        return tuple(frame_id for dataset in self.datasets for frame_id in dataset.frame_ids)

    @property
    def drive_ids(self) -> tuple[str, ...]:
        """See ``FrameDataset.drive_ids``; two lidars' frames of one drive stay together."""
        return tuple(drive for dataset in self.datasets for drive in dataset.drive_ids)

    @property
    def label_map(self) -> LabelMap:
        """The label table, where all data sets share one.

        Raises:
            ConfigError: If they do not.
        """
        maps = [dataset.label_map for dataset in self.datasets]
        if len({m.name for m in maps}) > 1:
            names = ", ".join(sorted({m.name for m in maps}))
            msg = f"data sets with different label tables ({names}) cannot share one probe."
            raise ConfigError(msg)
        return maps[0]

    @property
    def cameras(self) -> tuple[str, ...]:
        """See ``FrameDataset.cameras``; each name once."""
        return distinct(tuple(name for dataset in self.datasets for name in dataset.cameras))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Frames of each data set."""
        return tuple(len(dataset) for dataset in self.datasets)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Frame:
        """See ``FrameDataset.__getitem__``."""
        dataset, number = self.place(index)
        return dataset[number]

    def place(self, index: int) -> tuple[FrameDataset, int]:
        """The data set of a frame, and its index there."""
        which = bisect_right(self._ends, index)
        return self.datasets[which], index - (self._ends[which - 1] if which else 0)


class InMemory(DatasetWrapper):
    """A data set whose frames stay in memory once read; for drives of a few hundred frames.

    Args:
        dataset: The data set that reads.
    """

    def __init__(self, dataset: FrameDataset) -> None:
        super().__init__(dataset)
        self._frames: dict[int, Frame] = {}

    def __getitem__(self, index: int) -> Frame:
        """See ``FrameDataset.__getitem__``."""
        if index not in self._frames:
            self._frames[index] = self._dataset[index]
        return self._frames[index]


class Subset(DatasetWrapper):
    """Some frames of a data set.

    Args:
        dataset: The data set that reads.
        indices: Which of its frames, in the order in which they come.
    """

    def __init__(self, dataset: FrameDataset, indices: list[int]) -> None:
        super().__init__(dataset)
        self._indices = indices

    @property
    def frame_ids(self) -> tuple[str, ...]:
        """See ``FrameDataset.frame_ids``."""
        names = self._dataset.frame_ids
        return tuple(names[index] for index in self._indices)

    @property
    def drive_ids(self) -> tuple[str, ...]:
        """See ``FrameDataset.drive_ids``."""
        drives = self._dataset.drive_ids
        return tuple(drives[index] for index in self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Frame:
        """See ``FrameDataset.__getitem__``."""
        return self._dataset[self._indices[index]]
