"""Which number of a trajectory's quaternions is the real part: files of one form have two orders.

Shape letters: F poses.
"""

import re
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

QuaternionOrder: TypeAlias = Literal["xyzw", "wxyz"]
COLUMNS: Final[dict[QuaternionOrder, tuple[int, ...]]] = {
    "xyzw": (0, 1, 2, 3, 4, 5, 6, 7),
    "wxyz": (0, 1, 2, 3, 5, 6, 7, 4),
}
"""Where time, x, y, z, qx, qy, qz and qw are among the columns of a file."""

_UNIT: Final = re.compile(r"[\[(][^\])]*[\])]")
_BETWEEN: Final = re.compile(r"[\s,;]+")
_QUATERNION: Final = re.compile(r"(?:q|quat|rot|ori).*[xyzw]|[xyz]?w")
_TIME: Final = re.compile(r"t|secs?|seconds?|time.*|stamp.*")
_MOST: Final = 2000  # poses that are looked at
_TURNED: Final = np.radians(10.0)
_UPRIGHT: Final = 0.9  # cosine of the tilt
_CLEAR: Final = (0.2, 0.8)  # shares of the turning, about the lidar's z axis


def named_columns(header: str) -> tuple[int, ...] | None:
    """Where time, x, y, z, qx, qy, qz and qw are by the names of eight columns.

    Names are those of other tools, such as ``#timestamp [ns], p_RS_R_x [m], …, q_RS_w [], …`` and
    ``timestamp tx ty tz qw qx qy qz``.

    Returns:
        None if the line names something else, or not all of these.
    """
    names = [name for name in _BETWEEN.split(_UNIT.sub(" ", header.lower()).strip(" #,;")) if name]
    meaning = [_meaning(name) for name in names[-8:]]  # a word may stand before them
    wanted = ["t", "x", "y", "z", "qx", "qy", "qz", "qw"]
    if sorted(meaning) != sorted(wanted):
        return None
    return tuple(meaning.index(one) for one in wanted)


def _meaning(name: str) -> str:
    if _TIME.fullmatch(name):
        return "t"
    return f"q{name[-1]}" if _QUATERNION.fullmatch(name) else name[-1]


def w_comes_first(quaternions: NDArray[np.float64]) -> bool:
    """Whether the poses of a vehicle make sense only with the real part first.

    A vehicle turns about its lidar's z axis, whatever the axes of its world; taken in the other
    order, the same turns are about x. One that goes straight on stands upright in one order and on
    its head in the other. Where neither tells, the answer is no.

    Args:
        quaternions: (F, 4) in the order of the file; what is no unit quaternion is left out.
    """
    chosen = quaternions[
        np.linspace(0, len(quaternions) - 1, min(len(quaternions), _MOST), dtype=int)
    ]
    with np.errstate(over="ignore", invalid="ignore"):
        chosen = chosen[np.abs(np.linalg.norm(chosen, axis=1) - 1) <= 0.01]
    if len(chosen) == 0:
        return False
    orders = [Rotation.from_quat(chosen), Rotation.from_quat(chosen[:, [1, 2, 3, 0]])]
    turns = [(poses[0].inv() * poses).as_rotvec() for poses in orders]
    turned = np.linalg.norm(turns[0], axis=1) > _TURNED  # which is the same in both orders
    if turned.any():
        last, first = (_share_about_z(turn[turned]) for turn in turns)
        return last < _CLEAR[0] and first > _CLEAR[1]
    last, first = (float(poses.as_matrix()[:, 2, 2].mean()) for poses in orders)
    return last < 0 and first > _UPRIGHT


def _share_about_z(turns: NDArray[np.float64]) -> float:
    squares = np.square(turns).sum(axis=0)
    return float(squares[2] / squares.sum())
