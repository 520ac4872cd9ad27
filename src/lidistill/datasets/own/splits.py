"""Which of a user's own drives and frames train, and which validate."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from lidistill.datasets.own.files import linked
from lidistill.errors import DatasetNotFoundError
from lidistill.reading.files import MEND, blamed_on, read_file
from lidistill.reading.names import same_letters, shown
from lidistill.reading.text import numbered_lines

_SPLITS: Final = ("train", "val")
_MAX_BYTES: Final = 1 << 24


class SplitLists:
    """The lists ``splits/train.txt`` and ``val.txt``, or a share of the drives in their place.

    Where there is one list, all that it does not name is in the other split.

    Args:
        root: Folder of the data set.
        val_fraction: Share of the drives that validate where there is no list; None: no share.

    Raises:
        DatasetNotFoundError: If both lists name the same drive or frame, or one a drive and the
            other a frame of it.
        FileFormatError: If a list is a link.
    """

    def __init__(self, root: Path, *, val_fraction: float | None) -> None:
        self._folder = root / "splits"
        self._val_fraction = val_fraction
        self._lists = {split: self._read(split) for split in _SPLITS}
        train, val = (
            {same_letters(name) for name in self._lists[split] or ()} for split in _SPLITS
        )
        if both := sorted(train & val):
            msg = f"{self._folder}: both lists name {shown(both[0])}; keep it in one of them."
            raise DatasetNotFoundError(msg)
        for whole, parts in ((train, val), (val, train)):
            if inside := sorted(name for name in parts if name.rpartition("/")[0] in whole):
                drive = inside[0].rpartition("/")[0]
                msg = (
                    f"{self._folder}: one list names the drive {shown(drive)}, the other its frame "
                    f"{shown(inside[0])}; frames of a drive in both are listed one by one."
                )
                raise DatasetNotFoundError(msg)

    def choose(
        self,
        split: Literal["train", "val", "all"],
        frames: Sequence[tuple[str, str]],
        *,
        drives: Sequence[str],
    ) -> list[int]:
        """Indices of the frames in a split.

        Args:
            split: Which one.
            frames: Drive and name of every frame, in reading order.
            drives: Every drive of the data set in the order of their names, whether frames of it
                are among these or not.

        Raises:
            DatasetNotFoundError: If there is no list and no share, a list names what is not there,
                or nothing is left.
        """
        if split == "all":
            return list(range(len(frames)))
        listed, name = self._lists[split], str(split)
        other = "val" if split == "train" else "train"
        if takes_rest := listed is None and self._lists[other] is not None:
            listed, name = self._lists[other], other
        if listed is None:
            listed = self._by_fraction(split, drives)
        drives = [same_letters(drive) for drive in drives]
        frames = [(same_letters(drive), same_letters(frame)) for drive, frame in frames]
        listed = {same_letters(line) for line in listed}
        absent = set(drives) - {drive for drive, _ in frames}
        known = {*drives, *(frame for _, frame in frames)}
        unknown = sorted(n for n in listed - known if n.rpartition("/")[0] not in absent)
        if unknown:
            msg = (
                f"{self._folder / name}.txt names {shown(unknown[0])}, which is no drive and no "
                f"frame (such as {frames[0][1]!r}); mend the list."
            )
            raise DatasetNotFoundError(msg)
        chosen = [i for i, names in enumerate(frames) if listed.isdisjoint(names) == takes_rest]
        if not chosen:
            msg = (
                f"{self._folder.parent}: none of the {len(frames)} selected frames is in the split "
                f"{split!r}; select other drives, or change splits/{name}.txt."
            )
            raise DatasetNotFoundError(msg)
        return chosen

    def _read(self, split: str) -> set[str] | None:
        path = self._folder / f"{split}.txt"
        if self._folder.is_symlink() or path.is_symlink():
            raise linked(path)
        if not path.exists():
            return None
        with blamed_on(path, MEND):
            lines = numbered_lines(read_file(path, max_bytes=_MAX_BYTES), comment=None)
            return {line for _, line in lines if not line.startswith("#")}

    def _by_fraction(self, split: str, drives: Sequence[str]) -> set[str]:
        if self._val_fraction is None or len(drives) < 2:
            msg = (
                f"{self._folder.parent} has no splits/{split}.txt, and {len(drives)} drives to "
                "share out; write the list, set val_fraction (two drives or more), or split=all."
            )
            raise DatasetNotFoundError(msg)
        num_val = min(max(1, math.ceil(self._val_fraction * len(drives))), len(drives) - 1)
        return set(drives[-num_val:] if split == "val" else drives[:-num_val])
