"""What to do about files that a data set speaks of and that are not on disk.

Shape letters: F frames, V cameras.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lidistill.config import Config, MayChange
from lidistill.errors import DatasetNotFoundError

logger = logging.getLogger(__name__)


class CompletenessConfig(Config):
    """What every frame must have, and what happens to those that lack it."""

    labels: Literal["required", "optional", "none"] = "optional"
    images: Literal["required", "any", "optional", "none"] = "optional"  # any: at least one
    missing: MayChange[Literal["error", "skip"]] = "error"
    """skip: leave frames out, and say how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDisk:
    """Which files of which frames exist."""

    scan: NDArray[np.bool_]
    """(F,)"""
    labels: NDArray[np.bool_]
    """(F,)"""
    images: NDArray[np.bool_]
    """(F, V) of the wanted cameras."""


class FileListing:
    """Answers whether files exist, and lists each folder once.

    Args:
        root: Folder that the names are relative to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: dict[str, frozenset[str]] = {}

    def has(self, name: str) -> bool:
        """Whether ``folder/…/file`` exists below the root."""
        parent, _, last = name.rpartition("/")
        if parent not in self._names:
            folder = self._root / parent
            entries = folder.iterdir() if folder.is_dir() else ()
            self._names[parent] = frozenset(entry.name for entry in entries)
        return bool(last) and last in self._names[parent]


def usable_frames(
    config: CompletenessConfig,
    disk: OnDisk,
    frame_id: Callable[[int], str],
    *,
    source: Path,
    unpaired: Sequence[str] = (),
) -> NDArray[np.int64]:
    """Indices of the frames that have all they must have.

    Args:
        config: What they must have.
        disk: What they have.
        frame_id: Name of a frame by its index, for messages.
        source: The data set's folder, for messages.
        unpaired: Where images are there but find no scan, why, and what to do.

    Raises:
        DatasetNotFoundError: If something is missing and ``missing`` is ``"error"``, or no frame
            is left.
    """
    usable = np.ones(len(disk.scan), dtype=bool)
    for what, lacking in _lacking(config, disk).items():
        if not lacking.any():
            continue
        first = frame_id(int(np.flatnonzero(lacking)[0]))
        wanted = f"an {what}" if what == "image" else f"a {what}"
        text = f"{source}: {lacking.sum()} of {len(usable)} frames lack {wanted}, first {first}"
        if config.missing == "error":
            advice = "unpack what is missing, select less, or set missing=skip"
            if what == "image" and unpaired:
                advice = "; ".join(unpaired)
            msg = f"{text}; {advice}."
            raise DatasetNotFoundError(msg)
        logger.warning("%s; they are left out.", text)
        usable &= ~lacking
    kept = np.flatnonzero(usable)
    if not len(kept):
        msg = f"{source}: none of the {len(usable)} selected frames can be used; unpack more of it."
        raise DatasetNotFoundError(msg)
    num_absent = int((~disk.images[kept]).sum())
    if num_absent and config.images != "none":
        why = f" ({'; '.join(unpaired)})" if unpaired else ""
        logger.warning(
            "%s: %d images are missing%s; frames have fewer views.", source, num_absent, why
        )
    return kept


def missing_files(
    disk: OnDisk, cameras: Sequence[str], *, labels: str | None = None
) -> tuple[str, ...]:
    """One line for every kind of file that some frames lack.

    Args:
        disk: What they have.
        cameras: (V,) names.
        labels: What to call label files; None: there are none to lack.
    """
    num = len(disk.scan)
    lacking = {"scans": ~disk.scan} | ({labels: ~disk.labels} if labels is not None else {})
    lacking |= {f"images of {name}": ~disk.images[:, i] for i, name in enumerate(cameras)}
    counts = {what: int(np.count_nonzero(absent)) for what, absent in lacking.items()}
    return tuple(f"{what}: {count} of {num} frames" for what, count in counts.items() if count)


def _lacking(config: CompletenessConfig, disk: OnDisk) -> dict[str, NDArray[np.bool_]]:
    lacking = {"scan": ~disk.scan}
    if config.labels == "required":
        lacking["label file"] = ~disk.labels
    if config.images in {"required", "any"}:
        num_present = disk.images.sum(axis=1)
        all_needed = config.images == "required" and config.missing == "error"
        num_needed = disk.images.shape[1] if all_needed else 1
        lacking["image"] = num_present < num_needed
    return lacking
