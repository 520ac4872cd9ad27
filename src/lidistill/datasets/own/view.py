"""An image of one of a user's own scans, with what its calibration says."""

import numpy as np

from lidistill.datasets.own.drive import Drive
from lidistill.errors import FileFormatError
from lidistill.images.files import image_size
from lidistill.reading.files import blamed_on
from lidistill.records import CameraView


def view_of(drive: Drive, scan: str, camera: str) -> CameraView:
    """The image of a scan by one camera.

    Raises:
        FileFormatError: If it is of another size than its calibration, or the vehicle jumps between
            scan and image.
    """
    calibration, path = drive.calibration.cameras[camera], drive.images[camera][scan].path
    height, width = image_size(path)
    if (height, width) != calibration.size_hw:
        msg = (
            f"image {path} is {height} x {width} (height x width), expected size_hw "
            f"{list(calibration.size_hw)} of camera {camera}; K holds for that size alone. Mend "
            "size_hw and K, or take the images as they were calibrated."
        )
        raise FileFormatError(msg)
    jumps = "poses.txt moves the lidar so far between scan and image; mend it, or their times."
    with blamed_on(path, jumps):
        return CameraView(
            name=camera,
            image_path=path,
            size_hw=calibration.size_hw,
            K=np.array(calibration.K),
            T_cam_lidar=drive.T_cam_lidar(scan, camera),
            distortion=calibration.coefficients,
            near_depth=calibration.near_depth,
        )
