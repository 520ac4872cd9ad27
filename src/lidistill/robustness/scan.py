"""What corruptions are called, what they take and give, and where their chance comes from.

Shape letters: N points before, M points after.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import ConfigError
from lidistill.labels import IGNORE

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
Severity: TypeAlias = Literal["light", "moderate", "heavy"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""From weak to strong."""

Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What corruptions know of a lidar and of the classes of its data set."""

    name: str
    """Of the lidar."""
    benchmark: str | None
    """The published set whose numbers these are; None: chosen here, by analogy."""
    intensity_top: float
    """Largest intensity of the scale."""
    whole_intensity: bool
    """Whether intensities are whole numbers, so that fog rounds them."""
    num_rings: int
    """Beams: 32 or 64."""
    missing_draws: tuple[int, int, int]
    """Beam missing: draws of a ring, for each severity."""
    missing_rings: tuple[int, int]
    """Beam missing: the lowest and the highest ring that is drawn."""
    crosstalk_share: tuple[float, float, float]
    """Crosstalk: share of the points, for each severity."""
    wet_noise_floor: tuple[float, float, float]
    """Wet ground: factor of the noise threshold, for each severity."""
    wet_low: float
    """Wet ground: where the histogram of intensities begins."""
    wet_divisor: float
    """Wet ground: intensities are divided by this first and multiplied by it at the end."""
    snow_channel: Literal["ring", "pitch"]
    """Snow: what says which laser a beam is."""
    ring_from: Literal["file", "turns", "elevation"]
    """What says which beam a point is from."""
    forward: Literal["x", "y"]
    """Axis of the lidar's frame that points where the vehicle drives."""
    ground: tuple[int, ...]
    """Training ids that water lies on."""
    objects: tuple[int, ...]
    """Training ids that give incomplete echoes."""
    added_ids: tuple[int, int, int]
    """Raw ids of points of fog, snow and crosstalk, in label files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanScan:
    """A scan before it is corrupted; corruptions leave its arrays as they are."""

    points: Float32
    """(N, 3) metres in the lidar's frame; NaN where no beam came back."""
    intensity: Float32
    """(N,) in the sensor's own scale."""
    labels: NDArray[np.uint8] | None
    """(N,) training ids, 255 = ignore."""
    ring: NDArray[np.int16]
    """(N,) the beam of each point."""
    traits: Traits

    def __len__(self) -> int:
        return len(self.points)

    def labels_for(self, what: str) -> NDArray[np.uint8]:
        """The labels, which some corruptions need.

        Raises:
            ConfigError: If there are none.
        """
        if self.labels is None:
            msg = (
                f"{what} needs to know what the points are, and these scans have no labels; take "
                "labelled frames, or a corruption that needs none (fog, motion_blur, crosstalk, "
                "beam_missing, cross_sensor)."
            )
            raise ConfigError(msg)
        return self.labels


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptedScan:
    """A scan after it was corrupted."""

    points: Float32
    """(M, 3) metres in the lidar's frame."""
    intensity: Float32
    """(M,) in the sensor's own scale, which some corruptions leave: fog reaches thousands,
    crosstalk goes below zero."""
    source: NDArray[np.int64]
    """(M,) the point of the clean scan that each was."""
    added: NDArray[np.bool_]
    """(M,) whether a point shows fog, snow or another lidar, and no class any more."""

    def __len__(self) -> int:
        return len(self.points)

    def labels_from(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(M,) training ids; what was added is ignored.

        Args:
            labels: (N,) of the clean scan.
        """
        return np.where(self.added, np.uint8(IGNORE), labels[self.source])


Corruption: TypeAlias = Callable[[CleanScan, Severity, np.random.Generator], CorruptedScan]
"""A corruption; all chance comes from the generator."""


def kept_points(scan: CleanScan, kept: NDArray[np.int64]) -> CorruptedScan:
    """Some points of a scan, as they are.

    Args:
        scan: The scan.
        kept: (M,) which of its points, in the order in which they come.
    """
    return CorruptedScan(
        points=scan.points[kept],
        intensity=scan.intensity[kept],
        source=kept,
        added=np.zeros(len(kept), dtype=bool),
    )


def all_points(
    scan: CleanScan,
    *,
    points: Float32,
    intensity: Float32 | None = None,
    added: NDArray[np.bool_] | None = None,
) -> CorruptedScan:
    """A scan with the same number of points in the same order.

    Args:
        scan: The clean one.
        points: (N, 3) where its points are now.
        intensity: (N,) None: as it was.
        added: (N,) None: nothing was added.
    """
    num = len(scan)
    return CorruptedScan(
        points=points,
        intensity=scan.intensity.copy() if intensity is None else intensity,
        source=np.arange(num),
        added=np.zeros(num, dtype=bool) if added is None else added,
    )


def ranges(points: Float32) -> Float64:
    """(N,) metres from the lidar, NaN where no beam came back.

    Args:
        points: (N, 3) metres.
    """
    exact = points.astype(np.float64)
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", exact, exact)))


def step_of(severity: Severity) -> int:
    """Place of a severity in a tuple that has one value for each."""
    return SEVERITIES.index(severity)


def corruption_rng(
    frame_id: str, kind: str, severity: str, *, seed: int = 0
) -> np.random.Generator:
    """Generator of one corrupted frame: the same numbers whoever makes it, and in whatever order.

    Args:
        frame_id: Name of the frame.
        kind: Name of the corruption.
        severity: Its severity.
        seed: Other seeds give other, equally likely sets.
    """
    words = "\n".join((frame_id, kind, severity, str(seed)))
    digest = hashlib.blake2b(words.encode(), digest_size=16).digest()
    key = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
