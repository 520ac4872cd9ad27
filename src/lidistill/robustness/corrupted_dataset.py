"""Frames that are corrupted or shifted as they are read: to be scored, or to learn from."""

from typing import Annotated, TypeAlias

from pydantic import Field

from lidistill.config import Config
from lidistill.datasets import FrameDataset
from lidistill.datasets.dataset_wrapper import DatasetWrapper
from lidistill.errors import ConfigError
from lidistill.labels import LabelMap
from lidistill.records import Frame
from lidistill.robustness.corruptions import (
    CORRUPTIONS,
    NEED_LABELS,
    CorruptionConfig,
    corrupted_by,
)
from lidistill.robustness.scan import KINDS, SEVERITIES, Kind, Severity, corruption_rng
from lidistill.robustness.shifts import ShiftConfig

FrameChange: TypeAlias = Annotated[CorruptionConfig | ShiftConfig, Field(discriminator="kind")]
"""A corruption with its severity, or a shift."""


class CorruptedDataset(DatasetWrapper):
    """A data set whose every frame is corrupted or shifted in the same way.

    Args:
        dataset: The data set that reads.
        change: What happens to its frames.
    """

    def __init__(self, dataset: FrameDataset, change: CorruptionConfig | ShiftConfig) -> None:
        super().__init__(dataset)
        self._change = change

    def __getitem__(self, index: int) -> Frame:
        """See ``FrameDataset.__getitem__``."""
        return self._change.apply(self._dataset[index], self.label_map)


class TrainingCorruption(Config):
    """Corruptions as augmentation: each time a frame is seen, one of them or none."""

    probability: Annotated[float, Field(gt=0, le=1)] = 0.5
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = KINDS
    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = SEVERITIES

    def apply(self, frame: Frame, label_map: LabelMap, *, seed: int, epoch: int) -> Frame:
        """The frame, corrupted or not; a function of its name, the seed and the epoch.

        Where it has no labels, only corruptions that need none are drawn.

        Raises:
            ConfigError: If there are no labels, and all ``kinds`` need some.
        """
        usable = [
            kind for kind in self.kinds if frame.labels is not None or kind not in NEED_LABELS
        ]
        if not usable:
            msg = (
                f"frame {frame.frame_id} has no labels, and {', '.join(self.kinds)} need some; add "
                "another to data.corruption.kinds (fog, motion_blur, beam_missing, crosstalk, "
                "cross_sensor)."
            )
            raise ConfigError(msg)
        rng = corruption_rng(frame.frame_id, "training", str(epoch), seed=seed)
        if rng.random() >= self.probability:
            return frame
        kind = usable[int(rng.integers(len(usable)))]
        severity = self.severities[int(rng.integers(len(self.severities)))]
        return corrupted_by(CORRUPTIONS[kind], frame, label_map, severity, rng)
