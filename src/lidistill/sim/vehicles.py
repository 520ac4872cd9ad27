"""Cars, trucks, buses and two-wheelers, built from lofts; x points forward, z = 0 is the road."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lidistill.sim.classes import Kind
from lidistill.sim.mesh import Color, Look, Mesh, merge, quads
from lidistill.sim.solids import boxes, ellipsoid, loft, tube

PAINTS: tuple[Color, ...] = (
    (0.86, 0.87, 0.88), (0.8, 0.8, 0.8), (0.62, 0.64, 0.66), (0.3, 0.31, 0.33), (0.1, 0.1, 0.11),
    (0.13, 0.13, 0.15), (0.5, 0.07, 0.08), (0.1, 0.18, 0.38), (0.22, 0.3, 0.35), (0.35, 0.32, 0.28),
    (0.14, 0.24, 0.18), (0.72, 0.13, 0.1),
)  # fmt: skip
CLOTHES: tuple[Color, ...] = (
    (0.15, 0.17, 0.25), (0.5, 0.12, 0.12), (0.75, 0.73, 0.7), (0.12, 0.12, 0.13), (0.2, 0.32, 0.5),
    (0.35, 0.38, 0.28), (0.8, 0.65, 0.25), (0.45, 0.42, 0.4),
)  # fmt: skip
_GLASS = (0.06, 0.07, 0.08)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarBody:
    """Proportions of a passenger car, as shares of its length and in metres."""

    length: float
    width: float
    height: float
    belt: float
    """Height of the lower edge of the windows, metres."""
    hood: float
    """Where the windscreen begins, share of the length from the nose."""
    roof: tuple[float, float]
    """Front and rear end of the roof, shares from the nose."""
    tail: float
    """Where the rear window ends, share from the nose."""
    label: int = Kind.CAR
    bed: bool = False
    """Whether an open load bed follows the cabin."""


BODIES: dict[str, CarBody] = {
    "sedan": CarBody(
        length=4.7, width=1.82, height=1.45, belt=0.93, hood=0.27, roof=(0.43, 0.7), tail=0.87
    ),
    "hatchback": CarBody(
        length=4.1, width=1.76, height=1.5, belt=0.95, hood=0.24, roof=(0.4, 0.86), tail=0.97
    ),
    "suv": CarBody(
        length=4.75, width=1.92, height=1.74, belt=1.08, hood=0.25, roof=(0.37, 0.9), tail=0.98
    ),
    "van": CarBody(
        length=5.2, width=1.98, height=2.1, belt=1.15, hood=0.12, roof=(0.25, 0.96), tail=0.995
    ),
    "pickup": CarBody(
        length=5.6, width=2.0, height=1.85, belt=1.1, hood=0.25, roof=(0.36, 0.55), tail=0.6,
        label=Kind.PICKUP, bed=True,
    ),
}  # fmt: skip


def _ring(x: float, levels: list[tuple[float, float]]) -> list[tuple[float, float, float]]:
    right = [(x, -half, z) for half, z in levels]
    return right + [(x, half, z) for half, z in reversed(levels)]


def _wheel(x: float, y: float, radius: float, label: int, width: float = 0.22) -> Mesh:
    outer = np.sign(y) * width / 2
    tyre = tube(
        [[x, y - width / 2, radius], [x, y + width / 2, radius]],
        radius, Look(color=(0.05, 0.05, 0.05), material="rubber", label=label), sides=16,
    )  # fmt: skip
    rim = Look(color=(0.4, 0.41, 0.42), material="metal", label=label)
    hub = tube([[x, y, radius], [x, y + outer * 1.08, radius]], radius * 0.62, rim, sides=10)
    return merge([tyre, hub])


def car(kind: str, rng: np.random.Generator) -> Mesh:
    """One passenger car of ``BODIES``, in a random colour."""
    body = BODIES[kind]
    paint = Look(color=PAINTS[rng.integers(len(PAINTS))], material="paint", label=body.label)
    length, half = body.length, body.width / 2
    radius = 0.19 * body.height + 0.03
    nose = length / 2
    wheels = [
        _wheel(x, y, radius, body.label)
        for x in (nose - 0.185 * length, -nose + 0.19 * length)
        for y in (half - 0.12, -half + 0.12)
    ]
    parts = [_lower_body(body, paint), *_greenhouse(body, paint), *wheels, *_car_details(body)]
    if body.bed:
        inside = Look(color=(0.05, 0.05, 0.05), label=body.label)
        parts.append(boxes([-0.29 * length, 0, body.belt], [0.36 * length, 1.5, 0.02], inside))
    return merge(parts)


def _lower_body(body: CarBody, paint: Look) -> Mesh:
    length, half, belt = body.length, body.width / 2, body.belt
    top = lambda share: belt * share  # noqa: E731 - reads as the column it is
    # share of the length, half width, height of the top edge
    stations = [
        (0.0, 0.78, top(0.66)), (0.02, 0.88, top(0.76)), (0.1, 0.97, top(0.86)),
        (body.hood, 1.0, top(0.98)), (0.5, 1.0, belt), (body.tail, 0.99, belt),
        (0.985, 0.93, top(0.97)), (1.0, 0.84, top(0.8)),
    ]  # fmt: skip
    rings = []
    for share, width, height in sorted(stations):
        w, x = half * width, length * (0.5 - share)
        low = 0.3 if 0.01 < share < 0.99 else 0.4
        levels = [(0.86 * w, low * 0.75), (w, low + 0.12), (w, 0.72 * height), (0.93 * w, height)]
        rings.append(_ring(x, levels))
    return loft(rings, paint)


def _greenhouse(body: CarBody, paint: Look) -> list[Mesh]:
    length, half, belt, height = body.length, body.width / 2, body.belt, body.height
    glass = Look(color=_GLASS, material="glass", label=body.label)
    x = [length * (0.5 - share) for share in (body.hood, *body.roof, body.tail)]
    wide, narrow, top = 0.9 * half, 0.74 * half, height - 0.05
    rings = [
        _ring(x[0], [(wide, belt - 0.02), (wide * 0.98, belt)]),
        _ring(x[1], [(wide, belt - 0.02), (narrow, top)]),
        _ring(x[2], [(wide, belt - 0.02), (narrow, top)]),
        _ring(x[3], [(wide, belt - 0.02), (wide * 0.98, belt)]),
    ]
    roof = _ring(x[1] + 0.08, [(narrow + 0.02, top - 0.03), (narrow * 0.9, height)])
    roof_end = _ring(x[2] - 0.06, [(narrow + 0.02, top - 0.03), (narrow * 0.9, height)])
    pillars = []
    for side in (-1, 1):
        foot, head = side * (wide + 0.005), side * (narrow + 0.005)
        middle = 0.5 * (x[1] + x[2])
        for low, high in ((x[0], x[1]), (middle, middle), (x[3], x[2])):
            pillars.append(tube([[low, foot, belt], [high, head, top]], 0.045, paint, sides=5))
    return [loft(rings, glass), loft([roof, roof_end], paint), *pillars]


def _car_details(body: CarBody) -> list[Mesh]:
    nose, half, belt, label = body.length / 2, body.width / 2, body.belt, body.label
    lamp = Look(color=(0.9, 0.9, 0.88), material="plastic", label=label)
    red = Look(color=(0.6, 0.03, 0.03), material="plastic", label=label)
    black = Look(color=(0.06, 0.06, 0.06), label=label)
    plate = Look(color=(0.85, 0.85, 0.85), material="sign", label=label)
    sides = np.array([-1.0, 1.0])[:, None] * [[0, 1, 0]]
    return [
        boxes([nose - 0.1, 0, 0.62 * belt] + 0.68 * half * sides, [0.16, 0.36, 0.13], lamp),
        boxes([-nose + 0.07, 0, 0.72 * belt] + 0.7 * half * sides, [0.2, 0.34, 0.18], red),
        boxes([nose - 0.06, 0, 0.42 * belt], [0.16, 1.15 * half, 0.2], black),
        boxes([-nose + 0.06, 0, 0.36], [0.16, 1.5 * half, 0.14], black),
        boxes([-nose, 0, 0.6 * belt], [0.05, 0.46, 0.13], plate),
        boxes([nose * 0.42, 0, belt + 0.04] + (half + 0.06) * sides, [0.12, 0.18, 0.13], black),
        boxes([0, 0, 0.32], [1.7 * nose, 1.6 * half, 0.2], Look(
            color=(0.02, 0.02, 0.02), material="dark", label=label)),
    ]  # fmt: skip


def box_truck(rng: np.random.Generator) -> Mesh:
    """A delivery truck with a tall box."""
    label = Kind.TRUCK
    cab = Look(color=PAINTS[rng.integers(4)], material="paint", label=label)
    cargo = Look(color=PAINTS[rng.integers(3)], material="paint", label=label)
    dark = Look(color=(0.05, 0.05, 0.05), label=label)
    return merge([
        boxes([-0.9, 0, 2.05], [5.2, 2.35, 2.5], cargo),
        boxes([-0.2, 0, 0.65], [6.6, 1.0, 0.3], dark),
        *_cab(2.6, 2.15, 2.35, cab),
        *(_wheel(x, y, 0.47, label, 0.3) for x in (2.6, -2.2) for y in (-1.0, 1.0)),
    ])  # fmt: skip


def semi_truck(rng: np.random.Generator) -> Mesh:
    """A tractor with a long trailer."""
    label = Kind.SEMI
    cab = Look(color=PAINTS[rng.integers(len(PAINTS))], material="paint", label=label)
    cargo = Look(color=(0.78, 0.78, 0.77), material="corrugated", label=label)
    dark = Look(color=(0.05, 0.05, 0.05), label=label)
    wheels = [_wheel(x, y, 0.5, label, 0.4) for x in (5.9, 2.9, -4.6, -5.8) for y in (-1.0, 1.0)]
    return merge([
        boxes([-1.5, 0, 2.6], [11.5, 2.5, 2.75], cargo),
        boxes([0, 0, 0.9], [13.0, 1.0, 0.35], dark),
        *_cab(6.0, 2.35, 3.0, cab), *wheels,
    ])  # fmt: skip


def _cab(x: float, width: float, height: float, paint: Look) -> list[Mesh]:
    glass = Look(color=_GLASS, material="glass", label=paint.label)
    half = width / 2
    levels = [(0.9 * half, 0.45), (half, 0.8), (half, 0.6 * height), (0.9 * half, height)]
    hull = loft([
        _ring(x + 1.0, [*levels[:3], (0.95 * half, 0.62 * height)]),
        _ring(x + 0.6, levels), _ring(x - 1.0, levels),
    ], paint)  # fmt: skip
    z = 0.78 * height
    lamp = Look(color=(0.9, 0.9, 0.85), label=paint.label)
    return [
        hull,
        quads([x + 0.84, 0, z], [0, 0.8 * half, 0], [-0.16, 0, 0.15 * height], glass),
        boxes([x + 0.1, 0, z], [0.9, 1.93 * half, 0.26 * height], glass),
        boxes([[x + 1.0, 0.75 * half, 0.75], [x + 1.0, -0.75 * half, 0.75]], [0.1, 0.3, 0.2], lamp),
    ]


def bus(rng: np.random.Generator) -> Mesh:
    """A city bus with a row of windows."""
    label = Kind.BUS
    color = ((0.85, 0.86, 0.86), (0.75, 0.3, 0.12), (0.2, 0.4, 0.6))[rng.integers(3)]
    paint = Look(color=color, material="paint", label=label)
    stripe = Look(color=(0.6, 0.12, 0.12), material="paint", label=label)
    glass = Look(color=_GLASS, material="glass", label=label)
    x = np.arange(-5.0, 5.2, 1.5)
    panes = np.stack([x, np.zeros_like(x), np.full_like(x, 2.0)], axis=1)
    return merge([
        boxes([0, 0, 1.7], [12.0, 2.5, 2.7], paint),
        boxes([0, 0, 0.95], [12.02, 2.52, 0.3], stripe),
        boxes(panes, [1.35, 2.54, 0.95], glass),
        boxes([5.99, 0, 1.95], [0.06, 2.2, 1.3], glass),
        boxes([-5.99, 0, 2.2], [0.06, 2.0, 0.7], glass),
        boxes([6.0, 0, 2.82], [0.05, 1.6, 0.28], Look(color=(0.95, 0.6, 0.1), label=label)),
        *(_wheel(a, b, 0.48, label, 0.3) for a in (3.6, -3.2) for b in (-1.14, 1.14)),
    ])  # fmt: skip


def excavator(rng: np.random.Generator) -> Mesh:
    """A small yellow digger on tracks."""
    label = Kind.CONSTRUCTION_VEHICLE
    yellow = Look(color=(0.88, 0.62, 0.06), material="paint", label=label)
    dark = Look(color=(0.08, 0.08, 0.08), material="rubber", label=label)
    glass = Look(color=_GLASS, material="glass", label=label)
    lift = 2.6 + 0.6 * rng.random()
    return merge([
        boxes([[0, 0.85, 0.4], [0, -0.85, 0.4]], [2.9, 0.5, 0.75], dark),
        boxes([-0.4, 0, 1.2], [2.4, 2.0, 0.8], yellow),
        boxes([0.25, 0.5, 2.0], [1.1, 0.9, 1.2], yellow),
        boxes([0.28, 0.5, 2.1], [1.12, 0.92, 0.8], glass),
        tube([[0.6, -0.4, 1.4], [2.2, -0.4, lift + 0.6], [3.6, -0.4, lift], [4.1, -0.4, 1.0]],
             0.17, yellow, sides=6),
        boxes([4.1, -0.4, 0.7], [0.7, 0.9, 0.6], dark),
    ])  # fmt: skip


def _ring_wheel(x: float, radius: float, thick: float, label: int) -> Mesh:
    angle = np.linspace(0, 2 * np.pi, 15)
    path = np.stack(
        [x + radius * np.cos(angle), 0 * angle, radius + thick + radius * np.sin(angle)], axis=1
    )
    return tube(
        path, thick, Look(color=(0.05, 0.05, 0.05), material="rubber", label=label), sides=5
    )


def bicycle(rng: np.random.Generator) -> Mesh:
    """A bicycle without a rider."""
    frame = Look(color=PAINTS[5 + rng.integers(7)], material="paint", label=Kind.BICYCLE)
    black = Look(color=(0.05, 0.05, 0.05), label=Kind.BICYCLE)
    joints = {"rear": (-0.52, 0, 0.36), "pedal": (-0.05, 0, 0.3), "seat": (-0.2, 0, 0.86)}
    joints |= {"head": (0.36, 0, 0.84), "front": (0.55, 0, 0.36), "bar": (0.33, 0, 1.02)}
    pairs = ("rear pedal", "pedal seat", "seat head", "pedal head", "rear seat", "head front")
    tubes = [
        tube([joints[a], joints[b]], 0.022, frame, sides=5)
        for a, b in (*(pair.split() for pair in pairs), ("head", "bar"))
    ]
    wheels = [_ring_wheel(x, 0.33, 0.022, Kind.BICYCLE) for x in (-0.52, 0.55)]
    handle = tube([[0.36, -0.28, 1.03], [0.36, 0.28, 1.03]], 0.02, black, sides=5)
    return merge([*tubes, *wheels, handle, boxes([-0.22, 0, 0.93], [0.26, 0.13, 0.06], black)])


def motorcycle(rng: np.random.Generator) -> Mesh:
    """A motorcycle without a rider."""
    paint = Look(color=PAINTS[3 + rng.integers(9)], material="paint", label=Kind.MOTORCYCLE)
    black = Look(color=(0.05, 0.05, 0.05), label=Kind.MOTORCYCLE)
    metal = Look(color=(0.45, 0.45, 0.46), material="metal", label=Kind.MOTORCYCLE)
    lamp = Look(color=(0.9, 0.9, 0.85), label=Kind.MOTORCYCLE)
    return merge([
        *(_ring_wheel(x, 0.25, 0.07, Kind.MOTORCYCLE) for x in (-0.68, 0.72)),
        boxes([0.0, 0, 0.5], [0.62, 0.34, 0.42], metal),
        ellipsoid([0.18, 0, 0.84], [0.34, 0.17, 0.16], paint),
        ellipsoid([-0.35, 0, 0.8], [0.42, 0.16, 0.09], black),
        ellipsoid([-0.75, 0, 0.78], [0.22, 0.1, 0.08], paint),
        tube([[0.72, 0, 0.33], [0.5, 0, 1.05]], 0.05, metal, sides=6),
        tube([[0.46, -0.38, 1.06], [0.46, 0.38, 1.06]], 0.025, black, sides=5),
        ellipsoid([0.62, 0, 0.9], [0.1, 0.1, 0.1], lamp),
    ])  # fmt: skip


VEHICLES: dict[str, Callable[[np.random.Generator], Mesh]] = {
    "truck": box_truck,
    "semi": semi_truck,
    "bus": bus,
    "excavator": excavator,
    "bicycle": bicycle,
    "motorcycle": motorcycle,
}
