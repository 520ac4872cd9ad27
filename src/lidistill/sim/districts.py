"""Districts: what the streets of one place have in common, so that another place can be new."""

from dataclasses import dataclass

from lidistill.errors import unknown_name
from lidistill.sim.buildings import Architecture
from lidistill.sim.mesh import Color


@dataclass(frozen=True, slots=True, kw_only=True)
class District:
    """The character of a street; shares are probabilities, lengths are metres."""

    architecture: Architecture
    lanes: int
    """Lanes in each direction."""
    sidewalk: float
    """Width of the pavement."""
    setback: tuple[float, float]
    """Distance of the houses from the pavement."""
    gap: float
    """Share of plots without a house."""
    parked: float
    """Share of parking places in use."""
    tree_spacing: float
    """Distance between street trees."""
    hedge: float
    """Share of front gardens with a hedge."""
    pedestrians: float
    """People per 100 m of pavement."""
    traffic: float
    """Vehicles per 100 m of lane."""
    center_line: Color
    asphalt: Color
    yard: tuple[str, Color]
    """Material and colour of the ground between pavement and houses."""
    leaf: Color
    conifers: float
    """Share of the trees that are conifers."""
    utility_poles: bool
    clouds: float
    """Covered share of the sky."""
    sun_height: tuple[float, float]
    """Elevation of the sun, degrees."""


_YELLOW, _WHITE = (0.78, 0.58, 0.12), (0.82, 0.82, 0.8)
_GRASS = ("grass", (0.27, 0.34, 0.13))

DISTRICTS: dict[str, District] = {
    "rowhouses": District(
        architecture=Architecture(
            walls=(("brick", (0.44, 0.26, 0.21)), ("brick", (0.52, 0.38, 0.3)),
                   ("siding", (0.72, 0.68, 0.55)), ("siding", (0.5, 0.6, 0.66)),
                   ("stucco", (0.78, 0.66, 0.5))),
            floors=(2, 4), width=(7.5, 11.0), bay=2.5, ground_floor=("door", "garage", "door"),
        ),
        lanes=1, sidewalk=3.0, setback=(1.0, 2.5), gap=0.06, parked=0.75, tree_spacing=14.0,
        hedge=0.45, pedestrians=5.0, traffic=2.2, center_line=_YELLOW, asphalt=(0.36, 0.36, 0.37),
        yard=_GRASS, leaf=(0.26, 0.35, 0.15), conifers=0.08, utility_poles=True, clouds=0.35,
        sun_height=(35, 55),
    ),
    "industrial": District(
        architecture=Architecture(
            walls=(("corrugated", (0.62, 0.66, 0.66)), ("corrugated", (0.66, 0.58, 0.45)),
                   ("stucco", (0.8, 0.77, 0.68)), ("brick", (0.46, 0.24, 0.18))),
            floors=(1, 3), width=(16.0, 28.0), bay=3.6, window_share=0.7,
            ground_floor=("garage", "door", "garage", "shop"),
        ),
        lanes=2, sidewalk=2.2, setback=(3.0, 8.0), gap=0.22, parked=0.5, tree_spacing=34.0,
        hedge=0.2, pedestrians=2.0, traffic=2.0, center_line=_YELLOW, asphalt=(0.42, 0.41, 0.4),
        yard=("soil", (0.47, 0.42, 0.35)), leaf=(0.33, 0.36, 0.19), conifers=0.3,
        utility_poles=True, clouds=0.55, sun_height=(22, 40),
    ),
    "suburb": District(
        architecture=Architecture(
            walls=(("siding", (0.82, 0.8, 0.74)), ("siding", (0.6, 0.64, 0.56)),
                   ("stucco", (0.8, 0.72, 0.58)), ("brick", (0.56, 0.3, 0.22))),
            floors=(1, 2), width=(10.0, 15.0), bay=3.2, ground_floor=("door", "garage"),
            pitched=True,
        ),
        lanes=1, sidewalk=2.0, setback=(5.0, 8.0), gap=0.12, parked=0.35, tree_spacing=12.0,
        hedge=0.65, pedestrians=2.5, traffic=1.6, center_line=_YELLOW, asphalt=(0.4, 0.4, 0.41),
        yard=_GRASS, leaf=(0.23, 0.35, 0.15), conifers=0.35, utility_poles=False, clouds=0.2,
        sun_height=(40, 60),
    ),
    "downtown": District(
        architecture=Architecture(
            walls=(("panel", (0.66, 0.66, 0.64)), ("stucco", (0.8, 0.76, 0.68)),
                   ("brick", (0.42, 0.23, 0.19)), ("panel", (0.45, 0.47, 0.5))),
            floors=(4, 9), width=(13.0, 22.0), bay=2.4, window_share=0.62,
            ground_floor=("shop", "shop", "door"),
        ),
        lanes=2, sidewalk=4.0, setback=(0.0, 0.6), gap=0.04, parked=0.65, tree_spacing=18.0,
        hedge=0.1, pedestrians=9.0, traffic=2.6, center_line=_WHITE, asphalt=(0.33, 0.33, 0.35),
        yard=("concrete", (0.58, 0.57, 0.54)), leaf=(0.27, 0.33, 0.16), conifers=0.0,
        utility_poles=False, clouds=0.45, sun_height=(45, 62),
    ),
}  # fmt: skip


def district(name: str) -> District:
    """The district of that name.

    Raises:
        UnknownNameError: If there is none.
    """
    if name not in DISTRICTS:
        raise unknown_name("district", name, DISTRICTS)
    return DISTRICTS[name]
