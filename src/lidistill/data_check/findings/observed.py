"""One camera of one drive, as far as it was looked at: scans, edges of images, steps in depth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.data_check.findings.edges import (
    Fit,
    Steps,
    depth_steps,
    fit,
    image_edges,
    together,
)
from lidistill.errors import LidistillError
from lidistill.images.files import read_image
from lidistill.records import CameraView, Frame

Edges: TypeAlias = NDArray[np.float32]

USUAL: Final = 0.05
"""Contrast that the weakest camera of a sound set reaches, but for chance."""
APART: Final = 3
"""Images whose moment differs where the vehicle moves are so many apart."""
_LIFTED: Final = 0.025  # of rank
_SURE: Final = 0.02  # noise of the contrast above which no camera is called wrong
_TELLING: Final = 0.03  # noise of the contrast above which nothing can be told


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One view of a frame with the edges of its image, and what the lidar saw there."""

    frame: Frame
    view: CameraView
    position: int
    """Of the image among those of its camera and drive."""
    edges: Edges
    """(H, W) of ``edges.image_edges``."""
    steps: Steps
    own: Fit

    @classmethod
    def of(
        cls, frame: Frame, view: CameraView, image: NDArray[np.uint8], position: int = 0
    ) -> "Observed":
        """A view and its decoded image."""
        edges, steps = image_edges(image), depth_steps(frame.points, view).thinned()
        own = fit(edges, steps.uv)
        return cls(frame=frame, view=view, position=position, edges=edges, steps=steps, own=own)

    def with_view(self, view: CameraView) -> Fit:
        """Fit of the same steps by another calibration that sees nearly the same."""
        return fit(self.edges, self.steps.seen_by(view))

    def anew(self, view: CameraView) -> Fit:
        """Fit by a calibration that sees something else."""
        return fit(self.edges, depth_steps(self.frame.points, view).thinned().uv)

    def seen_from(self, T_other_lidar: NDArray[np.float64]) -> Fit:
        """Fit if the vehicle had been elsewhere when the image was taken."""
        return self.anew(replace(self.view, T_cam_lidar=self.view.T_cam_lidar @ T_other_lidar))


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A camera of a drive."""

    name: str
    observed: tuple[Observed, ...]
    images: Mapping[int, Path] = field(default_factory=dict)
    """All images of the drive by their position, more than were looked at."""

    @property
    def fit(self) -> Fit:
        """Of all images that were looked at."""
        return together(one.own for one in self.observed)

    @property
    def tells(self) -> bool:
        """Whether there are steps enough to judge."""
        return self.fit.contrast is not None and self.fit.noise < _TELLING

    @property
    def low(self) -> bool:
        """Whether points and images clearly do not belong together.

        Before a fence or a hedge nothing stands out from what is beside it, though images of
        another moment would fit worse still: that is no fault.
        """
        return is_low(self.fit) and not self.lift > _LIFTED

    @property
    def lift(self) -> float:
        """Edge rank under the steps, more than in images of other moments; 0 without any."""
        others = [
            fit(other.edges, one.steps.uv)
            for one in self.observed
            for other in self.observed
            if abs(other.position - one.position) >= APART
        ]
        return self.fit.height - together(others).height if others else 0.0

    def under(self, change: Callable[[Observed], Fit]) -> Fit:
        """Fit of all images under a change."""
        return together(map(change, self.observed))

    def thinned(self, most: int) -> "Camera":
        """With fewer scans, spread evenly, where trying is expensive."""
        step = max(1, -(-len(self.observed) // most))
        return replace(self, observed=self.observed[::step])


def is_low(one: Fit) -> bool:
    """Whether a contrast lies below what every sound camera has, chance taken into account."""
    known = one.contrast is not None and one.noise < _SURE
    return known and (one.contrast or 0.0) + 2 * one.noise < USUAL


def observe(
    views: Sequence[tuple[int, Frame, CameraView]], images: Mapping[int, Path]
) -> tuple[Observed, ...]:
    """Decode the images of one camera and compare them with their scans.

    An image that does not decode, or has another size than its calibration speaks of, is left
    out: who reads the data set, or ``camera.intrinsics``, reports it.

    Args:
        views: Position of the frame in its drive, the frame, and its view.
        images: Of the camera, by the position of their frame.
    """
    order = {position: number for number, position in enumerate(sorted(images))}
    seen = []
    for position, frame, view in views:
        try:
            image = read_image(view.image_path)
        except LidistillError:
            continue
        if image.shape[:2] == tuple(view.size_hw):
            seen.append(Observed.of(frame, view, image, order.get(position, position)))
    return tuple(seen)
