"""Where the numbers of a run go: JSON lines and TensorBoard."""

import json
import math
from pathlib import Path
from typing import Protocol

from torch.utils.tensorboard import SummaryWriter

from lidistill.training.run_files import keep_lines


class Tracker(Protocol):
    """Receives the numbers of a run."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Record values after ``step`` optimiser steps."""
        ...

    def close(self) -> None:
        """Write what is left and let go of the files."""
        ...


class JsonLinesTracker:
    """One JSON object a line, in a file that a resumed run continues.

    A number that is not finite is null.

    Args:
        path: The file. Lines after ``resume_step`` (of a run that went on after its last
            checkpoint before it was cut) are removed.
        resume_step: Step the run starts from.
    """

    def __init__(self, path: Path, *, resume_step: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        keep_lines(path, resume_step)
        self._file = path.open("a", encoding="utf-8")

    def log(self, step: int, values: dict[str, float]) -> None:
        """See ``Tracker.log``."""
        # JSON has no NaN and no infinity, which a gradient may have in fp16.
        known = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **known}, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """See ``Tracker.close``."""
        self._file.close()


class TensorBoardTracker:
    """TensorBoard event files in a folder.

    Args:
        folder: Where the event files go.
        resume_step: Step the run starts from; later points of an earlier run are hidden.
    """

    def __init__(self, folder: Path, *, resume_step: int = 0) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=resume_step + 1)

    def log(self, step: int, values: dict[str, float]) -> None:
        """See ``Tracker.log``."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """See ``Tracker.close``."""
        self._writer.close()


class Trackers:
    """Passes the numbers on to several trackers."""

    def __init__(self, *trackers: Tracker) -> None:
        self._trackers = trackers

    def log(self, step: int, values: dict[str, float]) -> None:
        """See ``Tracker.log``."""
        for tracker in self._trackers:
            tracker.log(step, values)

    def close(self) -> None:
        """See ``Tracker.close``."""
        for tracker in self._trackers:
            tracker.close()
