"""An image of a key frame of nuScenes, with the pose of the vehicle at the exposure."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.nuscenes.index import KeyFrames
from lidistill.datasets.nuscenes.tables import CHANNELS
from lidistill.geometry import check_pinhole, invert_rigid
from lidistill.reading.files import blamed_on
from lidistill.records import CameraView

_NEAR_DEPTH: Final = 1.0  # metres
_BORDER_PX: Final = 1.0


def view_of(
    index: KeyFrames, frame: int, channel: int, T_world_lidar: NDArray[np.float64], *, tables: Path
) -> CameraView:
    """The image of a key frame by one camera.

    Args:
        index: The key frames.
        frame: Row of the frame in it.
        channel: Position of the camera in ``CHANNELS``.
        T_world_lidar: (4, 4) of the frame's scan.
        tables: Folder of the tables, ``<root>/<version>``.

    Raises:
        FileFormatError: If the calibration or a pose cannot be right.
    """
    T_world_cam = index.T_world_ego(frame, channel) @ index.T_ego_sensor(frame, channel)
    height, width = index.size_hw[frame, channel].tolist()
    K = index.K[index.calibration[frame, channel]]
    with blamed_on(tables / "calibrated_sensor.json"):
        check_pinhole(K, (height, width))
    with blamed_on(tables / "ego_pose.json"):
        return CameraView(
            name=CHANNELS[channel],
            image_path=tables.parent / index.filename[frame, channel].decode(),
            size_hw=(height, width),
            K=K,
            T_cam_lidar=invert_rigid(T_world_cam) @ T_world_lidar,
            near_depth=_NEAR_DEPTH,
            border_px=_BORDER_PX,
        )
