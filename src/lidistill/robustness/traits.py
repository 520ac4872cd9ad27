"""What corruptions know of each lidar: the published sets' numbers, and those chosen by analogy.

nuScenes-C and SemanticKITTI-C say their own. For other lidars the numbers are chosen here: those of
SemanticKITTI-C where they depend on the number of beams, those of nuScenes-C where they depend on
the scale of intensities; classes that water lies on, and that give incomplete echoes, are those of
the same meaning.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.labels import LabelMap
from lidistill.records import Frame
from lidistill.robustness.rings import rings_by_elevation, rings_by_turns
from lidistill.robustness.scan import CleanScan, Traits

_NUSCENES: Final = Traits(
    name="nuscenes",
    benchmark="nuScenes-C",
    intensity_top=255.0,
    whole_intensity=True,
    num_rings=32,
    missing_draws=(8, 16, 24),
    missing_rings=(2, 28),
    crosstalk_share=(0.03, 0.07, 0.12),
    wet_noise_floor=(0.2, 0.3, 0.7),
    wet_low=0.0,
    wet_divisor=255.0,
    snow_channel="ring",
    ring_from="file",
    forward="y",
    ground=(),
    objects=(),
    added_ids=(41, 42, 43),
)
_SEMANTIC_KITTI: Final = Traits(
    name="semantic_kitti",
    benchmark="SemanticKITTI-C",
    intensity_top=1.0,
    whole_intensity=False,
    num_rings=64,
    missing_draws=(16, 32, 48),
    missing_rings=(4, 58),
    crosstalk_share=(0.006, 0.008, 0.01),
    wet_noise_floor=(0.3, 0.3, 0.7),
    wet_low=5.0,
    wet_divisor=1.0,
    snow_channel="pitch",
    ring_from="turns",
    forward="x",
    ground=(),
    objects=(),
    added_ids=(21, 22, 23),
)
_OTHER: Final = replace(
    _SEMANTIC_KITTI,
    name="other",
    benchmark=None,
    intensity_top=255.0,
    whole_intensity=True,
    wet_noise_floor=_NUSCENES.wet_noise_floor,
    wet_low=_NUSCENES.wet_low,
    wet_divisor=255.0,
    snow_channel="ring",
    ring_from="elevation",
    added_ids=(0, 0, 0),
)
LIDARS: Final[dict[str, Traits]] = {
    "nuscenes": _NUSCENES,
    "semantic_kitti": _SEMANTIC_KITTI,
    "kitti_raw": replace(_SEMANTIC_KITTI, name="kitti_raw", benchmark=None),
    "pandar64": replace(_OTHER, name="pandar64", forward="y"),
    "pandargt": replace(_OTHER, name="pandargt", forward="y"),
    "argoverse2": replace(_OTHER, name="argoverse2"),
}
"""By the name of the lidar; others are like Pandar64, but for the scale of their intensities."""

_GROUND_CLASSES: Final = frozenset({
    "driveable_surface", "other_flat", "sidewalk", "road", "parking", "other-ground",
    "road marking", "driveway",
})  # fmt: skip
_OBJECT_CLASSES: Final = frozenset({
    "bicycle", "bus", "car", "construction_vehicle", "motorcycle", "trailer", "truck",
    "other-vehicle", "oth. vehicle",
})  # fmt: skip
_COMMON_GROUND: Final = frozenset({"road", "sidewalk"})
_COMMON_OBJECTS: Final = frozenset({"car", "large vehicle", "two-wheeler"})
_SCALES: Final = (1.0, 255.0, 65535.0)


def clean_scan(frame: Frame, label_map: LabelMap) -> CleanScan:
    """A frame as corruptions want it.

    Args:
        frame: The frame.
        label_map: The classes of its labels.
    """
    traits, intensity = lidar_traits(frame), frame.intensity
    if intensity is None:  # what a corruption makes of it is not kept
        intensity = np.zeros(len(frame.points), np.float32)
    return CleanScan(
        points=frame.points,
        intensity=intensity,
        labels=frame.labels,
        ring=rings_of(frame, traits),
        traits=with_classes(traits, label_map),
    )


def lidar_traits(frame: Frame) -> Traits:
    """What is known of a frame's lidar, but for the classes."""
    if frame.sensor in LIDARS:
        return LIDARS[frame.sensor]
    mean, std = frame.intensity_statistics or (0.0, 255.0)
    top = next((scale for scale in _SCALES if mean + std <= scale), _SCALES[-1])
    whole = top > 1
    return replace(
        _OTHER, name=frame.sensor, intensity_top=top, wet_divisor=top, whole_intensity=whole
    )


def with_classes(traits: Traits, label_map: LabelMap) -> Traits:
    """The same with the training ids of ground and of objects.

    By the classes' own names, or where none is known by the common ones that they are part of.
    """
    names = label_map.class_names
    known = {*names} & (_GROUND_CLASSES | _OBJECT_CLASSES)
    said = {name: name if known else label_map.common.get(name, "") for name in names}
    ground = _GROUND_CLASSES if known else _COMMON_GROUND
    objects = _OBJECT_CLASSES if known else _COMMON_OBJECTS
    return replace(
        traits,
        ground=tuple(i for i, name in enumerate(names) if said[name] in ground),
        objects=tuple(i for i, name in enumerate(names) if said[name] in objects),
    )


def rings_of(frame: Frame, traits: Traits) -> NDArray[np.int16]:
    """(N,) the beam of each point: what the file says, turns of the azimuth, or elevation."""
    if traits.ring_from == "file" and frame.ring is not None and (frame.ring >= 0).any():
        return frame.ring
    if traits.ring_from == "turns":
        return rings_by_turns(frame.points, traits.num_rings)
    return rings_by_elevation(frame.points, traits.num_rings)
