"""An image of a PandaSet frame, with the pose of its camera at the exposure."""

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.pandaset.drive import CameraFiles
from lidistill.geometry import check_pinhole, invert_rigid
from lidistill.images.files import a_few, size_of_view
from lidistill.reading.files import blamed_on
from lidistill.records import CameraView


def view_of(camera: CameraFiles, frame: str, T_world_lidar: NDArray[np.float64]) -> CameraView:
    """The image of a frame by one camera.

    Raises:
        FileFormatError: If the image, the intrinsics or the pose do not fit each other.
    """
    path = camera.images[frame]
    size_hw = size_of_view(path, a_few(list(camera.images.values())))
    with blamed_on(camera.folder / "intrinsics.json"):
        check_pinhole(camera.K, size_hw)
    with blamed_on(camera.folder / "poses.json"):
        return CameraView(
            name=camera.name,
            image_path=path,
            size_hw=size_hw,
            K=camera.K,
            T_cam_lidar=invert_rigid(camera.T_world_cam[frame]) @ T_world_lidar,
        )
