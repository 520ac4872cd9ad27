"""A scan of one of PandaSet's lidars, in the coordinates of the vehicle.

Shape letters: M points of one lidar.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.pandaset.tables import PointTable, read_points
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.geometry import invert_rigid, rigid, transform_points
from lidistill.scan_formats.binary import MAX_RANGE, nothing_returned

DEVICE: Final = {"pandar64": 0, "pandargt": 1}
"""Value of the column ``d`` for each sensor."""
_ROUNDING: Final = 1e-6  # metres
_T_EGO_LIDAR: Final = rigid(np.eye(3), [0.0, 0.0, 1.6])  # metres; the road is then at about -1.7


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleScan:
    """What one lidar measured, and where."""

    table: PointTable
    """As it is stored, in world coordinates."""
    points: NDArray[np.float32]
    """(M, 3) metres, in coordinates of the vehicle, 1.6 m higher; NaN where no beam came back."""
    T_world_lidar: NDArray[np.float64]
    """(4, 4) those to world coordinates, metres."""


def read_vehicle_scan(path: Path, sensor: str, T_world_ego: NDArray[np.float64]) -> VehicleScan:
    """The points of one frame and lidar.

    Args:
        path: The table.
        sensor: Name of the lidar.
        T_world_ego: (4, 4) pose of the vehicle at the scan, metres.

    Raises:
        FileFormatError: If the table is damaged or does not fit the pose.
        DatasetNotFoundError: If there is no such file, or no point of this lidar in it.
    """
    table = read_points(path, DEVICE[sensor])
    if not len(table.rows):
        msg = f"{path} has no point of {sensor} (d = {DEVICE[sensor]}); leave it out."
        raise DatasetNotFoundError(msg)
    T_world_lidar = T_world_ego @ _T_EGO_LIDAR
    points = transform_points(invert_rigid(T_world_lidar), table.world).astype(np.float32)
    # Such beams of the lidar's own frame lie there again, but for rounding.
    lost = ~(np.abs(points).max(axis=1) > _ROUNDING)
    if lost.all():
        raise nothing_returned(path, len(points))
    points[lost] = np.nan
    farthest = np.nanmax(np.abs(points))
    if farthest > MAX_RANGE:
        msg = (
            f"{path}: a point lies {farthest:g} m from the vehicle, expected at "
            f"most {MAX_RANGE:g}; the scan or lidar/poses.json is damaged. Unpack both again."
        )
        raise FileFormatError(msg)
    return VehicleScan(table=table, points=points, T_world_lidar=T_world_lidar)
