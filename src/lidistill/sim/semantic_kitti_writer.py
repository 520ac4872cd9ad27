"""SemanticKITTI's files as SemanticKITTI has them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.geometry import invert_rigid, rigid, transform_points
from lidistill.sim.classes import raw_ids
from lidistill.sim.files import write, write_png
from lidistill.sim.lidar import Scan
from lidistill.sim.plan import Drive
from lidistill.sim.recording import DriveLog, FrameRecord
from lidistill.sim.rigs import T_COLOR_GREY, T_GREY_LIDAR

Float64: TypeAlias = NDArray[np.float64]

_INSTANCE_BIT: Final = 16
_GREY_RIGHT: Final = rigid(np.eye(3), (-0.537, 0.0, 0.0))
_COLOR_RIGHT: Final = rigid(np.eye(3), (-0.4731, 0.002, 0.005))


class SemanticKittiWriter:
    """One folder per sequence; points of a scan in the coordinates of the lidar."""

    def is_complete(self, root: Path, drive: Drive, index: int) -> bool:
        """Whether that frame has been written to its end."""
        return _labels(root, drive, index).is_file()

    def write_frame(self, root: Path, log: DriveLog, record: FrameRecord) -> None:
        """Write one frame; its labels come last, so that they tell whether it is complete."""
        folder, name = root / "sequences" / log.drive.name, f"{record.index:06d}"
        for camera, image in record.images.items():
            write_png(folder / camera / f"{name}.png", image)
        T_world_lidar = log.T_world_body[record.index] @ log.rig.lidars[0].T_body_lidar
        points = transform_points(invert_rigid(T_world_lidar), record.scans[0].points)
        order = _row_by_row(record.scans[0], points)
        scan = record.scans[0].take(order)
        rows = np.column_stack([points[order], scan.intensity]).astype("<f4")
        write(folder / "velodyne" / f"{name}.bin", rows.tobytes())
        ids = raw_ids("semantic_kitti", scan.kind, scan.moving).astype("<u4")
        labels = ids | scan.instance.astype("<u4") << _INSTANCE_BIT
        write(_labels(root, log.drive, record.index), labels.tobytes())

    def write_tables(self, root: Path, logs: list[DriveLog]) -> None:
        """Write calibration, poses and time stamps of every sequence."""
        for log in logs:
            folder = root / "sequences" / log.drive.name
            K = log.rig.cameras[0].K
            shifts = (np.eye(4), _GREY_RIGHT, T_COLOR_GREY, _COLOR_RIGHT)
            lines = [f"P{i}: {_numbers(K @ shift[:3])}" for i, shift in enumerate(shifts)]
            T_grey_lidar = T_GREY_LIDAR @ log.rig.lidars[0].T_body_lidar
            lines.append(f"Tr: {_numbers(T_grey_lidar[:3])}")
            _write_lines(folder / "calib.txt", lines)
            T_world_grey = log.T_world_body @ invert_rigid(T_GREY_LIDAR)
            poses = invert_rigid(T_world_grey[0]) @ T_world_grey
            _write_lines(folder / "poses.txt", (_numbers(T[:3]) for T in poses))
            _write_lines(folder / "times.txt", (f"{t:.6e}" for t in log.time_s))


def _labels(root: Path, drive: Drive, index: int) -> Path:
    return root / "sequences" / drive.name / "labels" / f"{index:06d}.label"


def _row_by_row(scan: Scan, points: Float64) -> NDArray[np.int64]:
    """KITTI's order: beams from the top down, each once around from straight ahead."""
    azimuth = np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
    return np.lexsort((azimuth, scan.beam))


def _numbers(matrix: Float64) -> str:
    return " ".join(f"{value:.12e}" for value in matrix.ravel())


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write(path, ("\n".join(lines) + "\n").encode())
