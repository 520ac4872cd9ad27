"""One thing that looks wrong with a recording."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Fault: TypeAlias = Literal[
    "world_frame",
    "focal_length",
    "distortion",
    "exchanged_cameras",
    "image_order",
    "camera_axes",
    "low_contrast",
    "intensity_differs",
    "no_class",
    "too_few_points",
    "empty_returns",
    "duplicated_points",
    "range_unit",
    "intensity_constant",
    "intensity_clipped",
    "intensity_scale",
    "up_axis",
    "mounting_height",
    "few_points_in_view",
    "inverted_extrinsics",
    "rotated_extrinsics",
    "image_size",
    "principal_point",
    "upside_down",
    "mirrored",
    "sideways_offset",
    "time_offset",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found, what is usual, and what to try, in one line."""

    fault: Fault
    severity: Literal["warning", "note"]
    """warning: training on this teaches nonsense; note: unusual, have a look."""
    text: str
    evidence: dict[str, float] = field(default_factory=dict)
    """The numbers that the text rests on."""
    cameras: tuple[str, ...] = ()
    """Those it is about; empty where it is about the points."""
    drives: tuple[str, ...] = ()
    """Those it was seen in."""
