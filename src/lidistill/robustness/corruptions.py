"""The table of corruptions, and a frame as one of them leaves it."""

from dataclasses import replace
from typing import Final, Literal, TypeAlias, get_args

from lidistill.config import Config, Seed
from lidistill.labels import LabelMap
from lidistill.records import Frame
from lidistill.robustness.fog import fog
from lidistill.robustness.noise import crosstalk, incomplete_echo, motion_blur
from lidistill.robustness.rings import beam_missing, cross_sensor
from lidistill.robustness.scan import (
    CorruptedScan,
    Corruption,
    Severity,
    corruption_rng,
)
from lidistill.robustness.snow import snow
from lidistill.robustness.traits import clean_scan
from lidistill.robustness.wet_ground import wet_ground

Kind: TypeAlias = Literal[
    "fog",
    "wet_ground",
    "snow",
    "motion_blur",
    "beam_missing",
    "crosstalk",
    "incomplete_echo",
    "cross_sensor",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""In the order of the benchmark's tables."""

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


def corrupted_scan(frame: Frame, label_map: LabelMap, config: CorruptionConfig) -> CorruptedScan:
    """A frame's scan as a corruption leaves it; a function of the frame and the configuration.

    Args:
        frame: The frame; left as it is.
        label_map: The classes of its labels.
        config: What happens to it.

    Raises:
        ConfigError: If the corruption needs labels, and there are none.
    """
    rng = corruption_rng(frame.frame_id, config.kind, config.severity, seed=config.seed)
    return CORRUPTIONS[config.kind](clean_scan(frame, label_map), config.severity, rng)


def corrupted(frame: Frame, label_map: LabelMap, config: CorruptionConfig) -> Frame:
    """A frame as a corruption leaves it; what was added to the scan is ignored by scores.

    Args:
        frame: The frame; left as it is.
        label_map: The classes of its labels.
        config: What happens to it.
    """
    scan = corrupted_scan(frame, label_map, config)
    return replace(
        frame,
        points=scan.points,
        intensity=None if frame.intensity is None else scan.intensity,
        labels=None if frame.labels is None else scan.labels_from(frame.labels),
        segments=None if frame.segments is None else frame.segments[scan.source],
        ring=None if frame.ring is None else frame.ring[scan.source],
    )
