"""nuScenes' files as nuScenes has them; key frames only, without boxes."""

from pathlib import Path

import numpy as np

from lidistill.geometry import invert_rigid, transform_points
from lidistill.sim.classes import raw_ids
from lidistill.sim.files import write, write_jpeg, write_json, write_png
from lidistill.sim.nuscenes_channels import LIDAR, VERSION, channels, label_file
from lidistill.sim.nuscenes_rows import MAP, all_tables
from lidistill.sim.plan import Drive
from lidistill.sim.recording import DriveLog, FrameRecord


class NuScenesWriter:
    """Samples of all scenes side by side; points of a scan in the coordinates of the lidar."""

    def is_complete(self, root: Path, drive: Drive, index: int) -> bool:
        """Whether that frame has been written to its end."""
        return (root / label_file(drive, index)).is_file()

    def write_frame(self, root: Path, log: DriveLog, record: FrameRecord) -> None:
        """Write one frame; its labels come last, so that they tell whether it is complete."""
        sensors, index, scan = channels(log), record.index, record.scans[0]
        for name, image in record.images.items():
            write_jpeg(root / sensors[name].file(index), image)
        lidar = sensors[LIDAR]
        T_world_lidar = lidar.T_world_body[index] @ lidar.T_body_sensor
        points = transform_points(invert_rigid(T_world_lidar), scan.points)
        rows = np.column_stack([points, scan.intensity, scan.beam]).astype("<f4")
        write(root / lidar.file(index), rows.tobytes())
        labels = raw_ids("nuscenes", scan.kind).astype(np.uint8)
        write(root / label_file(log.drive, index), labels.tobytes())

    def write_tables(self, root: Path, logs: list[DriveLog]) -> None:
        """Write an empty map and all tables; last the one without which no reader starts."""
        write_png(root / MAP, np.zeros((64, 64, 3), dtype=np.uint8))
        tables = all_tables(logs)
        for name in sorted(tables, key=lambda name: (name == "scene", name)):
            write_json(root / VERSION / f"{name}.json", tables[name])
