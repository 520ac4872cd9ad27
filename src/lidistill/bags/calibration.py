"""``calibration.yaml`` as far as a bag tells it, and what is left to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from lidistill.bags.cameras import CameraEntry, camera_entry, is_rectified
from lidistill.bags.messages import CameraInfo, Transform
from lidistill.bags.transforms import FrameTree
from lidistill.reading.names import listed, shown

STATIC: Final = "/tf_static"
MOVING: Final = "/tf"


@dataclass(slots=True, kw_only=True)
class Rig:
    """What a bag's messages say about how its sensors sit."""

    lidar_frame: str = ""
    camera_frames: dict[str, str] = field(default_factory=dict)
    """Of the first image, by its topic."""
    other_frames: dict[str, str] = field(default_factory=dict)
    """Of a later image that names another, by its topic."""
    sizes_hw: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of the first image, by its topic."""
    infos: dict[str, CameraInfo] = field(default_factory=dict)
    """The last one, by the topic of the images."""
    changed: set[str] = field(default_factory=set)
    """Topics of images whose info changed."""
    transforms: list[Transform] = field(default_factory=list)
    """Of ``/tf_static``."""
    moving: bool = False
    """Whether the bag has ``/tf``, too."""

    def note_info(self, topic: str, info: CameraInfo) -> None:
        """Keep the info of a camera."""
        if self.infos.get(topic, info) != info:
            self.changed.add(topic)
        self.infos[topic] = info

    def fits_lidar(self, frame: str) -> bool:
        """Whether a scan is of the lidar of the first scan; one that names no frame is."""
        named = frame.lstrip("/")
        self.lidar_frame = self.lidar_frame or named
        return named in {"", self.lidar_frame}

    def note_camera(self, topic: str, frame: str) -> None:
        """Keep the frame of an image."""
        first = self.camera_frames.setdefault(topic, frame)
        if frame.lstrip("/") not in {"", first.lstrip("/")}:
            self.other_frames.setdefault(topic, frame)

    def entries(self, cameras: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
        """Entries of the cameras, and a line for everything that is missing or was assumed.

        Args:
            cameras: Names by the topics of the images.
        """
        tree = FrameTree(self.transforms)
        entries, to_do = {}, []
        for topic, camera in cameras.items():
            entries[camera], lines = self._camera(topic, tree)
            to_do += [f"calibration.yaml: cameras.{camera}: {line}" for line in lines]
        if tree.changed and any("T_cam_lidar" in entry for entry in entries.values()):
            pairs = listed(f"{a} and {b}" for a, b in tree.changed)
            to_do.append(
                f"calibration.yaml: {STATIC} changes the transform of {pairs} within the bag; the "
                "last one was taken for all scans: check T_cam_lidar, or cut the bag there"
            )
        return entries, to_do

    def _camera(self, topic: str, tree: FrameTree) -> tuple[dict[str, Any], list[str]]:
        frame = self.camera_frames.get(topic, "")
        known = CameraEntry(
            values={},
            T_image_cam=None if is_rectified(topic) else np.eye(4),
            to_do=("the bag has no camera_info of it: write size_hw, K and distortion",),
        )
        if topic in self.infos:
            known = camera_entry(self.infos[topic], rectified=is_rectified(topic), frame=frame)
        entry, lines = known.values, [*known.to_do, *self._doubts(topic, known)]
        same = frame.lstrip("/") == self.lidar_frame.lstrip("/")
        T_cam_lidar = None if same else tree.find(frame, self.lidar_frame)
        if same:
            lines.append(
                f"images and scans name one frame, {shown(frame)}, which tells nothing about how "
                "camera and lidar sit: write T_cam_lidar"
            )
        elif T_cam_lidar is None:
            moving = f"; {MOVING} is in the bag, but may move and is not read" * self.moving
            lines.append(
                f"no transform from {shown(self.lidar_frame)} to {shown(frame)} in {STATIC}{moving}"
                ": write T_cam_lidar"
            )
        elif known.T_image_cam is None:
            lines.append("write T_cam_lidar of the rectified images")
        else:
            entry["T_cam_lidar"] = (known.T_image_cam @ T_cam_lidar).tolist()
        return entry, lines

    def _doubts(self, topic: str, known: CameraEntry) -> list[str]:
        lines = []
        if topic in self.changed:
            lines.append("its camera_info changes within the bag; the last one was taken")
        if topic in self.other_frames:
            frames = f"{shown(self.camera_frames[topic])} and {shown(self.other_frames[topic])}"
            lines.append(
                f"its images name several frames, {frames}; that of the first was taken for all: "
                "remove the others' images if they are of another camera"
            )
        expected, found = known.values.get("size_hw"), self.sizes_hw.get(topic)
        if expected and found and tuple(expected) != found:
            lines.append(
                f"its camera_info is of {expected[0]} x {expected[1]} pixels and its images have "
                f"{found[0]} x {found[1]}: write size_hw and K of the images"
            )
        return lines
