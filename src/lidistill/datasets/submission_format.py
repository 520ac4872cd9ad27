"""How the server of a benchmark wants its predictions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.errors import FileFormatError
from lidistill.reading.names import relative_path, shown

FileName: TypeAlias = Callable[[int], str]
"""From a frame's position to its file in the folder that is handed in."""


Objects: TypeAlias = Literal["none", "upper half", "below thousand"]
"""Not at all; in the upper 16 of 32 bits; as what is added to 1000 times the class."""
_HALF: Final = 16
_STEP: Final = 1000


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
    objects: Objects = "none"
    """How a prediction also says which object a point is of."""
    archive: str | None = None
    """Name of the array in an npz archive; None: a file is nothing but its predictions."""

    @property
    def max_objects(self) -> int:
        """Objects of a scan, or of a class in it, that can be told apart."""
        return {"none": 0, "upper half": (1 << _HALF) - 1, "below thousand": _STEP - 1}[
            self.objects
        ]

    def encode(
        self, classes: NDArray[np.integer], objects: NDArray[np.integer]
    ) -> NDArray[np.generic]:
        """(N,) predictions as a file has them.

        Args:
            classes: (N,) training ids.
            objects: (N,) numbers of objects, at most ``max_objects``; 0: none.
        """
        labels = self.ids[classes].astype(np.int64)
        if self.objects == "upper half":
            labels += objects.astype(np.int64) << _HALF
        elif self.objects == "below thousand":
            labels = labels * _STEP + objects
        return labels.astype(self.dtype)

    def classes_of(self, labels: NDArray[np.integer]) -> NDArray[np.int64]:
        """(N,) numbers of the classes in predictions as a file has them."""
        whole = labels.astype(np.int64)
        if self.objects == "upper half":
            return whole & ((1 << _HALF) - 1)
        return whole // _STEP if self.objects == "below thousand" else whole

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
