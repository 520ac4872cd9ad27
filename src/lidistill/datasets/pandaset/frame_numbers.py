"""Frames chosen by number: ``"0-38,44"``."""

import re
from typing import Final

_RANGE: Final = re.compile(r"\s*([0-9]{1,6})\s*(?:-\s*([0-9]{1,6})\s*)?")


def frame_numbers(frames: str | tuple[int, ...] | None) -> frozenset[int] | None:
    """The numbers that a choice stands for; None for all.

    Raises:
        ValueError: If it is a text other than numbers and ranges.
    """
    if frames is None or not isinstance(frames, str):
        return None if frames is None else frozenset(frames)
    numbers: set[int] = set()
    for part in frames.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            msg = f"frames {frames!r}: {part!r} is neither a number nor a range like 0-38"
            raise ValueError(msg)
        first, last = match.groups()
        numbers |= set(range(int(first), int(last or first) + 1))
    return frozenset(numbers)
