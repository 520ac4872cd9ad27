"""Which files of PandaSet's frames exist, and what a complete copy would add."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from lidistill.datasets.completeness import OnDisk
from lidistill.datasets.pandaset.drive import DriveFiles

_MAX_NAMES: Final = 8


def on_disk(frames: Sequence[tuple[DriveFiles, str]], cameras: Sequence[str]) -> OnDisk:
    """Which files of some frames exist.

    Args:
        frames: Drive and number of each.
        cameras: Those that are wanted.
    """
    images = [[_has_image(drive, frame, c) for c in cameras] for drive, frame in frames]
    return OnDisk(
        scan=np.array([frame in drive.scans for drive, frame in frames], dtype=bool),
        labels=np.array([frame in drive.labels for drive, frame in frames], dtype=bool),
        images=np.array(images, dtype=bool).reshape(len(frames), len(cameras)),
    )


def missing_from(drives: Sequence[DriveFiles], cameras: Sequence[str]) -> tuple[str, ...]:
    """One line for everything that complete drives would have, and these lack."""
    lines = []
    for drive in drives:
        frames = set(drive.scans)
        if absent := drive.num_poses - len(frames):
            lines.append(f"{drive.name}: scans of {absent} of {drive.num_poses} frames")
        if unlabelled := sorted(frames - drive.labels.keys()):
            lines.append(f"{drive.name}: no labels of {len(unlabelled)} frames: {_few(unlabelled)}")
        for name in cameras:
            camera = drive.cameras.get(name)
            without = sorted(frames - camera.images.keys()) if camera else ["all"]
            if without:
                lines.append(f"{drive.name}/{name}: no image of the frames {_few(without)}")
        if drive.latitude is None:
            lines.append(f"{drive.name}: no meta/gps.json, so its split is unknown")
    return tuple(lines)


def _has_image(drive: DriveFiles, frame: str, camera: str) -> bool:
    return camera in drive.cameras and frame in drive.cameras[camera].images


def _few(names: list[str]) -> str:
    return ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
