"""The simulator's own classes, and what every data set calls them.

The data sets draw their lines in different places: SemanticKITTI tells trunks from leaves, poles
from other objects and moving things from standing ones; PandaSet tells road markings from the road;
nuScenes calls all of a street's furniture manmade. The simulator keeps every distinction that one
of them makes, and a table maps it to the raw ids of each.
"""

from enum import IntEnum
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Format: TypeAlias = Literal["pandaset", "nuscenes", "semantic_kitti"]
"""Data sets whose files the simulator writes."""


class Kind(IntEnum):
    """What a surface belongs to; 0 is the sky, and pulses that met nothing."""

    NOTHING = 0
    VEGETATION = 5
    TERRAIN = 6
    ROAD = 7
    LANE_LINE = 8
    STOP_LINE = 9
    OTHER_MARKING = 10
    SIDEWALK = 11
    DRIVEWAY = 12
    CAR = 13
    PICKUP = 14
    TRUCK = 15
    SEMI = 16
    MOTORCYCLE = 18  # with its rider, if it has one
    CONSTRUCTION_VEHICLE = 19
    BUS = 23
    BICYCLE = 26  # with its rider, if it has one
    PERSON = 30
    CONCRETE_BARRIER = 35
    SIGN = 36
    CONE = 37
    WORK_BARRIER = 39
    BUILDING = 41
    OTHER_OBJECT = 42
    TRUNK = 51
    POLE = 52
    FENCE = 53
    TRAFFIC_LIGHT = 54
    EGO = 55


_ROWS: dict[Kind, tuple[int, int, int, int]] = {
    # PandaSet, nuScenes, SemanticKITTI standing, SemanticKITTI moving
    Kind.NOTHING: (0, 0, 0, 0),
    Kind.VEGETATION: (5, 30, 70, 70),
    Kind.TERRAIN: (6, 27, 72, 72),
    Kind.ROAD: (7, 24, 40, 40),
    Kind.LANE_LINE: (8, 24, 60, 60),
    Kind.STOP_LINE: (9, 24, 60, 60),
    Kind.OTHER_MARKING: (10, 24, 60, 60),
    Kind.SIDEWALK: (11, 26, 48, 48),
    Kind.DRIVEWAY: (12, 24, 48, 48),
    Kind.CAR: (13, 17, 10, 252),
    Kind.PICKUP: (14, 23, 18, 258),
    Kind.TRUCK: (15, 23, 18, 258),
    Kind.SEMI: (16, 23, 18, 258),
    Kind.MOTORCYCLE: (18, 21, 15, 255),
    Kind.CONSTRUCTION_VEHICLE: (19, 18, 20, 259),
    Kind.BUS: (23, 16, 13, 257),
    Kind.BICYCLE: (26, 14, 11, 253),
    Kind.PERSON: (30, 2, 30, 254),
    Kind.CONCRETE_BARRIER: (35, 9, 51, 51),
    Kind.SIGN: (36, 28, 81, 81),
    Kind.CONE: (37, 12, 99, 99),
    Kind.WORK_BARRIER: (39, 9, 99, 99),
    Kind.BUILDING: (41, 28, 50, 50),
    Kind.OTHER_OBJECT: (42, 28, 99, 99),
    Kind.TRUNK: (5, 30, 71, 71),
    Kind.POLE: (42, 28, 80, 80),
    Kind.FENCE: (42, 28, 51, 51),
    Kind.TRAFFIC_LIGHT: (42, 28, 99, 99),
    Kind.EGO: (0, 31, 1, 1),
}
_COLUMNS: dict[Format, tuple[int, int]] = {
    "pandaset": (0, 0),
    "nuscenes": (1, 1),
    "semantic_kitti": (2, 3),
}


def raw_ids(
    dataset: Format, kind: NDArray[np.uint8], moving: NDArray[np.bool_] | None = None
) -> NDArray[np.uint16]:
    """Raw class ids, as a data set's label files have them.

    A cycle that moves has a rider: SemanticKITTI calls the two a rider, the others a cycle.

    Args:
        dataset: Whose ids.
        kind: (N,) values of ``Kind``.
        moving: (N,) whether each point lies on something that moves; None where nothing does.

    References:
        Behley et al., "SemanticKITTI", ICCV 2019, supplement A; Fong et al., "Panoptic nuScenes",
        RA-L 2022; Xiao et al., "PandaSet", ITSC 2021.
    """
    table = _table(dataset)
    state = np.zeros(len(kind), dtype=np.intp) if moving is None else moving.astype(np.intp)
    return table[state, kind]


@cache
def _table(dataset: Format) -> NDArray[np.uint16]:
    """(2, 256) ids of standing and of moving things; unknown kinds are the data sets' 0."""
    table = np.zeros((2, 256), dtype=np.uint16)
    for kind, row in _ROWS.items():
        table[:, kind] = [row[column] for column in _COLUMNS[dataset]]
    return table
