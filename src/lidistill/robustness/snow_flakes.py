"""Snowflakes in the plane that a turning beam sweeps: disks around the lidar, sampled here.

Shape letters: F flakes of a pattern, P patterns, E entries of a table, A slices of azimuth.
"""

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.robustness.scan import Float64

NUM_PATTERNS: Final = 64
"""Patterns of a severity; every ring of a scan gets one of them."""
REACH: Final = 80.0
"""Metres around the lidar in which flakes are."""
BEAM: Final = 3e-3
"""Whole width of a beam, radians."""
NUM_SLICES: Final = 2094
"""Of azimuth; a little wider than a beam each."""
SLICE: Final = 2 * np.pi / NUM_SLICES
_RATES: Final = ((0.5, 2.0), (1.0, 1.6), (2.5, 1.6))  # mm/h of water, m/s of fall
_SEED: Final = 42
_LARGEST: Final = 0.02  # metres across
_DENSITY: Final = 0.1  # of snow, over water


@dataclass(frozen=True, slots=True, kw_only=True)
class Flakes:
    """Disks in a plane."""

    azimuth: Float64
    """(F,) of the centre, radians from -pi to pi."""
    range: Float64
    """(F,) of the centre, metres."""
    radius: Float64
    """(F,) metres."""

    def take(self, chosen: NDArray[np.generic]) -> "Flakes":
        """Some of them."""
        return Flakes(
            azimuth=self.azimuth[chosen], range=self.range[chosen], radius=self.radius[chosen]
        )

    @property
    def half_width(self) -> Float64:
        """(F,) half the angle under which each is seen, radians."""
        return np.arcsin(np.minimum(self.radius / self.range, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class FlakeTable:
    """All patterns of a severity, found by pattern and slice of azimuth.

    A slice holds every flake that a beam may meet whose right edge lies in it, nearest first.
    """

    start: NDArray[np.int64]
    """(P A + 1,) first entry of slice a of pattern p at A p + a; then the end."""
    azimuth: NDArray[np.floating]
    """(E,) radians."""
    half_width: NDArray[np.floating]
    """(E,) radians."""
    range: NDArray[np.floating]
    """(E,) metres."""

    @property
    def num_patterns(self) -> int:
        """P."""
        return len(self.start) // NUM_SLICES


def sample_flakes(severity: int, rng: np.random.Generator) -> Flakes:
    """One pattern: flakes cut by a plane, until they cover the wanted share of it.

    Args:
        severity: 0, 1 or 2.
        rng: All chance comes from here.

    References:
        Gunn and Marshall, "The distribution with size of aggregate snowflakes", 1958; Hahner et
        al., CVPR 2022, section 3.1.
    """
    rate, fall = _RATES[severity]
    rain = (rate / (487 * _DENSITY * 0.003 * fall)) ** 1.5
    per_metre = 100 * 25.5 * rain**-0.48
    area = rate / (3.6e6 * _DENSITY * fall) * np.pi * REACH**2
    # A third more than is expected to be enough; the mean square of an exponential is 2 / rate^2.
    size = int(4 * area / (np.pi / per_metre**2))
    diameter = rng.exponential(1 / per_metre, size)
    height = rng.uniform(-0.5, 0.5, size) * diameter
    flakes = Flakes(
        azimuth=rng.uniform(-np.pi, np.pi, size),
        range=REACH * np.sqrt(rng.uniform(0, 1, size)),
        radius=np.sqrt(np.maximum(diameter**2 / 4 - height**2, 0)),
    )
    flakes = flakes.take((diameter <= _LARGEST) & (flakes.range > flakes.radius))
    flakes = flakes.take(~_overlapping(flakes))
    covered = np.cumsum(np.pi * flakes.radius**2)
    assert covered[-1] > area  # noqa: S101  by a third, many deviations
    return flakes.take(np.arange(np.searchsorted(covered, area) + 1))


def _overlapping(flakes: Flakes) -> NDArray[np.bool_]:
    """(F,) which flakes lie over one that comes before them."""
    x, y = flakes.range * np.cos(flakes.azimuth), flakes.range * np.sin(flakes.azimuth)
    order = np.argsort(x)
    x, y, radius = x[order], y[order], flakes.radius[order]
    widest = 2 * radius.max()
    later = np.zeros(len(x), dtype=bool)
    for lag in range(1, len(x)):
        step = x[lag:] - x[:-lag]
        near = np.flatnonzero(step < widest)
        if not len(near):
            break
        apart = np.hypot(step[near], y[near + lag] - y[near])
        met = near[apart < radius[near] + radius[near + lag]]
        later[np.maximum(order[met], order[met + lag])] = True
    return later


@functools.cache
def flake_table(severity: int) -> FlakeTable:
    """The patterns of a severity, the same in every process.

    Args:
        severity: 0, 1 or 2.
    """
    patterns = []
    for pattern in range(NUM_PATTERNS):
        words = f"snow {_SEED} {severity} {pattern}".encode()
        key = np.frombuffer(hashlib.blake2b(words, digest_size=16).digest(), dtype="<u8")
        rng = np.random.Generator(np.random.Philox(key=key.astype(np.uint64)))
        patterns.append(sample_flakes(severity, rng))
    return flake_table_of(patterns, dtype=np.float32)


def flake_table_of(
    patterns: Iterable[Flakes], *, dtype: type[np.floating] = np.float64
) -> FlakeTable:
    """A table of patterns of one's own, for ``snow``.

    Args:
        patterns: P of them.
        dtype: Number format in which the flakes are kept.
    """
    counts, entries = [], []
    for flakes in patterns:
        slices, rows = _in_slices(flakes)
        counts.append(np.bincount(slices, minlength=NUM_SLICES))
        entries.append(rows.astype(dtype))
    azimuth, half_width, distance = np.concatenate(entries, axis=1)
    return FlakeTable(
        start=np.concatenate([[0], np.cumsum(np.concatenate(counts))]),
        azimuth=azimuth,
        half_width=half_width,
        range=distance,
    )


def _in_slices(flakes: Flakes) -> tuple[NDArray[np.int64], Float64]:
    """(E,) slice of each entry, in order, and its (3, E) azimuth, half width and range."""
    half = flakes.half_width
    turned = flakes.azimuth + np.pi  # from 0 to 2 pi
    first = np.floor((turned - half - BEAM) / SLICE).astype(np.int64)
    last = np.floor((turned + half) / SLICE).astype(np.int64)
    count = np.minimum(last - first + 1, NUM_SLICES)
    flake = np.repeat(np.arange(len(half)), count)
    within = np.arange(len(flake)) - np.repeat(np.cumsum(count) - count, count)
    slices = (first[flake] + within) % NUM_SLICES
    order = np.argsort(slices * (2 * REACH) + flakes.range[flake])
    chosen = flake[order]
    rows = np.stack([flakes.azimuth[chosen], half[chosen], flakes.range[chosen]])
    return slices[order], rows
