"""Label files of a user's own scans: .label as SemanticKITTI has them, or .npy; their table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import yaml
from numpy.typing import NDArray

from lidistill.atomic_write import replace_text
from lidistill.labels import IGNORE
from lidistill.reading.files import read_file
from lidistill.scan_formats.arrays import read_array
from lidistill.scan_formats.binary import read_label_ids

CLASS_TABLE: Final = "labels.yaml"
"""File that says what the class ids mean."""
_CLASS_BITS: Final = 0xFFFF  # of a .label file, as in SemanticKITTI; the others count instances


def read_ids(path: Path, num_points: int) -> NDArray[np.generic]:
    """(N,) raw class ids of a scan, or what a .npy holds in their place."""
    if path.suffix.lower() == ".npy":
        return read_array(read_file(path), str(path))
    return read_label_ids(path, "<u4", num_points) & _CLASS_BITS


def write_class_table(class_names: Sequence[str], path: Path) -> None:
    """Write what the class ids mean, as the data set ``folder`` reads it."""
    ids = dict(enumerate(class_names)) | {IGNORE: "ignore"}
    table = {"classes": list(class_names), "ids": ids}
    replace_text(path, yaml.safe_dump(table, sort_keys=False, allow_unicode=True))
