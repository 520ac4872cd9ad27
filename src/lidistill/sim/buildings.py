"""Buildings: walls with windows, doors, shops and roofs; the front stands at y = 0 and faces +y."""

from dataclasses import dataclass

import numpy as np

from lidistill.sim.classes import Kind
from lidistill.sim.mesh import Color, Look, Mesh, merge, quads
from lidistill.sim.solids import boxes, loft


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What the buildings of a district look like."""

    walls: tuple[tuple[str, Color], ...]
    """Materials and colours of the walls."""
    floors: tuple[int, int]
    width: tuple[float, float]
    """Width of a house along the street, metres."""
    window_share: float = 0.5
    """Width of a window as a share of its bay."""
    bay: float = 2.6
    """Distance between windows, metres."""
    ground_floor: tuple[str, ...] = ("door",)
    """What may stand at street level: door, shop, garage."""
    pitched: bool = False


def house(width: float, depth: float, style: Architecture, rng: np.random.Generator) -> Mesh:
    """One building, centred along x, with its body at y < 0."""
    material, color = style.walls[rng.integers(len(style.walls))]
    wall = Look(color=color, material=material, label=Kind.BUILDING).tinted(rng.uniform(0.85, 1.12))
    floors = int(rng.integers(style.floors[0], style.floors[1] + 1))
    storey = rng.uniform(2.9, 3.5)
    height = floors * storey + 0.7
    trim = Look(color=(0.82, 0.8, 0.76), material="stucco", label=Kind.BUILDING)
    trim = trim.tinted(rng.choice([0.35, 0.8, 1.0]))
    parts = [boxes([0, -depth / 2, height / 2 - 0.5], [width, depth, height + 1.0], wall)]
    front = _windows(width, floors, storey, style, trim)
    parts += [front, *_ground_floor(width, storey, style, trim, rng)]
    side = _windows(depth * 0.9, floors, storey, style, trim)
    parts.append(side.moved((width / 2, -depth / 2, 0), yaw=-np.pi / 2))
    parts.append(side.moved((-width / 2, -depth / 2, 0), yaw=np.pi / 2))
    parts.append(_roof(width, depth, height, style, trim))
    return merge(parts)


def _windows(width: float, floors: int, storey: float, style: Architecture, trim: Look) -> Mesh:
    num = max(1, int(width / style.bay))
    x = (np.arange(num) + 0.5 - num / 2) * (width / num)
    z = (np.arange(1, floors) + 0.55) * storey if floors > 1 else np.array([0.6 * storey])
    grid = np.stack(np.meshgrid(x, z), axis=-1).reshape(-1, 2)
    center = np.stack([grid[:, 0], np.zeros(len(grid)), grid[:, 1]], axis=1)
    half_w, half_h = style.bay * style.window_share / 2, 0.27 * storey
    glass = Look(color=(0.1, 0.12, 0.14), material="glass", label=Kind.BUILDING)
    curtain = Look(color=(0.5, 0.48, 0.44), material="glass", label=Kind.BUILDING)
    lit = (np.arange(len(center)) * 7) % 5 < 1
    up, left = [0, 0, half_h], [-half_w, 0, 0]
    panes = [
        quads(center[chosen] + np.array([0, 0.05, 0]), left, up, look)
        for chosen, look in ((~lit, glass), (lit, curtain))
        if chosen.any()
    ]
    out = np.array([0.0, 1.0, 0.0])
    frame = quads(center + 0.02 * out, [-half_w - 0.11, 0, 0], [0, 0, half_h + 0.11], trim)
    bar = boxes(center + 0.05 * out, [0.06, 0.04, 2 * half_h], trim)
    sill = boxes(center - [0, -0.08, half_h + 0.1], [2 * half_w + 0.34, 0.22, 0.09], trim)
    return merge([*panes, frame, bar, sill])


def _ground_floor(
    width: float, storey: float, style: Architecture, trim: Look, rng: np.random.Generator
) -> list[Mesh]:
    num = max(1, int(width / 4.2))
    bay = width / num
    parts = []
    for i in range(num):
        x = (i + 0.5 - num / 2) * bay
        kind = style.ground_floor[rng.integers(len(style.ground_floor))]
        parts.append(_GROUND_FLOOR[kind](bay, storey, trim, rng).moved((x, 0, 0)))
    return parts


def _door(bay: float, storey: float, trim: Look, rng: np.random.Generator) -> Mesh:
    color = ((0.35, 0.12, 0.08), (0.1, 0.2, 0.16), (0.15, 0.15, 0.2), (0.45, 0.33, 0.2))
    wood = Look(color=color[rng.integers(4)], material="plastic", label=Kind.BUILDING)
    glass = Look(color=(0.1, 0.12, 0.14), material="glass", label=Kind.BUILDING)
    shift = 0.25 * bay
    return merge([
        quads([-shift, 0.02, 1.25], [-0.65, 0, 0], [0, 0, 1.25], trim),
        quads([-shift, 0.05, 1.15], [-0.5, 0, 0], [0, 0, 1.1], wood),
        boxes([-shift, 0.35, 0.08], [1.5, 0.7, 0.16], Look(
            color=(0.55, 0.54, 0.52), material="curb", label=Kind.BUILDING)),
        quads([shift, 0.02, 0.55 * storey], [-0.75, 0, 0], [0, 0, 0.3 * storey], trim),
        quads([shift, 0.05, 0.55 * storey], [-0.65, 0, 0], [0, 0, 0.3 * storey - 0.1], glass),
    ])  # fmt: skip


def _shop(bay: float, storey: float, trim: Look, rng: np.random.Generator) -> Mesh:
    glass = Look(color=(0.09, 0.11, 0.12), material="glass", label=Kind.BUILDING)
    colors: tuple[Color, ...] = (
        (0.6, 0.12, 0.12), (0.1, 0.3, 0.22), (0.15, 0.2, 0.4), (0.75, 0.6, 0.2), (0.8, 0.78, 0.72),
    )  # fmt: skip
    paint = Look(color=colors[rng.integers(5)], material="cloth", label=Kind.BUILDING)
    half = 0.43 * bay
    top = 0.8 * storey
    parts = [
        quads([0, 0.02, 0.5 * top], [-half - 0.12, 0, 0], [0, 0, 0.5 * top], trim),
        quads([0, 0.05, 0.52 * top], [-half, 0, 0], [0, 0, 0.46 * top], glass),
        boxes(
            [[0, 0.06, 0.52 * top], [0.5 * half, 0.06, 0.52 * top]], [0.08, 0.06, 0.92 * top], trim
        ),
        boxes([0, 0.1, top + 0.25], [2 * half, 0.18, 0.5], paint),
    ]
    if rng.random() < 0.5:
        parts.append(quads([0, 0.7, top - 0.1], [-half, 0, 0], [0, -0.65, 0.25], paint))
        parts.append(quads([0, 1.35, top - 0.45], [-half, 0, 0], [0, 0, 0.1], paint))
    return merge(parts)


def _garage(bay: float, storey: float, trim: Look, rng: np.random.Generator) -> Mesh:
    color = ((0.75, 0.74, 0.7), (0.4, 0.42, 0.42), (0.5, 0.36, 0.26))[rng.integers(3)]
    gate = Look(color=color, material="siding", label=Kind.BUILDING)
    half, top = min(0.42 * bay, 1.7), 0.72 * storey
    return merge([
        quads([0, 0.02, top / 2 + 0.08], [-half - 0.15, 0, 0], [0, 0, top / 2 + 0.08], trim),
        quads([0, 0.05, top / 2], [-half, 0, 0], [0, 0, top / 2], gate),
    ])  # fmt: skip


_GROUND_FLOOR = {"door": _door, "shop": _shop, "garage": _garage}


def _roof(width: float, depth: float, height: float, style: Architecture, trim: Look) -> Mesh:
    if not style.pitched:
        ledge = [[0, 0.08, height - 0.15], [0, -depth - 0.08, height - 0.15]]
        cornice = boxes(ledge, [width + 0.2, 0.4, 0.5], trim)
        plant = Look(color=(0.5, 0.5, 0.5), material="metal", label=Kind.BUILDING)
        return merge(
            [cornice, boxes([0.2 * width, -0.5 * depth, height + 0.8], [3, 3, 1.8], plant)]
        )
    tiles = Look(color=(0.27, 0.23, 0.21), material="shingle", label=Kind.BUILDING)
    over, rise = 0.5, 0.28 * depth
    gable = [
        [(x, over, height - 0.2), (x, -depth / 2, height + rise), (x, -depth - over, height - 0.2)]
        for x in (-width / 2 - over, width / 2 + over)
    ]
    return loft(gable, tiles)
