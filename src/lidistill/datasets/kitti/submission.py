"""How the servers of SemanticKITTI's benchmarks want their predictions."""

from collections.abc import Callable

import numpy as np

from lidistill.datasets.submission_format import SubmissionFormat
from lidistill.labels import LabelMap


def lidar_format(
    label_map: LabelMap, frame: Callable[[int], tuple[str, str]], *, panoptic: bool
) -> SubmissionFormat:
    """One uint32 a point, the raw id that has the class's own name, and perhaps the object.

    Args:
        label_map: The class table.
        frame: Sequence and number of a frame, by its position.
        panoptic: With objects, as panoptic segmentation wants them.

    References:
        SemanticKITTI benchmark, single-scan semantic segmentation and panoptic segmentation.
    """
    raw = {name: number for number, name in label_map.raw_names.items()}
    return SubmissionFormat(
        dtype="<u4",
        ids=np.array([raw[name] for name in label_map.class_names], dtype=np.int64),
        file_name=lambda index: "sequences/{}/predictions/{}.label".format(*frame(index)),
        folder="sequences",
        meta=None,
        num_frames=20_351,
        objects="upper half" if panoptic else "none",
    )
