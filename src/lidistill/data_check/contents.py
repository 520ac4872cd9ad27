"""Which data set lies under a folder, and how to read all of it."""

import itertools
import os
from pathlib import Path
from typing import Final

from lidistill.datasets import DATASETS, SensorFrames
from lidistill.datasets.base import DatasetConfig
from lidistill.errors import DatasetNotFoundError

_LOOKED_AT: Final = 100  # folders, for advice
_DEEP: Final = ("semantic_kitti", "kitti_raw", "argoverse2")
"""Data sets whose drives lie two folders below the root."""


def detect_format(root: Path) -> str:
    """Name of the data set that a folder holds, a key of ``datasets.DATASETS``.

    Raises:
        DatasetNotFoundError: If there is no such folder, or it holds none that is known.
    """
    if not root.is_dir():
        what = "not a folder"
        if root.is_symlink() and not root.exists():
            what = f"a link to {root.readlink()}, where nothing is"
        msg = f"{root} is {what}; give the folder that a data set was unpacked into."
        raise DatasetNotFoundError(msg)
    found = _kind_of(root)
    if found is not None:
        return found
    examples = "; ".join(f"{name} has {config.EXAMPLE}" for name, config in DATASETS.items())
    msg = f"{root} holds no data set of a known format: {examples}.{_hint(root)}"
    raise DatasetNotFoundError(msg)


def _hint(root: Path) -> str:
    """Where a data set lies if a folder is a part of one, or has one in it; or ""."""
    for inside in sorted(itertools.islice(root.iterdir(), _LOOKED_AT)):
        readable = os.access(inside, os.R_OK | os.X_OK) and inside.is_dir()
        if readable and (kind := _kind_of(inside)) is not None:
            return f" {inside} is one ({kind}): give that."
    above = root.parent
    kind = _kind_of(above)
    if kind is None:
        above = above.parent
        kind = next((kind for kind in _DEEP if DATASETS[kind].detect(above)), None)
    if kind is None:
        return ""
    return f" {root} is a part of one ({kind}), perhaps a single drive: give {above}."


def configs_of(root: Path) -> tuple[DatasetConfig, ...]:
    """What reads everything under a root: one configuration for each sensor and version.

    Raises:
        DatasetNotFoundError: If there is no data set of a known format.
    """
    return DATASETS[detect_format(root)].everything(root)


def read_all(root: Path) -> tuple[SensorFrames, ...]:
    """Everything under the root of a data set: one data set for each sensor and version.

    Raises:
        DatasetNotFoundError: If there is none of a known format.
        FileFormatError: If its calibration or tables are damaged.
    """
    return tuple(config.build() for config in configs_of(root))


def _kind_of(folder: Path) -> str | None:
    return next((kind for kind, config in DATASETS.items() if config.detect(folder)), None)
