"""What drives, walks and parks on a street."""

from collections.abc import Iterator

import numpy as np

from lidistill.sim.layout import LANE_WIDTH, PARKING_WIDTH, Layout, Mover
from lidistill.sim.mesh import Mesh
from lidistill.sim.shapes import cyclist, motorcyclist, pedestrian
from lidistill.sim.vehicles import BODIES, VEHICLES, car

_CARS = tuple(BODIES)
_CAR_SHARES = (0.34, 0.2, 0.26, 0.09, 0.11)
_PAVEMENT_Z = 0.14


def populate(
    layout: Layout, *, ego_lane: float, ego_speed: float, rng: np.random.Generator
) -> list[Mover]:
    """Parked vehicles, traffic that keeps clear of the ego vehicle, cyclists and people."""
    return [
        *_parked(layout, rng),
        *_driving(layout, ego_lane, ego_speed, rng),
        *_two_wheelers(layout, ego_lane, ego_speed, rng),
        *_walkers(layout, rng),
    ]


def _any_car(rng: np.random.Generator) -> Mesh:
    return car(_CARS[rng.choice(len(_CARS), p=_CAR_SHARES)], rng)


def _any_vehicle(rng: np.random.Generator) -> Mesh:
    large = rng.random()
    for kind, until in (("truck", 0.06), ("bus", 0.12), ("semi", 0.14)):
        if large < until:
            return VEHICLES[kind](rng)
    return _any_car(rng)


def _standing(mesh: Mesh, x: float, y: float, yaw: float = 0.0, z: float = 0.0) -> Mover:
    return Mover(mesh=mesh.moved(yaw=yaw), start=(x, y), velocity=(0.0, 0.0), z=z)


def _parked(layout: Layout, rng: np.random.Generator) -> Iterator[Mover]:
    y = layout.curb - PARKING_WIDTH / 2 + 0.05
    works = (layout.crossing + 13, layout.crossing + 46)
    for side in (-1, 1):
        for a, b in layout.blocks(9.0):
            x = a + rng.uniform(2, 5)
            while x < b - 5:
                kind = rng.random()
                yaw = (np.pi if side > 0 else 0.0) + rng.normal(0, 0.02)
                if rng.random() < layout.district.parked and not works[0] < x < works[1]:
                    if kind < 0.06:
                        yield _standing(VEHICLES["truck"](rng), x + 1, side * y, yaw)
                        x += 2
                    elif kind < 0.14:
                        for step in (-0.8, 0.8):
                            slant = yaw + side * 1.1
                            bike = VEHICLES["motorcycle"](rng)
                            yield _standing(bike, x + step, side * (y + 0.2), slant)
                    else:
                        yield _standing(_any_car(rng), x, side * y, yaw)
                x += rng.uniform(5.6, 7.0)
            for _ in range(3):
                spot = rng.uniform(a, b)
                rack = VEHICLES["bicycle"](rng)
                yield _standing(rack, spot, side * (layout.curb + 0.5), 0.3, _PAVEMENT_Z)


def _driving(
    layout: Layout, ego_lane: float, ego_speed: float, rng: np.random.Generator
) -> Iterator[Mover]:
    spacing = 100.0 / layout.district.traffic
    for lane in range(layout.district.lanes):
        offset = (lane + 0.5) * LANE_WIDTH
        for side in (-1, 1):
            y = side * offset
            beside_ego = abs(y - ego_lane) > 1
            speed = -side * (ego_speed + (rng.uniform(-1.0, 2.0) if beside_ego else 0.0))
            x = layout.first + rng.uniform(0, spacing)
            while x < layout.last + 60 * (side > 0):
                if beside_ego or abs(x) > 13:
                    # A lorry that keeps pace beside the ego vehicle would fill the whole drive.
                    hides_all = side < 0 and abs(x) < 25
                    mesh = _any_car(rng) if hides_all else _any_vehicle(rng)
                    yield Mover(mesh=mesh, start=(x, y), velocity=(speed, 0.0))
                x += max(16.0, spacing * rng.uniform(0.5, 1.4))


def _two_wheelers(
    layout: Layout, ego_lane: float, ego_speed: float, rng: np.random.Generator
) -> Iterator[Mover]:
    y = layout.curb - PARKING_WIDTH - 0.15
    for side in (-1, 1):
        for x in np.arange(rng.uniform(10, 25), layout.last - 30, 38.0):
            speed = -side * rng.uniform(3.5, 5.5)
            # A slower one ahead in the ego lane rides at its edge and far enough away.
            start = x + 18 if side * ego_lane > 0 else x
            yield Mover(mesh=cyclist(rng), start=(start, side * y), velocity=(speed, 0.0))
    start = (-14.0 - rng.uniform(0, 6), ego_lane)
    yield Mover(mesh=motorcyclist(rng), start=start, velocity=(ego_speed, 0.0))
    oncoming = (rng.uniform(20, 60), LANE_WIDTH * 0.9)
    yield Mover(mesh=motorcyclist(rng), start=oncoming, velocity=(-ego_speed, 0.0))


def _walkers(layout: Layout, rng: np.random.Generator) -> Iterator[Mover]:
    for side in (-1, 1):
        for a, b in layout.blocks(2.0):
            for _ in range(max(1, round(layout.district.pedestrians * (b - a) / 100))):
                x = rng.uniform(a, b)
                y = side * rng.uniform(layout.curb + 1.1, layout.plots - 0.4)
                speed = rng.choice([-1, 1]) * rng.uniform(0.8, 1.6)
                yield Mover(
                    mesh=pedestrian(rng), start=(x, y), velocity=(speed, 0.0), z=_PAVEMENT_Z
                )
    far_side = layout.crossing + layout.crossing_half + 2.2
    for _ in range(3 if layout.driven + 5 < far_side else 0):  # nobody walks into the ego vehicle
        x = far_side + rng.uniform(-1, 1)
        start = (x, rng.uniform(-layout.curb, 0.3 * layout.curb))
        yield Mover(mesh=pedestrian(rng), start=start, velocity=(0.0, rng.uniform(0.9, 1.5)))
