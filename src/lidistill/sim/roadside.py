"""The fixed part of a street: surfaces and markings, houses, plants, furniture, road works."""

from collections.abc import Iterator

import numpy as np

from lidistill.sim import shapes
from lidistill.sim.buildings import house
from lidistill.sim.classes import Kind
from lidistill.sim.layout import LANE_WIDTH, PARKING_WIDTH, Layout
from lidistill.sim.mesh import Color, Look, Mesh, boxes, merge, quads, surface
from lidistill.sim.vehicles import excavator

CURB_HEIGHT = 0.14
_WHITE = (0.8, 0.8, 0.78)
_RIBBON = Look(color=(0.12, 0.14, 0.16), material="glass", label=Kind.BUILDING)
_PAVING = Look(color=(0.6, 0.59, 0.56), material="concrete", label=Kind.SIDEWALK)


def strip(x: tuple[float, float], y: tuple[float, float], z: float, look: Look) -> Mesh:
    """Flat rectangle cut into pieces of about 4 m along x, so that it can be bent."""
    num = max(1, int(abs(x[1] - x[0]) / 4))
    edges = np.linspace(*x, num + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    rows = max(1, int(abs(y[1] - y[0]) / 8))
    lines = np.linspace(*y, rows + 1)
    across = (lines[1:] + lines[:-1]) / 2
    cx, cy = (grid.ravel() for grid in np.meshgrid(middle, across))
    center = np.stack([cx, cy, np.full_like(cx, z)], axis=1)
    half_u, half_v = [(x[1] - x[0]) / num / 2, 0, 0], [0, (y[1] - y[0]) / rows / 2, 0]
    return quads(center, half_u, half_v, look)


def surfaces(layout: Layout) -> list[Mesh]:
    """Ground, carriageways, markings, pavements and kerbs."""
    style, curb, x0, x1 = layout.district, layout.curb, layout.first, layout.last
    asphalt = Look(color=style.asphalt, material="asphalt", label=Kind.ROAD)
    yard = Look(color=style.yard[1], material=style.yard[0], label=Kind.TERRAIN)
    cross = (layout.crossing - layout.crossing_half, layout.crossing + layout.crossing_half)
    parts = [
        strip((x0 - 60, x1 + 60), (-110, 110), -0.06, yard),
        strip((x0 - 60, x1 + 60), (-curb, curb), 0.0, asphalt),
    ]
    for side in (-1, 1):
        parts.append(strip(cross, (side * curb, side * 100), 0.0, asphalt))
        for a, b in layout.blocks():
            parts += _pavement(layout, side, a, b)
        for edge, out in ((cross[0], -1), (cross[1], 1)):
            x = tuple(sorted((edge, edge + out * 2.2)))
            parts.append(
                strip((x[0], x[1]), (side * layout.plots, side * 100), CURB_HEIGHT, _PAVING)
            )
    return [*parts, *_markings(layout), *_crossing_markings(layout)]


def _pavement(layout: Layout, side: int, a: float, b: float) -> list[Mesh]:
    curb = Look(color=(0.66, 0.65, 0.62), material="curb", label=Kind.SIDEWALK)
    num = max(1, int((b - a) / 4))
    x = a + (np.arange(num) + 0.5) * (b - a) / num
    stones = np.stack([x, np.full(num, side * (layout.curb + 0.09)), 0 * x], axis=1)
    y = (side * (layout.curb + 0.15), side * layout.plots)
    return [
        strip((a, b), y, CURB_HEIGHT, _PAVING),
        boxes(stones, [(b - a) / num, 0.18, 2 * CURB_HEIGHT + 0.01], curb),
    ]


def _dashes(start: float, end: float, y: float, color: Color, *, dashed: bool) -> Mesh:
    look = Look(color=color, material="marking", label=Kind.LANE_LINE)
    if not dashed:
        return strip((start, end), (y - 0.06, y + 0.06), 0.012, look)
    x = np.arange(start + 2, end - 3, 7.5)
    center = np.stack([x + 1.5, np.full_like(x, y), np.full_like(x, 0.012)], axis=1)
    return quads(center, [1.5, 0, 0], [0, 0.065, 0], look)


def _markings(layout: Layout) -> list[Mesh]:
    style = layout.district
    parts = []
    for a, b in layout.blocks(5.0):
        center = (-0.14, 0.14)
        parts += [_dashes(a, b, y, style.center_line, dashed=False) for y in center]
        for side in (-1, 1):
            lanes = side * LANE_WIDTH * np.arange(1, style.lanes)
            parts += [_dashes(a, b, y, _WHITE, dashed=True) for y in lanes]
            edge = side * (layout.curb - PARKING_WIDTH)
            parts.append(_dashes(a, b, edge, _WHITE, dashed=style.lanes == 1))
    return parts


def _crossing_markings(layout: Layout) -> list[Mesh]:
    stop = Look(color=_WHITE, material="marking", label=Kind.STOP_LINE)
    other = Look(color=_WHITE, material="marking", label=Kind.OTHER_MARKING)
    inner = layout.curb - PARKING_WIDTH
    parts = []
    for side in (-1, 1):
        x = layout.crossing + side * (layout.crossing_half + 4.4)
        half = inner / 2
        parts.append(quads([x, side * half, 0.013], [0.25, 0, 0], [0, half - 0.2, 0], stop))
        y = np.arange(-layout.curb + 0.6, layout.curb - 0.3, 1.1)
        walk = x - side * 2.2
        bars = np.stack([np.full_like(y, walk), y, np.full_like(y, 0.013)], axis=1)
        parts.append(quads(bars, [1.4, 0, 0], [0, 0.28, 0], other))
        arrow_x, lane_y = x + side * 7.0, side * inner / 2
        parts.append(quads([arrow_x, lane_y, 0.013], [1.2, 0, 0], [0, 0.08, 0], other))
        tip, back = arrow_x - side * 2.0, arrow_x - side * 1.1
        head = [[tip, lane_y, 0.013], [back, lane_y - 0.35, 0.013], [back, lane_y + 0.35, 0.013]]
        parts.append(surface(head, [0, 1, 2], other))
        y_stop = side * (layout.curb + 2.2)
        half_x = layout.crossing_half / 2
        center = [layout.crossing - side * half_x, y_stop, 0.013]
        parts.append(quads(center, [half_x - 0.3, 0, 0], [0, 0.25, 0], stop))
    return parts


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
