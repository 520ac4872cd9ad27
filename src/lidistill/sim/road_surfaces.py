"""The ground of a street: carriageway, pavements, and what is painted on them."""

import numpy as np

from lidistill.sim.classes import Kind
from lidistill.sim.layout import LANE_WIDTH, PARKING_WIDTH, Layout
from lidistill.sim.mesh import Color, Look, Mesh, quads, surface
from lidistill.sim.solids import boxes

CURB_HEIGHT = 0.14
_WHITE = (0.8, 0.8, 0.78)
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
