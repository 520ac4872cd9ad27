"""What comes back of a beam through falling snow: compiled, and the definition beside it.

Shape letters: N points, F flakes in front of one.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.compiled import compiled_exactly, compiling
from lidistill.robustness.fog import LIGHT
from lidistill.robustness.hdl64 import FOCAL_DISTANCE, FOCAL_SLOPE, TOP_INTENSITY
from lidistill.robustness.scan import Float32, Float64
from lidistill.robustness.snow_flakes import BEAM, NUM_SLICES, SLICE, FlakeTable

CLEAR, WEAKENED, SNOW = 0, 1, 2
"""What became of a point."""
FARTHEST: Final = 120.0
"""Metres, beyond which points stay as they are."""
_PULSE: Final = LIGHT * 10e-9  # metres of light, both ways
_GRID: Final = np.round(np.arange(1300) * (122.998 / 1229), 2)  # metres; 0.1 m but for rounding
_PHASE: Final = 2 * np.pi * _GRID / _PULSE
_COS, _SIN = np.cos(_PHASE), np.sin(_PHASE)
_SAME: Final = 0.2  # metres
_SNOW_LIGHT: Final = 0.9
_MOST: Final = 256  # pieces of a beam
_NOTHING: Final = 1e-12  # radians
_FOCUS: Final = 131.0  # metres

Table: TypeAlias = tuple[
    NDArray[np.int64], NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]
]
Focus: TypeAlias = tuple[Float64, Float64, Float64]
Rows: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
Pair: TypeAlias = tuple[Float64, Float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowEchoes:
    """What beams bring back."""

    distance: Float64
    """(N,) metres: of the snow, where it was seen in place of the target."""
    intensity: Float64
    """(N,) 0 to 255, whole numbers, but for clear beams: theirs is what it was."""
    kind: NDArray[np.uint8]
    """(N,) ``CLEAR``, ``WEAKENED`` or ``SNOW``."""


def snow_echoes(
    points: Float32,
    distance: Float64,
    intensity: Float64,
    *,
    pattern: NDArray[np.int64],
    channel: NDArray[np.int64],
    table: FlakeTable,
) -> SnowEchoes:
    """What every beam of a scan brings back through its ring's pattern of flakes.

    Args:
        points: (N, 3) metres.
        distance: (N,) their range, metres.
        intensity: (N,) 0 to 255.
        pattern: (N,) of the flakes that each beam meets.
        channel: (N,) laser of an HDL-64E, whose focus it has.
        table: The patterns.

    References:
        Hahner et al., "LiDAR Snowfall Simulation for Robust 3D Object Detection", CVPR 2022,
        section 3.1, and the intensities of an HDL-64E's calibration.
    """
    azimuth = np.arctan2(points[:, 1].astype(np.float64), points[:, 0].astype(np.float64))
    result = SnowEchoes(
        distance=distance.copy(),
        intensity=intensity.copy(),
        kind=np.zeros(len(points), dtype=np.uint8),
    )
    (_all_beams if compiling() else _all_beams_defined)(
        azimuth,
        (pattern, channel),
        (table.start, table.azimuth, table.half_width, table.range),
        (FOCAL_DISTANCE, FOCAL_SLOPE, TOP_INTENSITY),
        (result.distance, result.intensity, result.kind),
    )
    return result


@compiled_exactly
def _all_beams(
    azimuth: Float64, rows: Rows, table: Table, focus: Focus, result: tuple[Any, ...]
) -> None:
    pattern, channel = rows
    distance, intensity, kind = result
    power = np.zeros(len(_GRID))
    covered, met = (np.empty(_MOST), np.empty(_MOST)), (np.empty(_MOST), np.empty(_MOST))
    for point in range(len(azimuth)):
        far = distance[point]
        if not (0 < far < FARTHEST):
            continue
        num, left = _flakes_met(azimuth[point], far, pattern[point], table, covered, met)
        if num == 0:
            continue
        met[0][num], met[1][num] = far, left / BEAM
        laser = channel[point]
        top = focus[2][laser]
        best, most = _strongest(met[0][: num + 1], met[1][: num + 1], _SNOW_LIGHT * top, power)
        if most <= 0:
            continue
        found = best / 10 - _PULSE / 2
        focal = abs((1 - focus[0][laser] / _FOCUS) ** 2 - (1 - found / FARTHEST) ** 2)
        intensity[point] = np.floor(min(max(most + top * focus[1][laser] * focal, 0.0), top))
        if abs(found - far) < _SAME:
            kind[point] = WEAKENED
        else:
            kind[point] = SNOW
            distance[point] = found


@compiled_exactly
def _flakes_met(
    azimuth: float, far: float, pattern: int, table: Table, covered: Pair, met: Pair
) -> tuple[int, float]:
    """How many flakes take a part of a beam, nearest first, and the width left for the target."""
    start, centre, half_width, flake_range = table
    low, high = covered
    half = BEAM / 2
    entry = pattern * NUM_SLICES + int(np.floor((azimuth + np.pi - half) / SLICE)) % NUM_SLICES
    num_covered, num_met, left = 0, 0, BEAM
    for flake in range(start[entry], start[entry + 1]):
        if flake_range[flake] >= far or num_met == _MOST - 1:
            break
        away = centre[flake] - azimuth
        away -= 2 * np.pi * np.rint(away / (2 * np.pi))
        begin, end = max(away - half_width[flake], -half), min(away + half_width[flake], half)
        if begin >= end:
            continue
        free, kept, first, last = end - begin, 0, begin, end
        for i in range(num_covered):
            if high[i] <= begin or low[i] >= end:
                low[kept], high[kept] = low[i], high[i]
                kept += 1
            else:
                free -= min(high[i], end) - max(low[i], begin)
                first, last = min(first, low[i]), max(last, high[i])
        low[kept], high[kept] = first, last
        num_covered = kept + 1
        if free > _NOTHING:
            met[0][num_met], met[1][num_met] = flake_range[flake], free / BEAM
            num_met += 1
            left -= free
    return num_met, max(left, 0.0)


@compiled_exactly
def _strongest(at: Float64, share: Float64, light: float, power: Float64) -> tuple[int, float]:
    """Step of the grid at which most light comes back, the first of equals, and how much it is."""
    end = 0
    for echo in range(len(at)):
        begin = max(int(np.ceil(10 * at[echo])), end)
        end = int(np.floor(10 * (at[echo] + _PULSE))) + 1
        power[begin:end] = 0
    for echo in range(len(at)):
        level = light * share[echo] * min(max(10 * at[echo] - 9, 0.0), 1.0) / at[echo] ** 2 / 2
        phase = 2 * np.pi * at[echo] / _PULSE
        cos, sin = np.cos(phase), np.sin(phase)
        first = int(np.ceil(10 * at[echo]))
        for k in range(first, int(np.floor(10 * (at[echo] + _PULSE))) + 1):
            power[k] += level * (1 - (_COS[k] * cos + _SIN[k] * sin))
    best, most, end = 0, 0.0, 0
    for echo in range(len(at)):
        begin = max(int(np.ceil(10 * at[echo])), end)
        end = int(np.floor(10 * (at[echo] + _PULSE))) + 1
        for k in range(begin, end):
            if power[k] > most:
                best, most = k, power[k]
    return best, most


def _all_beams_defined(
    azimuth: Float64, rows: Rows, table: Table, focus: Focus, result: tuple[Any, ...]
) -> None:
    pattern, channel = rows
    distance, intensity, kind = result
    for point in np.flatnonzero((distance > 0) & (distance < FARTHEST)):
        far = float(distance[point])
        at, share = _beam_parts(float(azimuth[point]), far, int(pattern[point]), table)
        if len(at) == 1:
            continue
        fd, slope, top = (values[channel[point]] for values in focus)
        grid = _GRID[:, None]
        first, last = np.ceil(10 * at), np.floor(10 * (at + _PULSE))
        step = np.arange(len(_GRID))[:, None]
        seen = np.clip(10 * at - 9, 0, 1) / at**2
        pulse = np.sin(np.pi * (grid - at) / _PULSE) ** 2 * ((step >= first) & (step <= last))
        power = (_SNOW_LIGHT * top * share * seen * pulse).sum(axis=1)
        if not power.max() > 0:
            continue
        found = np.argmax(power) / 10 - _PULSE / 2
        focal = abs((1 - fd / _FOCUS) ** 2 - (1 - found / FARTHEST) ** 2)
        intensity[point] = np.floor(np.clip(power.max() + top * slope * focal, 0, top))
        kind[point] = WEAKENED if abs(found - far) < _SAME else SNOW
        if kind[point] == SNOW:
            distance[point] = found


def _beam_parts(azimuth: float, far: float, pattern: int, table: Table) -> tuple[Float64, Float64]:
    """(F + 1,) ranges of the flakes in a beam and of its target, and their shares of the beam."""
    start, centre, half_width, flake_range = table
    half = BEAM / 2
    entry = pattern * NUM_SLICES + int(np.floor((azimuth + np.pi - half) / SLICE)) % NUM_SLICES
    inside = slice(start[entry], start[entry + 1])
    away = centre[inside] - azimuth
    away -= 2 * np.pi * np.rint(away / (2 * np.pi))
    low = np.maximum(away - half_width[inside], -half)
    high = np.minimum(away + half_width[inside], half)
    meets = (flake_range[inside] < far) & (low < high)
    low, high = np.append(low[meets], -half), np.append(high[meets], half)  # last, the target
    edges = np.unique(np.concatenate([low, high]))
    # Between two neighbouring edges the beam belongs to the nearest that covers them.
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    owner = np.argmax((low[:, None] < middle) & (high[:, None] > middle), axis=0)
    share = np.bincount(owner, weights=width, minlength=len(low)) / BEAM
    at = np.append(flake_range[inside][meets].astype(np.float64), far)
    takes = share > _NOTHING / BEAM
    takes[-1] = True
    return at[takes], share[takes]
