"""What is wrong with a drive, in plain words, from a few of its frames.

Every threshold is far from what nuScenes, SemanticKITTI, KITTI raw and both lidars of PandaSet
show (``tests/faults/diagnoses.py`` and ``benchmarks/check_faults.py`` measure that), so that
silence is the rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.data_check.findings import camera as calibration
from lidistill.data_check.findings import scan
from lidistill.data_check.findings.causes import explain
from lidistill.data_check.findings.finding import Fault, Finding
from lidistill.data_check.findings.ground import Ground, fit_ground
from lidistill.data_check.findings.limits import limits
from lidistill.data_check.findings.observed import Camera, observe
from lidistill.data_check.findings.world import in_lidar_frame, world_frame
from lidistill.datasets.sensors import Sensor
from lidistill.errors import LidistillError
from lidistill.images.files import image_size
from lidistill.records import CameraView, Frame

__all__ = ["CameraFit", "Diagnosis", "Fault", "Finding", "chosen_frames", "diagnose", "examine"]

_BLOCKS: Final = 4
_BLOCK: Final = 3  # frames in a row, so that motion between them can be seen


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFit:
    """How well the points of a drive meet the edges of one camera's images."""

    camera: str
    contrast: float | None
    """Mean rank of edges under steps in depth, less that beside them; sound: 0.05 to 0.2."""
    num_steps: int
    low: bool
    """Whether the contrast lies below what sound cameras have."""
    tells: bool
    """Whether there are steps enough to judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What looks wrong with a drive, and how far one could see."""

    findings: tuple[Finding, ...]
    cameras: tuple[CameraFit, ...] = ()
    limits: tuple[str, ...] = ()
    """What cannot be told from these frames, and why."""


def chosen_frames(num_frames: int, *, num_blocks: int = _BLOCKS) -> tuple[int, ...]:
    """Which frames to diagnose: runs of three, spread over all; increasing."""
    last = max(0, num_frames - _BLOCK)
    starts = np.linspace(0, last, num_blocks).round().astype(int)
    return tuple(sorted({int(s) + i for s in starts for i in range(_BLOCK) if s + i < num_frames}))


def diagnose(frames: Sequence[Frame], sensor: Sensor | None = None) -> tuple[Finding, ...]:
    """Everything that looks wrong with some frames of one drive; see ``examine``."""
    return examine(dict(enumerate(frames)), sensor).findings


def examine(
    frames: Mapping[int, Frame],
    sensor: Sensor | None = None,
    images: Mapping[str, Mapping[int, Path]] | None = None,
) -> Diagnosis:
    """Everything that looks wrong with some frames of one drive.

    No finding hides another: a wrong unit or a world frame with poses is undone before the rest
    is looked at.

    Args:
        frames: By their position in the drive, in the order of time; those of ``chosen_frames``
            are enough.
        sensor: Statistics that the intensities will be standardised with; None: unknown.
        images: All images of the drive, by camera and position of their frame; None: those of
            ``frames``.
    """
    frames = {i: frame for i, frame in frames.items() if len(frame.points)}
    if not frames:
        return Diagnosis(findings=())
    scans = list(frames.values())
    found = [
        scan.too_few_points(scans),
        scan.empty_returns(scans),
        scan.duplicated_points(scans),
        scan.intensity(scans, sensor),
    ]
    lost = world_frame(scans)
    back = scans if lost is None else in_lidar_frame(scans)
    unit = scan.range_unit(back) if back is not None else None
    found += [lost, unit[0] if unit is not None else None]
    if back is None:
        seen = {name: Camera(name=name, observed=()) for name in _views_by_camera(frames)}
        return _diagnosis(found, list(seen.values()), limits(scans, [], lost=True))
    if unit is not None:
        back = [replace(f, points=(f.points * unit[1]).astype(np.float32)) for f in back]
    ground = _usual_ground(back)
    tilt = scan.up_axis(ground)
    found += [scan.mounting_height(ground), tilt]
    frames = dict(zip(frames, back, strict=True))
    cameras, wrong = _observe_cameras(frames, ground if tilt is None else None, images or {})
    up = np.array([0.0, 0.0, 1.0]) if ground is None else ground.up
    judged = [camera for camera in cameras if camera.observed]
    misplaced = {
        name for finding in wrong if finding.fault != "principal_point" for name in finding.cameras
    }
    found += [*wrong, *_causes(judged, up, misplaced)]
    return _diagnosis(found, cameras, limits(back, judged, lost=False))


def _causes(cameras: Sequence[Camera], up: NDArray[np.float64], named: set[str]) -> list[Finding]:
    """What the images tell; about cameras with a finding already, only what convinces."""
    return [
        finding
        for finding in explain(cameras, up)
        if not (finding.fault == "low_contrast" and named.issuperset(finding.cameras))
    ]


def _diagnosis(
    found: Sequence[Finding | None], cameras: Sequence[Camera], unseen: Sequence[str]
) -> Diagnosis:
    fits = tuple(
        CameraFit(
            camera=camera.name,
            contrast=camera.fit.contrast,
            num_steps=camera.fit.num_steps,
            low=camera.low,
            tells=camera.tells,
        )
        for camera in cameras
    )
    findings = tuple(finding for finding in found if finding is not None)
    return Diagnosis(findings=findings, cameras=fits, limits=tuple(unseen))


def _usual_ground(frames: Sequence[Frame]) -> Ground | None:
    """The road of the frame whose tilt is the median one."""
    fits = [ground for frame in frames if (ground := fit_ground(frame.points)) is not None]
    fits.sort(key=lambda ground: ground.up[2])
    return fits[len(fits) // 2] if fits else None


def _views_by_camera(
    frames: Mapping[int, Frame],
) -> dict[str, list[tuple[int, Frame, CameraView]]]:
    by_camera: dict[str, list[tuple[int, Frame, CameraView]]] = {}
    for position, frame in frames.items():
        for view in frame.views:
            by_camera.setdefault(view.name, []).append((position, frame, view))
    return by_camera


def _observe_cameras(
    frames: Mapping[int, Frame],
    ground: Ground | None,
    images: Mapping[str, Mapping[int, Path]],
) -> tuple[list[Camera], list[Finding]]:
    """Calibrations that cannot be; and what the cameras saw, inverse matrices put right."""
    cameras, found = [], []
    for name, views in _views_by_camera(frames).items():
        askew = calibration.extrinsics([(frame, view) for _, frame, view in views], ground)
        misfit = _misfit(views)
        found += [finding for finding in (askew, misfit) if finding is not None]
        if askew is not None and askew.fault == "inverted_extrinsics":
            right = [(i, frame, calibration.inverted(view)) for i, frame, view in views]
        else:
            right = views
        paths = images.get(name) or {i: view.image_path for i, _, view in views}
        cameras.append(Camera(name=name, observed=observe(right, paths), images=paths))
    return cameras, found


def _misfit(views: Sequence[tuple[int, Frame, CameraView]]) -> Finding | None:
    for _, _, view in views:
        try:
            return calibration.intrinsics(view, image_size(view.image_path))
        except LidistillError:
            continue
    return None
