"""Where the files of SemanticKITTI's frames lie below the root, and which of them are there.

Shape letters: F frames.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from lidistill.datasets.completeness import FileListing, OnDisk
from lidistill.datasets.kitti.sequences import calibration_places
from lidistill.reading.names import in_order

FrameName: TypeAlias = tuple[str, str]
"""Sequence and number of a frame, both as its files have them."""
CAMERA: Final = "image_2"
"""The camera that is used: the left one of both with colour."""
_OTHERS: Final = (".jpg", ".jpeg", ".JPG", ".JPEG", ".PNG")
"""Endings of images that somebody has packed anew."""


def scan_file(frame: FrameName) -> str:
    """Path of a scan below the root."""
    return "sequences/{}/velodyne/{}.bin".format(*frame)


def label_file(frame: FrameName) -> str:
    """Path of the labels of a scan below the root."""
    return "sequences/{}/labels/{}.label".format(*frame)


def image_file(frame: FrameName) -> str:
    """Path of the image of a scan below the root, as it is distributed; see ``stored_image``."""
    sequence, number = frame
    return f"sequences/{sequence}/{CAMERA}/{number}.png"


def stored_image(image: Path) -> Path:
    """A PNG of KITTI's, or the image of its name that has taken its place, such as a JPEG."""
    if image.exists():
        return image
    others = (image.with_suffix(ending) for ending in _OTHERS)
    return next((other for other in others if other.exists()), image)


def image_is_there(listing: FileListing, image: str) -> bool:
    """Whether an image is there in any form; see ``stored_image``."""
    stem = image.removesuffix(".png")
    return any(listing.has(stem + ending) for ending in (".png", *_OTHERS))


def tables_of(root: Path, sequences: Sequence[str]) -> tuple[str, ...]:
    """Paths below the root of what sequences have that is not about one frame alone."""
    names = [
        name
        for sequence in sequences
        for name in (
            *calibration_places(sequence),
            f"sequences/{sequence}/poses.txt",
            f"sequences/{sequence}/times.txt",
        )
    ]
    return tuple(name for name in names if (root / name).is_file())


def frames_of(
    root: Path, sequence: str, numbers: Collection[int] | None, *, labelled: bool
) -> list[FrameName]:
    """Wanted frames of a sequence that have a scan, in order.

    Args:
        root: The folder that holds ``sequences``.
        sequence: Name of the sequence.
        numbers: Those that are wanted; None: all.
        labelled: Also those that have labels, and thus should have a scan.
    """
    folder = root / "sequences" / sequence
    files = list((folder / "velodyne").glob("*.bin"))
    if labelled:
        files += (folder / "labels").glob("*.label")
    names = in_order({path.stem for path in files if path.stem.isdecimal()})
    wanted = None if numbers is None else frozenset(numbers)
    return [(sequence, name) for name in names if wanted is None or int(name) in wanted]


def on_disk(root: Path, frames: Sequence[FrameName]) -> OnDisk:
    """Which files of some frames exist."""
    listing = FileListing(root)
    return OnDisk(
        scan=np.array([listing.has(scan_file(frame)) for frame in frames], dtype=bool),
        labels=np.array([listing.has(label_file(frame)) for frame in frames], dtype=bool),
        images=np.array(
            [[image_is_there(listing, image_file(frame))] for frame in frames], dtype=bool
        ).reshape(-1, 1),
    )
