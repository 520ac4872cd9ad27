"""The sensors of a simulated drive as nuScenes' tables see them: their names, times and files."""

import hashlib
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.sim.plan import Drive
from lidistill.sim.recording import DriveLog

Float64: TypeAlias = NDArray[np.float64]
VERSION: Final = "v1.0-trainval"
LIDAR: Final = "LIDAR_TOP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A sensor of a drive, as the tables see it."""

    drive: Drive
    name: str
    modality: str
    T_body_sensor: Float64
    T_world_body: Float64
    """(T, 4, 4) poses of the vehicle when it measured."""
    time_us: NDArray[np.int64]
    """(T,) microseconds since 1970."""
    K: Float64 | None = None
    size_hw: tuple[int, int] = (0, 0)

    def token(self, index: int) -> str:
        """Of the measurement of one frame, and of the pose at its time."""
        return token_of(self.drive.name, index, self.name)

    def file(self, index: int) -> str:
        """Where the measurement lies, below the root."""
        stem = f"{logfile(self.drive)}__{self.name}__{self.time_us[index]}"
        return f"samples/{self.name}/{stem}.{'pcd.bin' if self.K is None else 'jpg'}"


def channels(log: DriveLog) -> dict[str, Channel]:
    """The lidar and the cameras of a drive, by name."""
    lidar = log.rig.lidars[0]
    found = [
        Channel(
            drive=log.drive,
            name=lidar.name,
            modality="lidar",
            T_body_sensor=lidar.T_body_lidar,
            T_world_body=log.T_world_body,
            time_us=_microseconds(log, 0.0),
        )
    ]
    found += [
        Channel(
            drive=log.drive,
            name=camera.name,
            modality="camera",
            T_body_sensor=camera.T_body_camera,
            T_world_body=log.T_world_body_of[camera.name],
            time_us=_microseconds(log, camera.delay_s),
            K=camera.K,
            size_hw=camera.size_hw,
        )
        for camera in log.rig.cameras
    ]
    return {channel.name: channel for channel in found}


def label_file(drive: Drive, index: int) -> str:
    """Where the labels of a frame lie, below the root."""
    return f"lidarseg/{VERSION}/{token_of(drive.name, index, LIDAR)}_lidarseg.bin"


def token_of(*names: object) -> str:
    """32 hexadecimal digits that stand for these names."""
    return hashlib.sha256("/".join(map(str, names)).encode()).hexdigest()[:32]


def logfile(drive: Drive) -> str:
    """Name of the log that a drive is from."""
    return f"sim-{drive.district}-{drive.index:03d}"


def _microseconds(log: DriveLog, delay_s: float) -> NDArray[np.int64]:
    return np.round((log.start_s + log.time_s + delay_s) * 1e6).astype(np.int64)
