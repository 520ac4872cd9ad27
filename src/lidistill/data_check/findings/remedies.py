"""What could be changed about a recording so that its points meet its images.

Every remedy is applied to the scans that were looked at, and compared with leaving things as they
are on the same scans.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations, permutations, product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.data_check.findings.camera import inverted
from lidistill.data_check.findings.edges import Fit, depth_steps, fit, together
from lidistill.data_check.findings.finding import Fault
from lidistill.data_check.findings.observed import Camera, Observed

FITS: Final = 0.045
"""Contrast below which nothing is believed to fit."""
_SCALES: Final = np.geomspace(0.5, 2, 47)  # 3 % apart
_FEW_STEPS: Final = 0.04  # noise above which chance finds a remedy for anything
_SAME_SCALE: Final = (0.94, 1.06)
_BENDS: Final = (-0.5, -0.4, -0.3, -0.2, -0.1, 0.1, 0.2, 0.3)  # k1 of lenses on vehicles
_FACTORS: Final = {0.0: "leave it out", 0.1: "divide it by 10", -1.0: "change its sign"}
_FEWER: Final = 6  # scans, where steps must be looked for anew
_AXES: Final = {
    "x ahead, y left, z up": [[0, -1, 0], [0, 0, -1], [1, 0, 0]],
    "x right, y up, z backwards": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
}
_TURNS: Final = {
    "x and y are swapped": [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
    "y is negated": [[1, 0, 0], [0, -1, 0], [0, 0, 1]],
    "x is negated": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "x and y are swapped and negated": [[0, -1, 0], [-1, 0, 0], [0, 0, 1]],
    "they are turned by 90 degrees to the left": [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    "they are turned by 90 degrees to the right": [[0, 1, 0], [-1, 0, 0], [0, 0, 1]],
    "they are turned by 180 degrees": [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """A change, and how well points and images fit without and with it."""

    fault: Fault
    text: str
    """What is changed, to be read after "steps meet edges when"."""
    hint: str
    """What to do about it, a sentence."""
    fits: Mapping[str, tuple[Fit, Fit]]
    """By camera: as it is, and changed."""
    evidence: Mapping[str, float] = field(default_factory=dict)
    chances: float = 1.5
    """Deviations of chance that the gain must exceed; more where many are tried."""
    least_gain: float = 0.03
    """Of contrast, beyond chance."""
    joint: bool = False
    """Whether it concerns its cameras together or none."""

    def of(self, cameras: Iterable[str]) -> "Result":
        """What it does for some of its cameras."""
        known = [self.fits[name] for name in cameras if name in self.fits]
        before, after = together(b for b, _ in known), together(a for _, a in known)
        return Result(remedy=self, before=before, after=after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a remedy does for a group of cameras."""

    remedy: Remedy
    before: Fit
    after: Fit

    @property
    def contrast(self) -> float:
        """With the change; minus infinity where too little is seen."""
        return -np.inf if self.after.contrast is None else self.after.contrast

    @property
    def gain(self) -> float:
        """Of contrast; all of it where nothing could be seen before."""
        return self.contrast - (self.before.contrast or 0.0)

    @property
    def convinces(self) -> bool:
        """Whether the change fits, and clearly better than what is there."""
        chance = self.remedy.chances * self.after.noise
        enough = self.after.noise < _FEW_STEPS
        return enough and self.contrast > FITS and self.gain > self.remedy.least_gain + chance


def _changed(
    cameras: Sequence[Camera], change: Callable[[Observed], Fit]
) -> dict[str, tuple[Fit, Fit]]:
    return {camera.name: (camera.fit, camera.under(change)) for camera in cameras}


def image_remedies(cameras: Sequence[Camera]) -> Iterator[Remedy]:
    """Images on their heads, or mirrored."""
    yield Remedy(
        fault="upside_down",
        text="the images are turned by 180 degrees: they stand on their heads",
        hint="Turn them, and K with them, where you write the recording.",
        fits=_changed(cameras, lambda one: fit(one.edges[::-1, ::-1], one.steps.uv)),
    )
    yield Remedy(
        fault="mirrored",
        text="the images are mirrored left to right",
        hint="Mirror them back where you write the recording.",
        fits=_changed(cameras, lambda one: fit(one.edges[:, ::-1], one.steps.uv)),
    )


def exchange_remedies(cameras: Sequence[Camera]) -> Iterator[Remedy]:
    """Every two cameras with each other's images."""
    for one, other in combinations(cameras, 2):
        fits = {}
        for own, lent in ((one, other), (other, one)):
            edges = {lent_one.frame.frame_id: lent_one.edges for lent_one in lent.observed}
            both = [o for o in own.observed if o.frame.frame_id in edges]
            fits[own.name] = (
                together(o.own for o in both),
                together(fit(edges[o.frame.frame_id], o.steps.uv) for o in both),
            )
        yield Remedy(
            fault="exchanged_cameras",
            text=f"{one.name} and {other.name} change places",
            hint="One has the other's images, or its calibration: exchange them.",
            fits=fits,
            chances=2.5,
            joint=True,
        )


def lens_remedies(cameras: Sequence[Camera]) -> Iterator[Remedy]:
    """Other focal lengths, and lenses that bend more or less."""
    cameras = [camera.thinned(_FEWER) for camera in cameras]
    for scale in _SCALES[(_SAME_SCALE[0] > _SCALES) | (_SAME_SCALE[1] < _SCALES)]:
        yield Remedy(
            fault="focal_length",
            text=f"the focal lengths in K are multiplied by {scale:.2f}",
            hint="Was K scaled, or made for another lens or image size?",
            fits=_changed(cameras, partial(_zoomed, by=scale)),
            evidence={"scale": float(scale)},
        )
    bent = [camera for camera in cameras if _distortion(camera) is not None]
    straight = [camera for camera in cameras if _distortion(camera) is None]
    for factor, advice in _FACTORS.items() if bent else ():
        yield Remedy(
            fault="distortion",
            text=f"the distortion is changed ({advice})",
            hint="Do the coefficients belong to this lens, or are the images undistorted already?",
            fits=_changed(bent, partial(_bent_by, factor=factor)),
            evidence={"factor": factor},
        )
    for k1 in _BENDS if straight else ():
        yield Remedy(
            fault="distortion",
            text=f"the lens bends (k1 of about {k1:g})",
            hint="Were its distortion coefficients left out though images are not undistorted?",
            fits=_changed(straight, partial(_bent, k1=k1)),
            evidence={"k1": k1},
        )


def axis_remedies(cameras: Sequence[Camera], up: NDArray[np.float64]) -> Iterator[Remedy]:
    """Other axes of points or cameras, and inverse matrices.

    Args:
        cameras: All of a drive.
        up: (3,) unit vector away from the road, in the coordinates of the points.
    """
    few = [camera.thinned(_FEWER) for camera in cameras]
    for text, turn in _turns(up):
        yield Remedy(
            fault="mirrored",
            text=f"the axes of the points are changed: {text}",
            hint="Correct that where you write the scans, or make T_cam_lidar for these axes.",
            fits=_changed(few, partial(_turned, by=turn)),
        )
    for axes, rotation in _AXES.items():
        yield Remedy(
            fault="camera_axes",
            text=f"the camera's axes are taken as {axes}",
            hint="T_cam_lidar must end in x right, y down, z ahead: turn it.",
            fits=_changed(few, partial(_rotated, by=np.array(rotation))),
        )
    yield Remedy(
        fault="inverted_extrinsics",
        text="the matrix is inverted",
        hint="T_cam_lidar must take lidar coordinates to camera coordinates; this looks like "
        "T_lidar_cam: invert it.",
        fits=_changed(few, _inverted),
    )


def _turns(up: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Ways to swap and negate axes after which up is along z, but for leaving them alone."""
    level = up[2] > np.cos(np.deg2rad(15))
    if level:
        for text, matrix in _TURNS.items():
            yield text, np.array(matrix, dtype=np.float64)
        return
    for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3)):
        turn = np.diag(signs) @ np.eye(3)[list(order)]
        if (turn @ up)[2] > np.cos(np.deg2rad(30)):
            names = [
                ("-" if s < 0 else "") + "xyz"[axis] for s, axis in zip(signs, order, strict=True)
            ]
            yield f"(x, y, z) become ({', '.join(names)})", turn


def _distortion(camera: Camera) -> NDArray[np.float64] | None:
    bent = camera.observed[0].view.distortion if camera.observed else None
    return bent if bent is not None and np.abs(bent).any() else None


def _zoomed(one: Observed, by: float) -> Fit:
    K = one.view.K.copy()
    K[:2, :2] *= by
    return one.with_view(replace(one.view, K=K))


def _bent(one: Observed, k1: float) -> Fit:
    return one.with_view(replace(one.view, distortion=np.array([k1, 0.0, 0.0, 0.0, 0.0])))


def _bent_by(one: Observed, factor: float) -> Fit:
    bent = one.view.distortion
    return one.anew(replace(one.view, distortion=None if bent is None else factor * bent))


def _turned(one: Observed, by: NDArray[np.float64]) -> Fit:
    points = one.frame.points @ by.T.astype(np.float32)
    return fit(one.edges, depth_steps(points, one.view).thinned().uv)


def _rotated(one: Observed, by: NDArray[np.float64]) -> Fit:
    T = one.view.T_cam_lidar.copy()
    T[:3] = by @ T[:3]
    return one.anew(replace(one.view, T_cam_lidar=T))


def _inverted(one: Observed) -> Fit:
    return one.anew(inverted(one.view))
