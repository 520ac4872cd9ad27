"""Everything along a street that is no vehicle and no building: people, plants, furniture."""

import dataclasses
from collections.abc import Callable

import numpy as np

from lidistill.sim.classes import Kind
from lidistill.sim.mesh import Color, Look, Mesh, merge, quads
from lidistill.sim.solids import boxes, ellipsoid, leaves, loft, post, tube
from lidistill.sim.vehicles import CLOTHES, bicycle, motorcycle

_METAL = Look(color=(0.33, 0.34, 0.34), material="metal", label=Kind.POLE)
_WOOD = Look(color=(0.3, 0.23, 0.17), material="bark", label=Kind.POLE)
_SKINS: tuple[Color, ...] = ((0.78, 0.58, 0.46), (0.55, 0.38, 0.28), (0.34, 0.22, 0.16))


def _cloth(rng: np.random.Generator, label: int) -> Look:
    color = CLOTHES[rng.integers(len(CLOTHES))]
    return Look(color=color, material="cloth", label=label).tinted(0.7 + 0.6 * rng.random())


def _body(rng: np.random.Generator, label: int, hip: float, lean: float) -> list[Mesh]:
    shirt = _cloth(rng, label)
    skin = Look(color=_SKINS[rng.integers(3)], material="skin", label=label)
    hair = Look(color=(0.1, 0.07, 0.05), material="cloth", label=label)
    x = lean * 0.55
    arms = []
    for side in (-1, 1):
        swing = lean * 1.2 + side * 0.16
        hand = [x + swing, 0.27 * side, hip + 0.02 + abs(lean) * 0.5]
        arms.append(tube([[x, 0.22 * side, hip + 0.52], hand], [0.065, 0.045], shirt, sides=6))
    return [
        tube([[0, 0, hip - 0.08], [x * 0.6, 0, hip + 0.28], [x, 0, hip + 0.58]],
             [0.15, 0.17, 0.15], shirt),
        ellipsoid([x, 0, hip + 0.53], [0.13, 0.24, 0.1], shirt),
        ellipsoid([x + 0.03, 0, hip + 0.76], [0.1, 0.085, 0.125], skin),
        ellipsoid([x + 0.01, 0, hip + 0.8], [0.105, 0.09, 0.11], hair),
        *arms,
    ]  # fmt: skip


def pedestrian(rng: np.random.Generator) -> Mesh:
    """A walking person, about 1.7 m tall, facing x."""
    trousers = _cloth(rng, Kind.PERSON)
    shoe = Look(color=(0.1, 0.09, 0.08), label=Kind.PERSON)
    step = 0.1 + 0.25 * rng.random()
    legs = []
    for side in (-1, 1):
        foot = side * step
        knee = [0.5 * foot + 0.05, 0.1 * side, 0.5]
        path = [[0, 0.09 * side, 0.95], knee, [foot, 0.1 * side, 0.06]]
        legs.append(tube(path, [0.1, 0.08, 0.06], trousers, sides=7))
        legs.append(boxes([foot + 0.06, 0.1 * side, 0.05], [0.27, 0.1, 0.09], shoe))
    person = merge([*legs, *_body(rng, Kind.PERSON, 0.95, 0.03)])
    return person.bent(person.vertices * (0.92 + 0.16 * rng.random()))


def _rider(rng: np.random.Generator, label: int, hip: float, reach: float) -> Mesh:
    trousers = _cloth(rng, label)
    legs = [
        tube([[-0.2, 0.1 * s, hip], [0.2, 0.13 * s, hip - 0.15 + 0.1 * s],
              [0.02, 0.12 * s, hip - 0.55 + 0.1 * s]], [0.1, 0.08, 0.05], trousers, sides=6)
        for s in (-1, 1)
    ]  # fmt: skip
    helmet = Look(color=CLOTHES[rng.integers(len(CLOTHES))], material="plastic", label=label)
    cap = ellipsoid([reach * 0.55 - 0.2, 0, hip + 0.83], [0.15, 0.11, 0.1], helmet)
    trunk = merge(_body(rng, label, hip, reach)).moved((-0.2, 0, 0))
    return merge([*legs, trunk, cap])


def cyclist(rng: np.random.Generator) -> Mesh:
    """A bicycle and the person on it; PandaSet labels both as bicycle."""
    return merge([bicycle(rng), _rider(rng, Kind.BICYCLE, 0.95, 0.35)])


def motorcyclist(rng: np.random.Generator) -> Mesh:
    """A motorcycle and the person on it; PandaSet labels both as motorcycle."""
    return merge([motorcycle(rng), _rider(rng, Kind.MOTORCYCLE, 0.88, 0.3)])


def tree(rng: np.random.Generator, *, height: float = 7.0, leaf: Color = (0.2, 0.3, 0.1)) -> Mesh:
    """A broad-leaved tree: trunk, some boughs, and loose leaves around several crowns."""
    trunk = height * (0.3 + 0.08 * rng.random())
    bark = Look(color=(0.3, 0.25, 0.2), material="bark", label=Kind.TRUNK)
    lean = rng.uniform(-0.2, 0.2, 2)
    top = np.array([*lean, trunk])
    parts = [tube(np.stack([0 * top, 0.6 * top, top]), [0.19, 0.14, 0.11], bark, sides=7)]
    crown = height - trunk
    num_lobes = 5
    for lobe in range(num_lobes):
        turn = 2 * np.pi * (lobe + rng.random()) / num_lobes
        out = crown * (0.28 if lobe else 0.0)
        rise = crown * rng.uniform(0.3, 0.55)
        center = top + np.array([out * np.cos(turn), out * np.sin(turn), rise])
        radius = crown * np.array([0.34, 0.34, 0.32]) * rng.uniform(0.85, 1.15)
        parts.append(tube([top - [0, 0, 0.3], center], [0.09, 0.03], bark, sides=5))
        parts.append(_crown(rng, center, radius, leaf))
    return merge(parts)


def _crown(rng: np.random.Generator, center: np.ndarray, radius: np.ndarray, leaf: Color) -> Mesh:
    num = 330
    direction = rng.normal(size=(num, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    depth = rng.uniform(0.55, 1.05, (num, 1))
    normal = direction + 0.45 * rng.normal(size=(num, 3))
    look = Look(color=leaf, material="leaf", label=Kind.VEGETATION).tinted(rng.uniform(0.8, 1.2))
    mesh = leaves(center + depth * direction * radius, normal, rng.uniform(0.13, 0.3, num), look)
    # Deep and low leaves stand in the shade of the others.
    shade = np.clip(0.75 + 0.5 * (depth[:, 0] - 0.55) + 0.3 * direction[:, 2], 0.55, 1.35)
    return dataclasses.replace(mesh, color=(mesh.color * shade[:, None]).astype(np.float32))


def conifer(
    rng: np.random.Generator, *, height: float = 7.0, leaf: Color = (0.15, 0.25, 0.12)
) -> Mesh:
    """A fir: a straight trunk in a cone of dark twigs that hang in whorls."""
    bark = Look(color=(0.27, 0.21, 0.17), material="bark", label=Kind.TRUNK)
    trunk = tube([[0.0, 0.0, 0.0], [0.0, 0.0, 0.95 * height]], [0.17, 0.03], bark, sides=7)
    num = 1300
    up = 0.14 + 0.86 * (1 - np.sqrt(rng.random(num)))  # share of the height
    whorl = 0.75 + 0.25 * np.cos(2 * np.pi * 9 * up)
    out = 0.3 * height * (1.02 - up) * whorl * rng.uniform(0.55, 1.0, num)
    turn = rng.uniform(0, 2 * np.pi, num)
    center = np.stack([out * np.cos(turn), out * np.sin(turn), up * height - 0.15 * out], axis=1)
    slant = np.stack([np.cos(turn), np.sin(turn), np.full(num, 0.9)], axis=1)
    normal = slant + 0.4 * rng.normal(size=(num, 3))
    needles = Look(color=leaf, material="leaf", label=Kind.VEGETATION).tinted(0.62)
    return merge([trunk, leaves(center, normal, rng.uniform(0.12, 0.26, num), needles)])


def hedge(length: float, rng: np.random.Generator, *, leaf: Color = (0.16, 0.27, 0.09)) -> Mesh:
    """A clipped hedge along x, centred."""
    height, width = rng.uniform(0.7, 1.5), 0.7
    num = int(70 * length)
    point = rng.uniform(-1, 1, (num, 3))
    axis = rng.choice(3, num, p=[0.06, 0.5, 0.44])
    point[np.arange(num), axis] = np.where(axis == 2, 1.0, np.sign(point[np.arange(num), axis]))
    normal = np.eye(3)[axis] * np.sign(point) + 0.4 * rng.normal(size=(num, 3))
    half = np.array([length, width, height]) / 2
    center = point * half * rng.uniform(0.92, 1.06, (num, 1)) + [0, 0, height / 2]
    look = Look(color=leaf, material="leaf", label=Kind.VEGETATION)
    core = boxes([0, 0, height / 2], 1.9 * half, look.tinted(0.45))
    return merge([core, leaves(center, normal, rng.uniform(0.09, 0.2, num), look)])


def street_light(rng: np.random.Generator) -> Mesh:
    """A lamp post whose arm reaches along -y, over the road."""
    height = rng.uniform(7, 9)
    arm = [[0, 0, height - 0.5], [0, -0.8, height], [0, -2.2, height + 0.1]]
    lamp = Look(color=(0.7, 0.7, 0.68), material="metal", label=Kind.OTHER_OBJECT)
    return merge([
        post((0, 0), (0, height - 0.4), 0.09, _METAL), tube(arm, 0.05, _METAL, sides=6),
        boxes([0, -2.4, height + 0.08], [0.24, 0.7, 0.12], lamp),
        post((0, 0), (0, 0.5), 0.16, _METAL),
    ])  # fmt: skip


def utility_pole(rng: np.random.Generator) -> Mesh:
    """A wooden pole with two cross arms."""
    height = rng.uniform(9, 11)
    arms = [[0, 0, height - 0.5], [0, 0, height - 1.3]]
    return merge([post((0, 0), (0, height), 0.14, _WOOD), boxes(arms, [0.12, 2.2, 0.14], _WOOD)])


def traffic_light(rng: np.random.Generator) -> Mesh:
    """A mast beside the road with an arm along -y; its lamps face -x."""
    black = Look(color=(0.05, 0.05, 0.05), label=Kind.TRAFFIC_LIGHT)
    on = int(rng.integers(3))
    parts = [
        post((0, 0), (0, 5.6), 0.11, _METAL),
        tube([[0, 0, 5.4], [0, -5.2, 5.6]], 0.07, _METAL),
    ]
    for y, z in ((-5.0, 5.5), (-2.8, 5.5), (0.0, 3.2)):
        parts.append(boxes([-0.2, y, z], [0.25, 0.36, 1.05], black))
        for i, color in enumerate(((0.9, 0.1, 0.05), (0.95, 0.65, 0.1), (0.1, 0.85, 0.45))):
            lit = Look(color=color, label=Kind.TRAFFIC_LIGHT).tinted(1.0 if i == on else 0.2)
            parts.append(quads([-0.34, y, z + 0.32 - 0.32 * i], [0, -0.12, 0], [0, 0, 0.12], lit))
    return merge(parts)


def sign(rng: np.random.Generator) -> Mesh:
    """A traffic sign on a post, its face towards -x."""
    sides, radius, color = (
        (8, 0.42, (0.72, 0.06, 0.07)), (4, 0.45, (0.92, 0.72, 0.08)), (4, 0.42, (0.88, 0.88, 0.88)),
        (3, 0.45, (0.88, 0.88, 0.86)), (16, 0.36, (0.1, 0.25, 0.6)), (4, 0.5, (0.05, 0.42, 0.25)),
    )[rng.integers(6)]  # fmt: skip
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False) + np.pi / 8 * (sides == 8)
    z = 2.3 + radius
    disc = np.stack([0 * turn, radius * np.sin(turn), z + radius * np.cos(turn)], axis=1)
    face = Look(color=color, material="sign", label=Kind.SIGN)
    plate = loft(np.stack([disc, disc + np.array([0.025, 0, 0])]) - [0.075, 0, 0], face)
    white = Look(color=(0.92, 0.92, 0.92), material="sign", label=Kind.SIGN)
    bar = boxes([-0.07, 0, z], [0.03, 1.1 * radius, 0.3 * radius], white)
    return merge([post((0, 0), (0, z + 0.2), 0.035, _METAL), plate, bar])


def cone(rng: np.random.Generator) -> Mesh:
    """An orange traffic cone with a white band."""
    orange = Look(color=(0.92, 0.3, 0.05), label=Kind.CONE).tinted(rng.uniform(0.85, 1.05))
    white = Look(color=(0.9, 0.9, 0.88), material="sign", label=Kind.CONE)
    return merge([
        boxes([0, 0, 0.02], [0.4, 0.4, 0.04], orange),
        tube([[0, 0, 0.03], [0, 0, 0.35]], [0.16, 0.1], orange, sides=10),
        tube([[0, 0, 0.35], [0, 0, 0.52]], [0.1, 0.07], white, sides=10),
        tube([[0, 0, 0.52], [0, 0, 0.72]], [0.07, 0.03], orange, sides=10),
    ])  # fmt: skip


def work_barrier(rng: np.random.Generator) -> Mesh:
    """A temporary barrier of two striped boards across x."""
    orange = Look(color=(0.9, 0.33, 0.06), material="sign", label=Kind.WORK_BARRIER)
    white = Look(color=(0.9, 0.9, 0.88), material="sign", label=Kind.WORK_BARRIER)
    legs = Look(color=(0.5, 0.5, 0.5), material="metal", label=Kind.WORK_BARRIER)
    y = np.linspace(-0.9, 0.9, 8)
    boards = []
    for z in (0.55, 0.95):
        stripes = np.stack([0 * y, y, np.full_like(y, z)], axis=1)
        boards += [boxes(stripes[0::2], [0.05, 0.26, 0.24], orange)]
        boards += [boxes(stripes[1::2], [0.05, 0.26, 0.24], white)]
    feet = [[0, side * rng.uniform(0.7, 0.8), 0.5] for side in (-1, 1)]
    return merge([*boards, boxes(feet, [0.07, 0.07, 1.1], legs)])


def jersey_barrier(rng: np.random.Generator) -> Mesh:
    """A concrete barrier element, 3 m along x."""
    profile = np.array([(-0.3, 0), (0.3, 0), (0.28, 0.12), (0.11, 0.35), (0.08, 0.85),
                        (-0.08, 0.85), (-0.11, 0.35), (-0.28, 0.12)])  # fmt: skip
    rings = [[(x, y, z) for y, z in profile] for x in (1.48, -1.48)]
    look = Look(color=(0.6, 0.59, 0.56), material="curb", label=Kind.CONCRETE_BARRIER)
    return loft(rings, look.tinted(rng.uniform(0.85, 1.1)))


def fence(length: float, rng: np.random.Generator) -> Mesh:
    """A fence along x, of pickets between two rails."""
    color = ((0.12, 0.12, 0.12), (0.8, 0.79, 0.75), (0.42, 0.31, 0.21))[rng.integers(3)]
    look = Look(color=color, material="wood", label=Kind.FENCE)
    x = np.arange(-length / 2, length / 2, 0.2)
    pickets = np.stack([x, 0 * x, np.full_like(x, 0.75)], axis=1)
    rails = boxes([[0, 0.03, 0.3], [0, 0.03, 1.2]], [length, 0.04, 0.08], look)
    return merge([boxes(pickets, [0.08, 0.03, 1.5], look), rails])


def bin_(rng: np.random.Generator) -> Mesh:
    """A wheeled bin."""
    color = ((0.1, 0.3, 0.16), (0.12, 0.22, 0.42), (0.15, 0.15, 0.15))[rng.integers(3)]
    look = Look(color=color, label=Kind.OTHER_OBJECT)
    return merge(
        [boxes([0, 0, 0.5], [0.5, 0.55, 0.95], look), boxes([0, 0, 1.0], [0.56, 0.6, 0.07], look)]
    )


def hydrant(rng: np.random.Generator) -> Mesh:
    """A fire hydrant."""
    color = ((0.7, 0.1, 0.08), (0.85, 0.8, 0.75), (0.85, 0.65, 0.1))[rng.integers(3)]
    look = Look(color=color, label=Kind.OTHER_OBJECT)
    side = tube([[0, -0.2, 0.45], [0, 0.2, 0.45]], 0.07, look)
    return merge(
        [
            post((0, 0), (0, 0.6), 0.11, look),
            ellipsoid([0, 0, 0.62], [0.12, 0.12, 0.12], look),
            side,
        ]
    )


FURNITURE: dict[str, Callable[[np.random.Generator], Mesh]] = {
    "hydrant": hydrant,
    "bin": bin_,
    "sign": sign,
    "street light": street_light,
    "utility pole": utility_pole,
}
