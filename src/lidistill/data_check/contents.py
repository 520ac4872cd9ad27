"""Which data set lies under a folder, and how to read all of it."""

from pathlib import Path

from lidistill.datasets import DATASETS, SensorFrames
from lidistill.datasets.base import DatasetConfig
from lidistill.errors import DatasetNotFoundError


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
    above = _kind_of(root.parent)
    hint = f" {root} is a part of one ({above}), perhaps a single drive: give {root.parent}."
    examples = "; ".join(f"{name} has {config.EXAMPLE}" for name, config in DATASETS.items())
    msg = f"{root} holds no data set of a known format: {examples}.{hint if above else ''}"
    raise DatasetNotFoundError(msg)


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
