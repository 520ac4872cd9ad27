"""Another column of a scan that may be its intensity, where the one that was taken never varies."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from lidistill.records import Array
from lidistill.scan_formats.intensities import is_usual


@runtime_checkable
class _WithColumns(Protocol):
    def columns(self, index: int) -> Mapping[str, Array]: ...


def other_intensity(dataset: object, index: int) -> str | None:
    """Name of another column of a frame's file that is called like an intensity and varies.

    Args:
        dataset: What the frame is of; only own recordings have further columns.
        index: A frame that can be read.
    """
    columns = dataset.columns(index) if isinstance(dataset, _WithColumns) else {}
    usual = {
        name: values[np.isfinite(values)] for name, values in columns.items() if is_usual(name)
    }
    return next((name for name, values in usual.items() if len(values) and np.ptp(values)), None)
