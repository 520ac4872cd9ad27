"""What the points of a scan alone can tell: empty returns, units, axes, height, intensity.

Every function takes the frames of one sensor and returns a finding, or None where all is usual.

Shape letters: N points.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.data_check.findings.finding import Finding
from lidistill.data_check.findings.ground import Ground, fit_ground
from lidistill.datasets.sensors import Sensor
from lidistill.records import Frame

_FEW_POINTS: Final = 1000
_EMPTY_SHARE: Final = 0.15  # nuScenes has scans with 11 %
_DUPLICATE_SHARE: Final = 0.05
_ORIGIN: Final = 1e-3  # metres
_OWN_CAR: Final = 1.0  # metres
_USUAL_MEDIAN: Final = (1.5, 80.0)  # metres; real street scans have 7 to 20
_UNITS: Final = {"millimetres": 1e-3, "centimetres": 1e-2, "kilometres": 1e3}
_TYPICAL_RANGE: Final = 12.0  # metres
_CLIPPED_SHARE: Final = 0.05  # the widest pile of a real set at its maximum is 0.8 %
_SCALE_RATIO: Final = 4.0  # a real drive is within a factor 1.4 of its sensor's mean
_SCALES: Final = {1.0: "0 to 1", 255.0: "0 to 255", 4095.0: "12 bit", 65535.0: "16 bit"}
_LEVEL: Final = np.cos(np.deg2rad(15))
_USUAL_HEIGHT: Final = (1.0, 3.0)  # metres
_LIKELY_HEIGHT: Final = (0.5, 4.5)
_FOOT: Final = 0.3048  # metres


def too_few_points(frames: Sequence[Frame]) -> Finding | None:
    """Scans with so few points that neighbourhoods mean nothing."""
    num = int(np.median([len(frame.points) for frame in frames]))
    if num >= _FEW_POINTS:
        return None
    text = (
        f"a scan has {num} points (median); street lidars give 20,000 to 200,000. Is it a whole "
        "turn, or one packet of it? Gather packets into scans."
    )
    return Finding(fault="too_few_points", severity="warning", text=text, evidence={"points": num})


def empty_returns(frames: Sequence[Frame]) -> Finding | None:
    """Beams without an echo that are stored as points at the origin."""
    shares = [np.mean(_distance(frame) < _ORIGIN) for frame in frames if len(frame.points)]
    share = float(np.median(shares)) if shares else 0.0
    if share < _EMPTY_SHARE:
        return None
    text = (
        f"{share:.0%} of the points lie within a millimetre of the sensor; they seem to be beams "
        "without an echo. Write (0, 0, 0) or NaN in their place: such points are left out of "
        "everything, and labels still fit."
    )
    return Finding(fault="empty_returns", severity="warning", text=text, evidence={"share": share})


def duplicated_points(frames: Sequence[Frame]) -> Finding | None:
    """Points that are stored twice."""
    shares = []
    for frame in frames:
        points = frame.points[_distance(frame) > _OWN_CAR]
        if len(points):
            shares.append(1 - len(np.unique(points, axis=0)) / len(points))
    share = float(np.median(shares)) if shares else 0.0
    if share < _DUPLICATE_SHARE:
        return None
    text = (
        f"{share:.0%} of the points have the place of another one; echoes of one beam differ. Are "
        "scans written twice, or packets repeated? Keep each point once."
    )
    return Finding(
        fault="duplicated_points", severity="warning", text=text, evidence={"share": share}
    )


def range_unit(frames: Sequence[Frame]) -> tuple[Finding, float] | None:
    """Coordinates that are not in metres, and the factor that makes them metres.

    The factor is 1 where no unit brings the sensor to where lidars are mounted.
    """
    distances = [d[d > _ORIGIN] for d in map(_distance, frames)]
    medians = [np.median(d) for d in distances if len(d)]
    if not medians:
        return None
    median = float(np.median(medians))
    if _USUAL_MEDIAN[0] <= median <= _USUAL_MEDIAN[1]:
        return None
    unit, factor = min(
        _UNITS.items(), key=lambda item: abs(np.log(median * item[1] / _TYPICAL_RANGE))
    )
    ground = fit_ground(frames[len(frames) // 2].points.astype(np.float64) * factor)
    likely = ground is not None and _LIKELY_HEIGHT[0] < abs(ground.height) < _LIKELY_HEIGHT[1]
    advice = (
        f"They look like {unit}: multiply the coordinates by {factor:g}."
        if likely
        else "No unit puts the sensor over a road: check where the coordinates have their origin, "
        "and their unit."
    )
    text = (
        f"half of the points are nearer than {median:.4g} and half farther; in metres a street "
        f"gives 5 to 25. {advice}"
    )
    finding = Finding(
        fault="range_unit", severity="warning", text=text, evidence={"median_range": median}
    )
    return finding, factor if likely else 1.0


def intensity(frames: Sequence[Frame], sensor: Sensor | None) -> Finding | None:
    """Intensity that is constant, cut off, or of another scale than the sensor's statistics."""
    measured = [frame.intensity for frame in frames if frame.intensity is not None]
    values = np.concatenate([np.zeros(0), *measured])
    if not len(values) or (sensor is not None and sensor.intensity_mean == 0):
        return None  # the recording says itself that it has none
    low, high, mean = float(values.min()), float(values.max()), float(values.mean())
    evidence = {"min": low, "max": high, "mean": mean}
    if low == high:
        text = (
            f"every intensity is {low:g}; a lidar's varies with the surface. Was the column left "
            "out, or cast to whole numbers? Networks do without it, but lose a cue."
        )
        return Finding(fault="intensity_constant", severity="warning", text=text, evidence=evidence)
    return _wrong_scale(evidence, sensor) or _clipped(values, evidence)


def _wrong_scale(evidence: dict[str, float], sensor: Sensor | None) -> Finding | None:
    high, mean = evidence["max"], evidence["mean"]
    ratio = mean / sensor.intensity_mean if sensor is not None else 1.0
    if sensor is None or 1 / _SCALE_RATIO < ratio < _SCALE_RATIO:
        return None
    full = min(_SCALES, key=lambda scale: abs(np.log(max(high, 1e-9) / scale)))
    text = (
        f"intensities go from {evidence['min']:.4g} to {high:.4g} with mean {mean:.4g} (like "
        f"{_SCALES[full]}), but {sensor.name} is standardised with mean "
        f"{sensor.intensity_mean:.4g} and deviation {sensor.intensity_std:.4g}. Divide them by "
        f"about {ratio:.2g}, or give statistics of your own (`lidistill data stats`)."
    )
    evidence = evidence | {"ratio": ratio}
    return Finding(fault="intensity_scale", severity="warning", text=text, evidence=evidence)


def _clipped(values: NDArray[np.float64], evidence: dict[str, float]) -> Finding | None:
    share = float(np.mean(values == evidence["max"]))
    if share < _CLIPPED_SHARE:
        return None
    text = (
        f"{share:.0%} of the intensities are exactly {evidence['max']:.4g}, the largest; they seem "
        "cut off there. Store them unclipped, or scale before converting to whole numbers."
    )
    return Finding(
        fault="intensity_clipped",
        severity="warning",
        text=text,
        evidence=evidence | {"share_at_max": share},
    )


def up_axis(ground: Ground | None) -> Finding | None:
    """A road that is not level in lidar coordinates: swapped axes, or a tilted sensor."""
    if ground is None or ground.up[2] > _LEVEL:
        return None
    axis = int(np.abs(ground.up).argmax())
    tilt = float(np.rad2deg(np.arccos(np.clip(ground.up[2], -1, 1))))
    name = ("-" if ground.up[axis] < 0 else "") + "xyz"[axis]
    along = f"up is along {name}" if abs(ground.up[axis]) > _LEVEL else "no axis points up"
    text = (
        f"the road is a plane tilted by {tilt:.0f} degrees ({along}); z should point up. Swap or "
        "negate the axes of the points, and of T_cam_lidar with them, so that x is ahead and z up."
    )
    return Finding(fault="up_axis", severity="warning", text=text, evidence={"tilt_deg": tilt})


def mounting_height(ground: Ground | None) -> Finding | None:
    """A sensor that is not 1 m to 3 m over the road."""
    if ground is None or _USUAL_HEIGHT[0] <= ground.height <= _USUAL_HEIGHT[1]:
        return None
    height = ground.height
    if abs(height) < _USUAL_HEIGHT[0]:
        advice = "points seem to be given from the road or the axle, not from the lidar"
    elif _USUAL_HEIGHT[0] <= height * _FOOT <= _USUAL_HEIGHT[1]:
        advice = f"in feet that would be {height * _FOOT:.1f} m: are the coordinates in feet"
    else:
        advice = "check where the coordinates have their origin, and their unit"
    text = (
        f"the origin of the points lies {height:.2f} m above the road; lidars on cars sit 1 m to "
        f"3 m above it, and networks trained on them expect that ({advice}). Shift the points, and "
        "T_cam_lidar with them, unless this is right."
    )
    return Finding(
        fault="mounting_height", severity="warning", text=text, evidence={"height": height}
    )


def _distance(frame: Frame) -> NDArray[np.float64]:
    return np.linalg.norm(frame.points.astype(np.float64), axis=1)
