"""How the server of the lidarseg challenge wants its predictions."""

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


def lidarseg_format(num_classes: int, scan_token: Callable[[int], str]) -> SubmissionFormat:
    """One byte a point, 1 for the first class.

    Args:
        num_classes: Of the challenge.
        scan_token: Token of a frame's scan, by its position.

    References:
        nuScenes lidarseg challenge: submission format in the devkit's documentation.
    """
    return SubmissionFormat(
        dtype="u1",
        ids=np.arange(1, num_classes + 1),
        file_name=lambda index: f"lidarseg/test/{scan_token(index)}_lidarseg.bin",
        folder="lidarseg/test",
        meta=_META,
        num_frames=6_008,
    )
