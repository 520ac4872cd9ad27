"""How the servers of the lidarseg and panoptic challenges want its predictions."""

from collections.abc import Callable
from typing import Final

import numpy as np

from lidistill.datasets.submission_format import SubmissionFormat

_META: Final = {
    "use_camera": False,
    "use_lidar": True,
    "use_radar": False,
    "use_map": False,
    "use_external": True,
}
"""What predictions are made from; the distilled teacher makes use of external data."""


def lidar_format(
    num_classes: int, scan_token: Callable[[int], str], *, panoptic: bool
) -> SubmissionFormat:
    """One number a point, 1 for the first class; of the panoptic challenge an object, too.

    Args:
        num_classes: Of the challenge.
        scan_token: Token of a frame's scan, by its position.
        panoptic: The panoptic challenge's; else that of lidarseg.

    References:
        nuScenes lidarseg and panoptic challenges: submission formats in the devkit's documentation.
    """
    if panoptic:
        return SubmissionFormat(
            dtype="<u2",
            ids=np.arange(1, num_classes + 1),
            file_name=lambda index: f"panoptic/test/{scan_token(index)}_panoptic.npz",
            folder="panoptic/test",
            meta=_META,
            num_frames=6_008,
            objects="below thousand",
            archive="data",
        )
    return SubmissionFormat(
        dtype="u1",
        ids=np.arange(1, num_classes + 1),
        file_name=lambda index: f"lidarseg/test/{scan_token(index)}_lidarseg.bin",
        folder="lidarseg/test",
        meta=_META,
        num_frames=6_008,
    )
