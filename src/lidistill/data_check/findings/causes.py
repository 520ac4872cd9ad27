"""Why points and images of a drive do not meet: the change after which they clearly do."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.data_check.findings import alignment
from lidistill.data_check.findings.edges import together
from lidistill.data_check.findings.finding import Finding
from lidistill.data_check.findings.observed import Camera, is_low
from lidistill.data_check.findings.remedies import (
    FITS,
    Remedy,
    Result,
    axis_remedies,
    exchange_remedies,
    image_remedies,
    lens_remedies,
)
from lidistill.data_check.findings.synchronization import (
    MOST_CAMERAS,
    neighbor_remedies,
    order_remedies,
)

_ALONE: Final = 2.5  # deviations of chance, to believe a remedy of a single camera
_THOUGH_FITS: Final = 4.0  # the same, of a camera that fits as it is
_MOST_AGREE: Final = 0.6  # of the cameras, to believe that something is wrong with all of them


def explain(cameras: Sequence[Camera], up: NDArray[np.float64]) -> list[Finding]:
    """Findings about cameras whose points lie elsewhere than their edges.

    What explains all cameras of a drive is looked for first, then what explains each.

    Args:
        cameras: Of one drive; those whose calibration cannot be are left out.
        up: (3,) unit vector away from the road, in the coordinates of the points.
    """
    if not cameras:
        return []
    tried = [
        *image_remedies(cameras),
        *exchange_remedies(cameras),
        *neighbor_remedies(cameras),
        *lens_remedies(cameras),
    ]
    beside = [f for camera in cameras if (f := alignment.sideways_offset(camera)) is not None]
    doubtful = [camera for camera in cameras if (camera.fit.contrast or 0.0) < FITS]
    if doubtful:
        tried += axis_remedies(cameras, up)
    low = [camera for camera in cameras if camera.low]
    untold = [camera for camera in doubtful if not camera.tells]
    if low or is_low(together(camera.fit for camera in untold)):
        tried += order_remedies(low or untold)
    found, left = _believed(tried, cameras, beside)
    if left and not found:
        late = alignment.time_offset(left)
        found += [late] if late is not None else []
    named = set(chain.from_iterable(finding.cameras for finding in found))
    return found + [_unexplained(camera) for camera in low if camera.name not in named]


def _believed(
    tried: Sequence[Remedy], cameras: Sequence[Camera], beside: Sequence[Finding]
) -> tuple[list[Finding], list[Camera]]:
    """Findings by the remedies that convince, and the cameras that none is about."""
    found: list[Finding] = []
    left = list(cameras)
    everywhere = _everywhere(tried, left)
    results = [r.of(r.fits) for r in tried if r.fault == "exchanged_cameras"]
    while (pair := _best(_with_names(results, left))) is not None:
        names = list(pair.remedy.fits)
        if everywhere is not None and everywhere.remedy.of(names).contrast > pair.contrast:
            break
        found.append(_finding(pair, names))
        left = [camera for camera in left if camera.name not in names]
        everywhere = _everywhere(tried, left)
    shifted = float(np.mean([f.evidence["contrast_changed"] for f in beside])) if beside else 0.0
    if everywhere is not None and everywhere.contrast > shifted:
        about = set(everywhere.remedy.fits) & {camera.name for camera in left}
        if everywhere.remedy.fault == "image_order":  # tried with some of the cameras only
            about |= {camera.name for camera in left if camera.low}
        found.append(_finding(everywhere, sorted(about)))
        left = [camera for camera in left if camera.name not in about]
    for camera in tuple(left):
        sure = _ALONE if (camera.fit.contrast or 0.0) < FITS else _THOUGH_FITS
        alone = [
            replace(r, chances=max(r.chances, sure)).of([camera.name])
            for r in tried
            if camera.name in r.fits and not r.joint
        ]
        best = _best(alone)
        aside = next((f for f in beside if camera.name in f.cameras), None)
        if aside is not None and (
            best is None or best.contrast < aside.evidence["contrast_changed"]
        ):
            found.append(aside)
        elif best is not None:
            found.append(_finding(best, [camera.name]))
        else:
            continue
        left.remove(camera)
    return found, left


def _everywhere(tried: Sequence[Remedy], cameras: Sequence[Camera]) -> Result | None:
    """The best remedy that most of some cameras gain by."""
    names = [camera.name for camera in cameras]
    return _best([r.of(names) for r in tried if _is_common(r, names)])


def _with_names(results: Sequence[Result], left: Sequence[Camera]) -> list[Result]:
    names = {camera.name for camera in left}
    return [result for result in results if names.issuperset(result.remedy.fits)]


def _best(results: Sequence[Result]) -> Result | None:
    convincing = [result for result in results if result.convinces]
    return max(convincing, key=lambda result: result.contrast, default=None)


def _is_common(remedy: Remedy, cameras: Sequence[str]) -> bool:
    """Whether a remedy is one for all cameras, and most of them gain by it."""
    known = [name for name in cameras if name in remedy.fits]
    enough = max(1.0, min(len(cameras), MOST_CAMERAS) * _MOST_AGREE)
    if remedy.fault == "exchanged_cameras" or len(known) < enough:
        return False
    gains = [remedy.of([name]).gain > 0 for name in known]
    return sum(gains) >= _MOST_AGREE * len(gains)


def _finding(result: Result, cameras: Sequence[str]) -> Finding:
    before = "none" if result.before.contrast is None else f"{result.before.contrast:.2f}"
    text = (
        f"{', '.join(cameras)}: steps in depth do not meet edges of the images, but do when "
        f"{result.remedy.text} (contrast {result.contrast:.2f} instead of {before}; usual is 0.05 "
        f"to 0.2). {result.remedy.hint}"
    )
    evidence = {
        "contrast": result.before.contrast or 0.0,
        "contrast_changed": result.contrast,
        **result.remedy.evidence,
    }
    return Finding(
        fault=result.remedy.fault,
        severity="warning",
        text=text,
        evidence=evidence,
        cameras=tuple(cameras),
    )


def _unexplained(camera: Camera) -> Finding:
    contrast, steps = camera.fit.contrast or 0.0, camera.fit.num_steps
    text = (
        f"{camera.name}: steps in depth do not meet edges of the images (contrast {contrast:.2f} "
        f"over {steps:,} steps; usual is 0.05 to 0.2), and nothing that was tried explains it: "
        "exchanged cameras, other axes, inverse matrices, focal lengths, distortion, other moments."
        " Do calibration and images belong to this camera and drive?"
    )
    return Finding(
        fault="low_contrast",
        severity="warning",
        text=text,
        evidence={"contrast": contrast, "steps": float(steps)},
        cameras=(camera.name,),
    )
