"""Distillation with wrong extrinsics, or late cameras: how much do features suffer?"""

import hashlib
from dataclasses import replace
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.spatial.transform import Rotation

from lidistill.config import Config, Seed
from lidistill.datasets import FrameDataset
from lidistill.datasets.dataset_wrapper import DatasetWrapper
from lidistill.errors import ConfigError
from lidistill.geometry import invert_rigid, rigid
from lidistill.records import CameraView, Frame


class Miscalibration(Config):
    """How wrong a calibration is: the same error of each camera in every frame of a run."""

    angle_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Each camera is turned so far about an axis of its own, drawn once."""
    offset_m: Annotated[float, Field(ge=0)] = 0.0
    """Each camera is displaced so far in a direction of its own, drawn once."""
    camera_delay_s: Annotated[float, Field(ge=0)] = 0.0
    """Images are taken for those of so much later; needs poses and ``frame_rate``."""
    frame_rate: Annotated[float, Field(gt=0)] | None = None
    """Frames a second of the drives, for the vehicle's speed between two of them."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _delay_needs_a_rate(self) -> Self:
        if self.camera_delay_s and self.frame_rate is None:
            msg = "camera_delay_s needs frame_rate, the frames a second of the drives"
            raise ValueError(msg)
        return self

    def error_of(self, camera: str) -> NDArray[np.float64]:
        """(4, 4) from camera coordinates to those that a wrong calibration takes for them."""
        words = f"miscalibration\n{camera}\n{self.seed}".encode()
        key = np.frombuffer(hashlib.blake2b(words, digest_size=16).digest(), "<u8")
        rng = np.random.Generator(np.random.Philox(key=key.astype(np.uint64)))
        axis, direction = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 3)))
        turn = Rotation.from_rotvec(np.deg2rad(self.angle_deg) * axis)
        return rigid(turn.as_matrix(), self.offset_m * direction)


class Miscalibrated(DatasetWrapper):
    """A data set whose cameras are not where it says, or not as early.

    Args:
        dataset: The data set that reads.
        errors: How wrong it is.
    """

    def __init__(self, dataset: FrameDataset, errors: Miscalibration) -> None:
        super().__init__(dataset)
        self._errors, self._drives = errors, dataset.drive_ids
        self._poses: dict[int, NDArray[np.float64]] = {}

    def __getitem__(self, index: int) -> Frame:
        """See ``FrameDataset.__getitem__``.

        Raises:
            ConfigError: If cameras are late, and the frame or its neighbours have no pose.
        """
        frame = self._dataset[index]
        motion = np.eye(4)
        if self._errors.camera_delay_s:
            motion = self._motion(index, frame)
        return replace(frame, views=tuple(self._wrong(view, motion) for view in frame.views))

    def _wrong(self, view: CameraView, motion: NDArray[np.float64]) -> CameraView:
        error = self._errors.error_of(view.name)
        return replace(view, T_cam_lidar=error @ view.T_cam_lidar @ motion)

    def _motion(self, index: int, frame: Frame) -> NDArray[np.float64]:
        """(4, 4) lidar coordinates now to those after the delay, of a world that stands still."""
        assert self._errors.frame_rate is not None  # noqa: S101  checked by the configuration
        now = _pose(frame)
        last = index + 1 == len(self._drives) or self._drives[index + 1] != self._drives[index]
        if last and (index == 0 or self._drives[index - 1] != self._drives[index]):
            msg = f"frame {frame.frame_id} is alone in its drive, so its speed is unknown."
            raise ConfigError(f"{msg} Leave it out, or set data.miscalibration.camera_delay_s=0.")
        other = self._pose_of(index - 1 if last else index + 1)
        step = invert_rigid(other) @ now if last else invert_rigid(now) @ other
        share = self._errors.camera_delay_s * self._errors.frame_rate
        turn = Rotation.from_matrix(step[:3, :3]).as_rotvec()
        later = rigid(Rotation.from_rotvec(share * turn).as_matrix(), share * step[:3, 3])
        return invert_rigid(later)

    def _pose_of(self, index: int) -> NDArray[np.float64]:
        if index not in self._poses:
            self._poses[index] = _pose(self._dataset[index])
        return self._poses[index]


def _pose(frame: Frame) -> NDArray[np.float64]:
    if frame.T_world_lidar is None:
        msg = (
            f"frame {frame.frame_id} has no pose, which late cameras need; add poses, or set "
            "data.miscalibration.camera_delay_s=0."
        )
        raise ConfigError(msg)
    return frame.T_world_lidar
