"""What is wrong with a recording, in plain words, from a few of its frames.

Every threshold is far from what nuScenes, SemanticKITTI, KITTI raw and both lidars of PandaSet
show (``benchmarks/diagnoses.py`` measures that), so that silence is the rule.
"""

from collections.abc import Sequence

import numpy as np

from lidistill.data.diagnose import alignment, camera, scan
from lidistill.data.diagnose.alignment import Observed
from lidistill.data.diagnose.finding import Fault, Finding
from lidistill.data.diagnose.ground import Ground, fit_ground
from lidistill.data.pictures import read_picture
from lidistill.data.sensors import Sensor
from lidistill.errors import LidistillError
from lidistill.structures import CameraView, Frame

__all__ = ["Fault", "Finding", "chosen_frames", "diagnose"]

_BLOCKS = 4
_BLOCK = 3  # frames in a row, so that motion between them can be seen


def chosen_frames(num_frames: int) -> tuple[int, ...]:
    """Which frames to diagnose: four runs of three, spread over all; increasing."""
    last = max(0, num_frames - _BLOCK)
    starts = np.linspace(0, last, _BLOCKS).round().astype(int)
    return tuple(sorted({int(s) + i for s in starts for i in range(_BLOCK) if s + i < num_frames}))


def diagnose(frames: Sequence[Frame], sensor: Sensor | None = None) -> tuple[Finding, ...]:
    """Everything that looks wrong with some frames of one sensor.

    Findings build on each other: where coordinates are in another unit, the road is not looked
    for; where it is not level, cameras are not judged; where a camera hangs askew, its pictures
    are not compared.

    Args:
        frames: In the order of time; those of ``chosen_frames`` are enough.
        sensor: Statistics that the intensities will be standardised with; None: unknown.
    """
    frames = [frame for frame in frames if len(frame.points)]
    if not frames:
        return ()
    found = [
        scan.too_few_points(frames),
        scan.empty_returns(frames),
        scan.duplicated_points(frames),
        scan.intensity(frames, sensor),
    ]
    found.append(scan.range_unit(frames))
    if found[-1] is None:
        ground = _usual_ground(frames)
        height, tilt = scan.mounting_height(ground), scan.up_axis(ground)
        found += [height, tilt]
        if tilt is None:
            observed, askew = _diagnose_cameras(frames, ground)
            found += askew
            # Points in another place than the calibration is for meet edges by chance alone.
            if height is None:
                found += _diagnose_pictures(frames, observed, sound=not any(askew))
    return tuple(finding for finding in found if finding is not None)


def _usual_ground(frames: Sequence[Frame]) -> Ground | None:
    """The road of the frame whose tilt is the median one."""
    fits = [ground for frame in frames if (ground := fit_ground(frame.points)) is not None]
    fits.sort(key=lambda ground: ground.up[2])
    return fits[len(fits) // 2] if fits else None


def _diagnose_cameras(
    frames: Sequence[Frame], ground: Ground | None
) -> tuple[list[list[Observed]], list[Finding | None]]:
    """Calibrations that cannot be; and what the cameras without such a fault saw."""
    by_camera: dict[str, list[tuple[Frame, CameraView]]] = {}
    for frame in frames:
        for view in frame.views:
            by_camera.setdefault(view.name, []).append((frame, view))
    found: list[Finding | None] = []
    observed: list[list[Observed]] = []
    for views in by_camera.values():
        askew = camera.extrinsics(views, ground)
        seen, misfit = _observe(views)
        found += [askew, misfit]
        if askew is None and misfit is None:
            observed.append(seen)
    return observed, found


def _diagnose_pictures(
    frames: Sequence[Frame], observed: list[list[Observed]], *, sound: bool
) -> list[Finding | None]:
    """Where points and pictures disagree: the explanation that fits best, not all of them."""
    together = [one for seen in observed for one in seen]
    turned = alignment.orientation(together)
    beside = [f for seen in observed if (f := alignment.sideways_offset(seen)) is not None]
    if turned is not None:
        shifted = np.mean([f.evidence["contrast_changed"] for f in beside]) if beside else 0.0
        return [turned] if turned.evidence["contrast_changed"] > shifted else [*beside]
    if beside or not sound:
        return [*beside]
    return [alignment.time_offset([[o for o in together if o.frame is f] for f in frames])]


def _observe(
    views: Sequence[tuple[Frame, CameraView]],
) -> tuple[list[Observed], Finding | None]:
    """One camera's pictures as edges; and a finding if they do not fit the calibration.

    A picture that does not decode is left out: whoever reads the data set reports it.
    """
    observed: list[Observed] = []
    for frame, view in views:
        try:
            picture = read_picture(view.image_path)
        except LidistillError:
            continue
        height, width = picture.shape[:2]
        misfit = camera.intrinsics(view, (height, width))
        if misfit is not None:
            return observed, misfit
        observed.append(Observed.of(frame, view, picture))
    return observed, None
