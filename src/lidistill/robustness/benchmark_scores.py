"""The benchmark's two numbers: corruption error over a baseline, and resilience over clean data.

All mean IoUs are in percent.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lidistill.errors import ConfigError
from lidistill.robustness.scan import KINDS, Kind

MIoU = Mapping[Kind, float]
"""Mean over the three severities, of each corruption."""

BASELINES: Final[dict[str, dict[Kind, float]]] = {
    name: dict(zip(KINDS, values, strict=True))
    for name, values in {
        "nuScenes-C": (53.64, 73.91, 40.35, 73.39, 68.54, 26.58, 63.83, 50.95),
        "SemanticKITTI-C": (55.87, 53.99, 53.28, 32.92, 56.32, 58.34, 54.43, 46.05),
        "WOD-C": (66.99, 60.99, 57.75, 68.92, 64.15, 65.37, 63.36, 56.44),
    }.items()
}
"""Published mean IoU of MinkUNet-18, the benchmark's baseline, on each of its sets."""
FRAMES: Final = {"nuScenes-C": 6019, "SemanticKITTI-C": 4071}
"""Frames of each set's validation split, over all of which its numbers are computed."""
BASELINES_CLEAN: Final = {"nuScenes-C": 75.76, "SemanticKITTI-C": 62.76, "WOD-C": 69.06}
"""The same on the clean set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkScores:
    """Both numbers of each corruption, in percent; NaN where there is nothing to compare with."""

    corruption_error: dict[Kind, float]
    """What is missing to 100, over what the baseline misses; below 100 is better than it."""
    resilience: dict[Kind, float]
    """What is left of the mean IoU on the clean set."""

    @property
    def mean_corruption_error(self) -> float:
        """mCE; lower is better."""
        return sum(self.corruption_error.values()) / len(self.corruption_error)

    @property
    def mean_resilience(self) -> float:
        """mRR; higher is better."""
        return sum(self.resilience.values()) / len(self.resilience)


def benchmark_scores(clean: float, scores: MIoU, baseline: MIoU) -> BenchmarkScores:
    """Both numbers of a network.

    Args:
        clean: Mean IoU on the clean set.
        scores: Mean IoU of each corruption.
        baseline: The same of the baseline.

    Raises:
        ConfigError: If a corruption lacks a score.

    References:
        Kong et al., "Robo3D", ICCV 2023, section 3.3.
    """
    absent = [kind for kind in KINDS if kind not in scores or kind not in baseline]
    if absent:
        msg = f"mCE and mRR need all {len(KINDS)} corruptions; {', '.join(absent)} has no score."
        raise ConfigError(msg)
    return BenchmarkScores(
        corruption_error={k: _percent(100 - scores[k], 100 - baseline[k]) for k in KINDS},
        resilience={k: _percent(scores[k], clean) for k in KINDS},
    )


def _percent(part: float, whole: float) -> float:
    """One number over another; NaN over 0: a baseline without errors, a network without hits."""
    return 100 * part / whole if whole else math.nan
