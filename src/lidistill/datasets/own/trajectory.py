"""Where the lidar was at any moment of a recording.

Shape letters: F poses.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lidistill.geometry import (
    invert_rigid,
    rigid,
)
from lidistill.reading.names import shown

SECOND: Final = 1_000_000_000  # nanoseconds
_MAX_DIGITS: Final = 60
_SECONDS: Final = re.compile(r"[0-9]{1,40}(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,3}))?")
LATEST: Final = 1 << 62
"""Nanoseconds, in the year 2116; two such times can be added in 64 bits."""
MAX_OFFSET: Final = 4e9
"""Seconds between two clocks: one may count from 1970, the other from when it was switched on."""
_LARGER: Final = ((10**13, "milliseconds"), (10**16, "microseconds"), (10**19, "nanoseconds"))
UNITS: Final = {
    13: (1_000_000, "milliseconds"),
    16: (1_000, "microseconds"),
    19: (1, "nanoseconds"),
}
"""Nanoseconds and name of the unit, by the digits of a whole number that is a time since 1970."""
_COARSEST: Final = -3  # power of ten, seconds, that a time with an exponent must be written to


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """Poses of the lidar over time."""

    time_ns: NDArray[np.int64]
    """(F,) increasing, nanoseconds."""
    T_world_lidar: NDArray[np.float64]
    """(F, 4, 4) metres."""

    def __post_init__(self) -> None:
        if len(self.time_ns) != len(self.T_world_lidar) or len(self.time_ns) < 2:
            msg = f"{len(self.T_world_lidar)} poses at {len(self.time_ns)} times, expected two each"
            raise ValueError(msg)
        if (np.diff(self.time_ns) <= 0).any():
            msg = "the times of the poses do not increase"
            raise ValueError(msg)

    def covers(self, time_ns: int, *, margin_ns: int) -> bool:
        """Whether a moment lies within the poses, or not further outside than the margin."""
        first, last = int(self.time_ns[0]), int(self.time_ns[-1])
        return first - margin_ns <= time_ns <= last + margin_ns

    def at(self, time_ns: int) -> NDArray[np.float64]:
        """(4, 4) ``T_world_lidar`` at a moment.

        Between two poses, and beyond the ends, speed and turn rate are taken as constant.
        """
        after = int(np.searchsorted(self.time_ns, time_ns).clip(1, len(self.time_ns) - 1))
        start, stop = self.time_ns[after - 1], self.time_ns[after]
        share = float(time_ns - start) / float(stop - start)
        first, second = self.T_world_lidar[after - 1], self.T_world_lidar[after]
        step = invert_rigid(first) @ second
        turn = Rotation.from_rotvec(share * Rotation.from_matrix(step[:3, :3]).as_rotvec())
        position = first[:3, 3] + share * (second[:3, 3] - first[:3, 3])
        return rigid(first[:3, :3] @ turn.as_matrix(), position)


def nanoseconds(seconds: str) -> int:
    """Whole nanoseconds of a text of seconds, without rounding it to a float.

    Raises:
        ValueError: If it is no number of seconds from 0 to the year 2116, or a rounded one.
    """
    seconds = seconds.strip()
    form = _SECONDS.fullmatch(seconds)
    if form is None or len(seconds) > _MAX_DIGITS:
        msg = f"{shown(seconds)} is no time in seconds"
        raise ValueError(msg)
    fraction, exponent = form[1] or "", int(form[2] or 0)
    value = Decimal(seconds)
    if not value * SECOND < LATEST:
        unit = next((f", but perhaps in {name}" for most, name in _LARGER if value < most), "")
        msg = f"{shown(seconds)} is no time in seconds{unit}"
        raise ValueError(msg)
    if form[2] is not None and exponent - len(fraction) > _COARSEST:
        msg = f"{shown(seconds)} is no time but a rounded one; write it with nine decimals"
        raise ValueError(msg)
    return int((value * SECOND).to_integral_value())


def small_units(digits: str) -> int | None:
    """Nanoseconds of a whole number since 1970, whose digits tell its unit (``UNITS``).

    Returns:
        None if it is no such number.

    Raises:
        ValueError: If it lies behind the year 2116.
    """
    if not (digits.isascii() and digits.isdecimal() and len(digits) in UNITS):
        return None
    factor, unit = UNITS[len(digits)]
    time = int(digits) * factor
    if time >= LATEST:
        msg = f"{digits} {unit} since 1970 lie behind the year 2116"
        raise ValueError(msg)
    return time
