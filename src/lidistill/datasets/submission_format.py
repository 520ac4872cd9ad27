"""How the server of a benchmark wants its predictions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError
from lidistill.reading.names import relative_path, shown

FileName: TypeAlias = Callable[[int], str]
"""From a frame's position to its file in the folder that is handed in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionFormat:
    """How one server wants its predictions."""

    dtype: str
    """Of one prediction, little-endian."""
    ids: NDArray[np.integer]
    """(classes,) number that stands for each training id."""
    file_name: FileName
    folder: str
    """Folder in which nothing but predictions may lie."""
    meta: dict[str, bool] | None
    """Keys of ``test/submission.json``, where the server wants one."""
    num_frames: int
    """Frames of the test set."""

    def path(self, index: int, name: str) -> str:
        """File of a frame in the folder that is handed in, and never outside it.

        Args:
            index: Position of the frame.
            name: Its name, for the message.

        Raises:
            FileFormatError: If the names of the data set lead elsewhere.
        """
        try:
            return relative_path(self.file_name(index), "file of predictions")
        except ValueError as error:
            msg = f"frame {shown(name)}: {error}. Unpack the data set's tables again."
            raise FileFormatError(msg) from error
