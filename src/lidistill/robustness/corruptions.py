"""The table of corruptions, and a frame as one of them leaves it."""

from dataclasses import replace
from typing import Final

import numpy as np

from lidistill.config import Config, Seed
from lidistill.labels import LabelMap
from lidistill.records import Frame
from lidistill.robustness.fog import fog
from lidistill.robustness.noise import crosstalk, incomplete_echo, motion_blur
from lidistill.robustness.rings import beam_missing, cross_sensor
from lidistill.robustness.scan import (
    CorruptedScan,
    Corruption,
    Kind,
    Severity,
    corruption_rng,
)
from lidistill.robustness.snow import snow
from lidistill.robustness.traits import clean_scan
from lidistill.robustness.wet_ground import wet_ground

CORRUPTIONS: Final[dict[Kind, Corruption]] = {
    "fog": fog,
    "wet_ground": wet_ground,
    "snow": snow,
    "motion_blur": motion_blur,
    "beam_missing": beam_missing,
    "crosstalk": crosstalk,
    "incomplete_echo": incomplete_echo,
    "cross_sensor": cross_sensor,
}
"""Each corruption by its name."""

NEED_LABELS: Final[frozenset[Kind]] = frozenset({"wet_ground", "snow", "incomplete_echo"})
"""Those that need to know what the points are."""


class CorruptionConfig(Config):
    """One corruption, and how strong it is."""

    kind: Kind
    severity: Severity = "moderate"
    seed: Seed = 0  # another one gives another, equally likely set

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"{self.kind}/{self.severity}"

    def apply(self, frame: Frame, label_map: LabelMap) -> Frame:
        """See ``corrupted``."""
        return corrupted(frame, label_map, self)


def corrupted_scan(frame: Frame, label_map: LabelMap, config: CorruptionConfig) -> CorruptedScan:
    """A frame's scan as a corruption leaves it; a function of the frame and the configuration.

    Args:
        frame: The frame; left as it is.
        label_map: The classes of its labels.
        config: What happens to it.

    Raises:
        ConfigError: If the corruption needs labels, and there are none.
    """
    scan = clean_scan(frame, label_map)
    return CORRUPTIONS[config.kind](scan, config.severity, _rng_of(frame, config))


def corrupted(frame: Frame, label_map: LabelMap, config: CorruptionConfig) -> Frame:
    """A frame as a corruption leaves it; what was added to the scan is ignored by scores.

    Args:
        frame: The frame; left as it is.
        label_map: The classes of its labels.
        config: What happens to it.

    Raises:
        ConfigError: If the corruption needs labels, and there are none.
    """
    rng = _rng_of(frame, config)
    return corrupted_by(CORRUPTIONS[config.kind], frame, label_map, config.severity, rng)


def corrupted_by(
    corruption: Corruption,
    frame: Frame,
    label_map: LabelMap,
    severity: Severity,
    rng: np.random.Generator,
) -> Frame:
    """A frame as a corruption leaves it, with chance from anywhere."""
    scan = corruption(clean_scan(frame, label_map), severity, rng)
    return replace(
        frame.take(scan.source),
        points=scan.points,
        intensity=None if frame.intensity is None else scan.intensity,
        labels=None if frame.labels is None else scan.labels_from(frame.labels),
        added=scan.added,
    )


def _rng_of(frame: Frame, config: CorruptionConfig) -> np.random.Generator:
    return corruption_rng(frame.frame_id, config.kind, config.severity, seed=config.seed)
