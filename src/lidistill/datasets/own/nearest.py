"""Camera images that were taken nearest to the scans of a drive, and how far away others are."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.own.trajectory import SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """What was found for the scans of a drive among the images of one camera."""

    image: Mapping[str, str]
    """Name of the image by the name of its scan."""
    gaps: NDArray[np.float64]
    """Seconds from each scan that has none to the nearest image, later ones positive."""


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
    return Nearest(image=image, gaps=np.array(gaps, dtype=np.float64))


def describe_gaps(gaps: NDArray[np.float64], *, num_scans: int, tolerance: float) -> str:
    """How far away the nearest images are, and what may be done about it.

    Args:
        gaps: See ``Nearest``; at least one.
        num_scans: Of the drive.
        tolerance: Seconds.
    """
    low, middle, high = np.quantile(np.abs(gaps), (0, 0.5, 1))
    away = f"{middle:.3f} s" if high - low < 1e-3 else f"{low:.3f} to {high:.3f} s"
    text = (
        f"the nearest image is {away} away from {len(gaps)} of {num_scans} scans, "
        f"tolerance {tolerance:g} s"
    )
    later = np.median(gaps) > 0
    if len(gaps) == num_scans and (np.sign(gaps) == np.sign(np.median(gaps))).all():
        return (
            f"{text}: all images are {'later' if later else 'earlier'}, as where two clocks are "
            f"apart; if they are, set time_offset (by {-float(np.median(gaps)):+.3f}, seconds to "
            "add to the images' times), or a wider tolerance if the images fit"
        )
    return f"{text}; set time_offset if the clocks are apart, or a wider tolerance"
