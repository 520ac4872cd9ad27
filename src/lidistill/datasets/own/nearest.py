"""Camera images of the scans of a drive: nearest in time, or of the same name; and the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.own.trajectory import SECOND
from lidistill.reading.names import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """What was found for the scans of a drive among the images of one camera."""

    image: Mapping[str, str]
    """Name of the image by the name of its scan."""
    gaps: NDArray[np.float64]
    """Seconds from each scan that has none to the nearest image, later ones positive."""
    beginnings: float | None = None
    """Seconds from the first scan to the first image, where all images are before or after all
    scans: the nearest image of all is one and the same, and says nothing about each."""


def nearest_images(
    scans: Mapping[str, int], images: Mapping[str, int], *, tolerance: float
) -> Nearest:
    """For every scan the image nearest in time, if it is near enough.

    Args:
        scans: Nanoseconds by name.
        images: The same, on the same clock.
        tolerance: Seconds that the two may lie apart.
    """
    if not images:
        return Nearest(image={}, gaps=np.zeros(0))
    names = sorted(images, key=lambda name: images[name])
    order = np.array([images[name] for name in names], dtype=np.int64)
    image, gaps = {}, []
    for scan, time in scans.items():
        after = int(np.searchsorted(order, time))
        around = range(max(0, after - 1), min(after + 1, len(order)))
        apart, near = min((abs(int(order[i]) - time), i) for i in around)
        if apart <= tolerance * SECOND:
            image[scan] = names[near]
        else:
            gaps.append((int(order[near]) - time) / SECOND)
    first, last = min(scans.values(), default=0), max(scans.values(), default=0)
    apart = bool(scans) and (int(order[0]) > last or int(order[-1]) < first)
    return Nearest(
        image=image,
        gaps=np.array(gaps, dtype=np.float64),
        beginnings=(int(order[0]) - first) / SECOND if apart else None,
    )


def describe_gaps(found: Nearest, *, num_scans: int, tolerance: float) -> str:
    """How far away the nearest images are, and what may be done about it; empty without gaps.

    Args:
        found: Of all scans of the drive.
        num_scans: How many.
        tolerance: Seconds.
    """
    gaps = found.gaps
    if not len(gaps):
        return ""
    low, middle, high = np.quantile(np.abs(gaps), (0, 0.5, 1))
    away = f"{middle:.3f} s" if high - low < 1e-3 else f"{low:.3f} to {high:.3f} s"
    text = (
        f"the nearest image is {away} away from {len(gaps)} of {num_scans} scans, "
        f"tolerance {tolerance:g} s"
    )
    later = np.median(gaps) > 0
    if len(gaps) == num_scans and (np.sign(gaps) == np.sign(np.median(gaps))).all():
        apart = float(np.median(gaps)) if found.beginnings is None else found.beginnings
        return (
            f"{text}: all images are {'later' if later else 'earlier'}, as where two clocks are "
            f"apart; if they are, set time_offset (by {-apart:+.3f}, seconds to "
            "add to the images' times), or a wider tolerance if the images fit"
        )
    return f"{text}; set time_offset if the clocks are apart, or a wider tolerance"


def describe_names(scans: Mapping[str, object], images: Mapping[str, Path]) -> str:
    """Why scans have no image of their name; empty where all have one, or no image is left over.

    Args:
        scans: By name.
        images: Files by name.
    """
    alone = [scan for scan in scans if scan not in images]
    over = [path.name for name, path in images.items() if name not in scans]
    if not alone or not over:
        return ""
    return (
        f"{len(alone)} of {len(scans)} scans have no image of their name, first {shown(alone[0])}, "
        f"and {len(over)} images no scan, first {shown(over[0])}: name them alike, leading zeros "
        "included, or set match: time"
    )
