"""Images of another moment: of scans before or after, in reverse, or of a vehicle that stands."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

import numpy as np

from lidistill.data_check.findings.edges import Fit, fit, image_edges, together
from lidistill.data_check.findings.observed import APART, Camera, Edges, Observed
from lidistill.data_check.findings.remedies import Remedy
from lidistill.data_check.findings.world import moved
from lidistill.errors import LidistillError
from lidistill.images.files import read_image

_MOST_IMAGES: Final = 150  # of a camera
MOST_CAMERAS: Final = 3
"""Cameras whose other moments are searched."""
_NEIGHBORS: Final = (1, 2)
_SAME: Final = 0.025  # of contrast, between the own image and that of another moment
_STANDS: Final = 0.5  # metres
_SHARE_OF_SCANS: Final = 0.5


def neighbor_remedies(cameras: Sequence[Camera]) -> Iterator[Remedy]:
    """Images of another moment and in reverse, among those that were looked at anyway."""
    edges = {c.name: {o.position: o.edges for o in c.observed} for c in cameras}
    farthest = max((max(there) - min(there) for there in edges.values() if there), default=0)
    for offset in range(-farthest, farthest + 1):
        remedy = _remedy(cameras, edges, _later(offset), _offset_text(offset), offset)
        if abs(offset) in _NEIGHBORS:
            yield replace(remedy, joint=True, chances=1.0, least_gain=0.02)
        elif offset and remedy.fits:
            yield replace(remedy, chances=3.0)
    yield _reverse_remedy(cameras, edges)


def order_remedies(cameras: Sequence[Camera]) -> Iterator[Remedy]:
    """Images from anywhere in the drive, or in reverse order; reads the images it needs.

    Args:
        cameras: Those that do not fit as they are.
    """
    chosen = sorted(cameras, key=lambda c: c.fit.num_steps, reverse=True)[:MOST_CAMERAS]
    chosen = [_within_reach(camera) for camera in chosen if len(camera.images) > 1]
    edges = {camera.name: _edges_of(camera) for camera in chosen}
    longest = max((len(camera.images) for camera in chosen), default=1)
    yield _reverse_remedy(chosen, edges)
    for offset in range(-longest, longest + 1):
        if offset:
            remedy = _remedy(chosen, edges, _later(offset), _offset_text(offset), offset)
            yield replace(remedy, chances=3.0)


def stands(cameras: Sequence[Camera]) -> bool:
    """Whether images of other moments fit as well, so that nothing can be told about time."""
    if _poses_stand(cameras):
        return True
    own, others = [], []
    for camera in cameras:
        for one in camera.observed:
            for other in camera.observed:
                if abs(one.position - other.position) >= APART:
                    own.append(one.own)
                    others.append(fit(other.edges, one.steps.uv))
    if not own:
        return False
    here, there = together(own).contrast, together(others).contrast
    return here is not None and there is not None and there > max(_SAME, here - _SAME)


def _poses_stand(cameras: Sequence[Camera]) -> bool:
    for camera in cameras:
        frames = [one.frame for one in camera.observed]
        ways = [moved(frames[0], frame) for frame in frames[1:]]
        known = [float(np.linalg.norm(T[:3, 3])) for T in ways if T is not None]
        if known:
            return max(known) < _STANDS
    return False


def _later(offset: int) -> Callable[[Observed, str], int]:
    return lambda one, _: one.position + offset


def _offset_text(offset: int) -> str:
    when = "after" if offset > 0 else "before"
    return f"every scan takes the image {abs(offset)} {when} its own"


def _remedy(
    cameras: Sequence[Camera],
    edges: Mapping[str, Mapping[int, Edges]],
    position: Callable[[Observed, str], int],
    text: str,
    offset: int,
) -> Remedy:
    fits: dict[str, tuple[Fit, Fit]] = {}
    for camera in cameras:
        there = edges[camera.name]
        both = [one for one in camera.observed if position(one, camera.name) in there]
        if len(both) >= _SHARE_OF_SCANS * len(camera.observed):
            fits[camera.name] = (
                together(one.own for one in both),
                together(fit(there[position(o, camera.name)], o.steps.uv) for o in both),
            )
    return Remedy(
        fault="image_order",
        text=text,
        hint="Check file names, clocks and time_offset.",
        fits=fits,
        evidence={"offset": float(offset)},
    )


def _reverse_remedy(cameras: Sequence[Camera], edges: Mapping[str, Mapping[int, Edges]]) -> Remedy:
    last = {camera.name: len(camera.images) - 1 for camera in cameras}
    text = "the images are taken in reverse order"
    remedy = _remedy(cameras, edges, lambda one, name: last[name] - one.position, text, 0)
    return replace(remedy, chances=2.5)


def _within_reach(camera: Camera) -> Camera:
    """Where a drive is long, the run of scans in its middle, whose neighbours can all be read."""
    if len(camera.images) <= _MOST_IMAGES:
        return camera
    runs = [
        [one for _, one in run]
        for _, run in groupby(enumerate(camera.observed), lambda item: item[1].position - item[0])
    ]
    return replace(camera, observed=tuple(runs[len(runs) // 2]))


def _edges_of(camera: Camera) -> dict[int, Edges]:
    """Edges of the images around the scans that were looked at, by position."""
    known = {one.position: one.edges for one in camera.observed}
    size = next((one.view.size_hw for one in camera.observed), None)
    paths = [camera.images[frame] for frame in sorted(camera.images)]
    middle = int(np.median(list(known))) if known else 0
    half = _MOST_IMAGES // 2
    first = max(0, min(middle - half, len(paths) - _MOST_IMAGES))
    for position in range(first, min(len(paths), first + _MOST_IMAGES)):
        if position not in known:
            try:
                image = read_image(paths[position])
            except LidistillError:
                continue
            if image.shape[:2] == size:
                known[position] = image_edges(image)
    return known
