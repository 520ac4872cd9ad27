"""What stands beside a street: houses, plants, furniture, road works."""

from collections.abc import Iterator

import numpy as np

from lidistill.sim import shapes
from lidistill.sim.buildings import house
from lidistill.sim.classes import Kind
from lidistill.sim.layout import PARKING_WIDTH, Layout
from lidistill.sim.mesh import Look, Mesh, merge, quads
from lidistill.sim.road_surfaces import CURB_HEIGHT
from lidistill.sim.solids import boxes
from lidistill.sim.vehicles import excavator

_RIBBON = Look(color=(0.12, 0.14, 0.16), material="glass", label=Kind.BUILDING)


def furnish(layout: Layout, rng: np.random.Generator) -> list[Mesh]:
    """Everything fixed that stands on the surfaces, in straight coordinates."""
    parts: list[Mesh] = []
    for side in (-1, 1):
        for a, b in layout.blocks(3.0):
            parts += (_face(mesh, side) for mesh in _plots(layout, a, b, rng))
            parts += (_face(mesh, side) for mesh in _pavement_row(layout, a, b, rng))
        corner = layout.crossing + side * (layout.crossing_half + 0.8)
        light = shapes.traffic_light(rng).moved((corner, layout.curb + 0.6, CURB_HEIGHT))
        parts.append(_face(light, side))
    return [*parts, *_road_works(layout, rng), *_far_away(layout, rng)]


def _face(mesh: Mesh, side: int) -> Mesh:
    """Mirror what was laid out on the left (y > 0) to the side wanted."""
    return mesh.bent(mesh.vertices * [1.0, float(side), 1.0])


def _plots(layout: Layout, a: float, b: float, rng: np.random.Generator) -> Iterator[Mesh]:
    style = layout.district
    x = a
    while x < b - 6:
        width = min(float(rng.uniform(*style.architecture.width)), b - x)
        front = layout.plots + rng.uniform(*style.setback)
        middle = x + width / 2
        if rng.random() < style.gap:
            yield from _empty_plot(layout, middle, width, rng)
        else:
            depth = rng.uniform(11, 16)
            building = house(width - 0.1, depth, style.architecture, rng)
            yield building.moved((middle, front, 0), yaw=np.pi)
            yield from _front_garden(layout, middle, width, front, rng)
        x += width + (rng.uniform(2, 5) if style.architecture.pitched else 0.0)


def _empty_plot(layout: Layout, x: float, width: float, rng: np.random.Generator) -> Iterator[Mesh]:
    y = layout.plots + 0.3
    yield shapes.fence(width - 4.0, rng).moved((x - 2.0, y, 0))
    yield _driveway(layout, x + width / 2 - 1.9, y + 14)
    for _ in range(2):
        spot = (x + rng.uniform(-0.4, 0.4) * width, y + rng.uniform(6, 14), 0)
        yield _any_tree(layout, (5, 9), rng).moved(spot)


def _any_tree(layout: Layout, height: tuple[float, float], rng: np.random.Generator) -> Mesh:
    """A tree of the district, between two heights in metres."""
    style = layout.district
    kind = shapes.conifer if rng.random() < style.conifers else shapes.tree
    return kind(rng, height=rng.uniform(*height), leaf=style.leaf)


def _driveway(layout: Layout, x: float, back: float) -> Mesh:
    look = Look(color=(0.5, 0.49, 0.47), material="curb", label=Kind.DRIVEWAY)
    return merge([
        quads([x, (layout.curb + back) / 2 + 0.1, CURB_HEIGHT + 0.012], [1.6, 0, 0],
              [0, (back - layout.curb) / 2 - 0.1, 0], look),
        quads([x, layout.curb + 0.02, 0.075], [1.6, 0, 0], [0, 0.18, 0.09], look),
    ])  # fmt: skip


def _front_garden(
    layout: Layout, x: float, width: float, front: float, rng: np.random.Generator
) -> Iterator[Mesh]:
    style, depth = layout.district, front - layout.plots
    if depth < 0.8:
        return
    if rng.random() < style.hedge:
        length = width * rng.uniform(0.4, 0.75)
        hedge = shapes.hedge(length, rng, leaf=style.leaf)
        yield hedge.moved((x - 0.5 * (width - length), layout.plots + 0.45, 0))
    if rng.random() < 0.4:
        yield _driveway(layout, x + 0.5 * width - 1.8, front)
    if depth > 3.5 and rng.random() < 0.5:
        spot = (x + rng.uniform(-0.3, 0.2) * width, layout.plots + depth * 0.55, 0)
        yield _any_tree(layout, (4, 7), rng).moved(spot)


def _pavement_row(layout: Layout, a: float, b: float, rng: np.random.Generator) -> Iterator[Mesh]:
    style, y = layout.district, layout.curb + 0.65
    for x in np.arange(a + rng.uniform(2, 8), b - 3, style.tree_spacing):
        yield _any_tree(layout, (5.0, 8.5), rng).moved((x, y, CURB_HEIGHT))
    pole = "utility pole" if style.utility_poles else "street light"
    for kind, spacing in ((pole, 32.0), ("sign", 21.0), ("bin", 27.0), ("hydrant", 45.0)):
        for x in np.arange(a + rng.uniform(1, spacing), b - 1, spacing * rng.uniform(0.8, 1.2)):
            turn = np.pi * rng.integers(2) if kind == "sign" else 0.0
            yield shapes.FURNITURE[kind](rng).moved((x, y - 0.15, CURB_HEIGHT), yaw=turn)
    if style.utility_poles:
        for x in np.arange(a + rng.uniform(5, 20), b - 3, 40.0):
            yield shapes.street_light(rng).moved((x, y, CURB_HEIGHT))


def _road_works(layout: Layout, rng: np.random.Generator) -> Iterator[Mesh]:
    side = int(rng.choice([-1, 1]))
    x0 = layout.crossing + rng.uniform(16, 26)
    edge = layout.curb - PARKING_WIDTH - 0.1
    for x in np.arange(x0, x0 + 15, 2.2):
        yield shapes.cone(rng).moved((x, side * (edge + rng.uniform(-0.1, 0.1)), 0))
    for x in (x0 - 1, x0 + 16):
        yield shapes.work_barrier(rng).moved((x, side * (edge + 1.2), 0))
    for i in range(3):
        y = -side * (layout.plots + 0.6)
        yield shapes.jersey_barrier(rng).moved((x0 + 3.05 * i - 12, y, 0))
    digger = excavator(rng).moved((x0 + 7, side * (edge + 1.35), 0), yaw=rng.uniform(-0.1, 0.1))
    yield digger


def _far_away(layout: Layout, rng: np.random.Generator) -> Iterator[Mesh]:
    """Plain blocks that close the view behind the houses and at both ends."""
    walls = layout.district.architecture.walls
    floors = layout.district.architecture.floors[1]
    for i in range(46):
        material, color = walls[rng.integers(len(walls))]
        look = Look(color=color, material=material, label=Kind.BUILDING).tinted(
            rng.uniform(0.7, 1.0)
        )
        height = rng.uniform(0.7, 1.6) * (3.2 * floors + 2)
        if i < 34:
            x = rng.uniform(layout.first - 40, layout.last + 40)
            y = rng.choice([-1, 1]) * rng.uniform(layout.plots + 32, 100)
            if abs(x - layout.crossing) < 20:
                continue
        else:
            x = rng.choice([layout.first - 75, layout.last + 75]) + rng.uniform(-12, 12)
            y, height = rng.uniform(-70, 70), height * 1.5
        size = rng.uniform(12, 22, 2)
        yield boxes([x, y, height / 2], [*size, height], look)
        z = np.arange(2.2, height - 1.2, 3.2)
        rows = np.stack([np.full_like(z, x), np.full_like(z, y), z], axis=1)
        yield boxes(rows, [*(size + 0.06), 1.4], _RIBBON)
