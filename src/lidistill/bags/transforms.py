"""Transforms between named frames."""

from collections import deque
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.bags.messages import Transform
from lidistill.geometry import MAX_WORLD, check_rigid, invert_rigid, quaternion_to_matrix, rigid

_ROUNDING: Final = 1e-4  # metres, and radians


class FrameTree:
    """Transforms between named frames, as ``/tf_static`` gives them.

    Those that are no rotation and shift connect nothing.

    Args:
        transforms: Of all messages; the last one of two frames counts.
    """

    def __init__(self, transforms: Iterable[Transform]) -> None:
        self._steps: dict[str, dict[str, NDArray[np.float64]]] = {}
        self.changed: dict[tuple[str, str], None] = {}
        """Pairs of frames of which one transform differs from another by more than rounding."""
        for stamped in transforms:
            parent, child = stamped.parent.lstrip("/"), stamped.child.lstrip("/")
            x, y, z, w = stamped.rotation
            try:
                T_parent_child = rigid(quaternion_to_matrix((w, x, y, z)), stamped.translation)
                check_rigid(T_parent_child, reach=MAX_WORLD)
            except ValueError:
                continue
            before = self._steps.get(child, {}).get(parent, T_parent_child)
            if np.abs(T_parent_child - before).max() > _ROUNDING:
                self.changed[min(parent, child), max(parent, child)] = None
            self._steps.setdefault(child, {})[parent] = T_parent_child
            self._steps.setdefault(parent, {})[child] = invert_rigid(T_parent_child)

    def find(self, to: str, origin: str) -> NDArray[np.float64] | None:
        """(4, 4) transform of coordinates of the frame ``origin`` to those of ``to``, or None."""
        to, origin = to.lstrip("/"), origin.lstrip("/")
        reached = {origin: np.eye(4)}
        waiting = deque([origin])
        while waiting and to not in reached:
            name = waiting.popleft()
            for following, T_following_name in self._steps.get(name, {}).items():
                if following not in reached:
                    reached[following] = T_following_name @ reached[name]
                    waiting.append(following)
        return reached.get(to)
