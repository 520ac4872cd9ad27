"""Builds a whole street from the name of a district and a seed."""

import dataclasses

import numpy as np

from lidistill.sim.districts import District, district
from lidistill.sim.layout import LANE_WIDTH, PARKING_WIDTH, Bend, Layout, Sky, Street
from lidistill.sim.mesh import merge
from lidistill.sim.road_surfaces import surfaces
from lidistill.sim.roadside import furnish
from lidistill.sim.traffic import populate

AHEAD, BEHIND = 150.0, 100.0


def build_street(district_name: str, *, seconds: float, seed: tuple[int, ...]) -> Street:
    """Lay out a street for a drive of that many seconds; one seed gives one street."""
    rng = np.random.default_rng(seed)
    style = district(district_name)
    speed = rng.uniform(6.0, 8.5)
    driven = speed * seconds
    layout = Layout(
        district=style,
        first=-BEHIND,
        last=driven + AHEAD,
        driven=driven,
        crossing=0.55 * driven + rng.uniform(18, 30),
    )
    bend = Bend(
        sideways=(rng.uniform(1.0, 3.0), 1 / rng.uniform(55, 80), rng.uniform(0, 6.28)),
        upward=(rng.uniform(0.1, 0.7), 1 / rng.uniform(45, 70), rng.uniform(0, 6.28)),
    )
    lane = -(layout.curb - PARKING_WIDTH - LANE_WIDTH / 2)
    fixed = [*surfaces(layout), *furnish(layout, rng)]
    things = [
        dataclasses.replace(thing, mesh=thing.mesh.numbered(number))
        for number, thing in enumerate(
            populate(layout, ego_lane=lane, ego_speed=speed, rng=rng), start=1
        )
    ]
    parked = [thing.at(0.0) for thing in things if thing.is_parked]
    static = merge([*fixed, *parked])
    return Street(
        static=static.bent(bend.apply(static.vertices)),
        movers=tuple(thing for thing in things if not thing.is_parked),
        bend=bend,
        sky=_sky(style, rng),
        ego_start=(0.0, lane),
        ego_speed=speed,
    )


def _sky(style: District, rng: np.random.Generator) -> Sky:
    height = np.radians(rng.uniform(*style.sun_height))
    azimuth = rng.uniform(0, 2 * np.pi)
    return Sky(
        to_sun=np.array(
            [np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height)]
        ),
        clouds=float(np.clip(style.clouds + rng.uniform(-0.15, 0.15), 0, 0.8)),
        warmth=float(np.clip(1.2 - np.degrees(height) / 45, 0, 1)),
        drift=(rng.uniform(0, 50), rng.uniform(0, 50)),
    )
