"""Frames of an index that are worth a label, by what their objects look like."""

import logging
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import ConfigError
from lidistill.fleet.selection import (
    Strategy,
    at_random,
    by_coverage,
    by_typicality,
    by_uncertainty,
    evenly,
)
from lidistill.fleet.table import FleetIndex

logger = logging.getLogger(__name__)
MAX_OBJECTS: Final = 100_000
"""More are thinned out by lot, so that a choice takes minutes, not days."""


def select_frames(
    index: FleetIndex, count: int, strategy: Strategy, *, seed: int
) -> list[dict[str, Any]]:
    """Frames to label, in the order in which they were chosen: rows of the index's frames.

    Args:
        index: Objects and frames.
        count: How many.
        strategy: How they are chosen.
        seed: Of what is done by lot.

    Raises:
        ConfigError: If there are fewer frames, or the run says nothing of its certainty.
    """
    frames = [row for row in index.frames() if not row["reason"]]
    usable = [row for row in frames if row["objects"]]
    pool = frames if strategy in {"even", "random"} else usable
    if len(pool) < count:
        msg = f"--count {count}: the index has {len(pool)} frames to choose from; ask for fewer."
        raise ConfigError(msg)
    rng = np.random.default_rng(seed)
    numbers = list(range(len(pool)))
    if strategy == "even":
        return [pool[number] for number in evenly(numbers, count)]
    if strategy == "random":
        return [pool[number] for number in at_random(numbers, count, rng)]
    if strategy == "uncertain" and not index.about.class_names:
        msg = (
            "--strategy uncertain: the run of this index predicts no classes; index one of probe "
            "or finetune, or choose coverage."
        )
        raise ConfigError(msg)
    vectors, names, confidence = index.column_arrays()
    place = {row["frame"]: number for number, row in enumerate(pool)}
    frame = np.array([place[name] for name in names])
    if strategy == "uncertain":
        chosen = by_uncertainty(np.array(confidence, np.float64), frame, count)
        return [pool[number] for number in chosen]
    if len(vectors) > MAX_OBJECTS:
        logger.info("choosing by %d of %d objects, drawn by lot", MAX_OBJECTS, len(vectors))
        kept = _drawn(frame, MAX_OBJECTS, rng)
        vectors, frame = vectors[kept], frame[kept]
    if strategy == "typical":
        chosen = by_typicality(vectors, frame, count, rng)
    else:
        chosen = by_coverage(vectors, frame, count)
    return [pool[number] for number in chosen]


def _drawn(frame: NDArray[np.integer], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Sorted numbers of objects drawn by lot, first one of every frame, so that none falls out.

    Args:
        frame: (O,) number of the frame of each object.
        count: How many are drawn, at most O.
        rng: Draws.
    """
    order = rng.permutation(len(frame))
    _, first = np.unique(frame[order], return_index=True)
    first.sort()
    others = np.delete(order, first)
    return np.sort(np.concatenate([order[first], others])[:count])
