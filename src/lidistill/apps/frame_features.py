"""What a trained student, its backbone and its teacher say about one frame, ready to be drawn.

Shape letters: N points, T teacher channels, C backbone channels.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lidistill.distill.run import DistillationRun
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.errors import FileFormatError
from lidistill.geometry import transform_points
from lidistill.records import CameraView, Frame, Sample
from lidistill.samples.labelled import scan_sample
from lidistill.samples.pairing import pair_view
from lidistill.segment.encoders import BackboneEncoder, TeacherEncoder
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.fitting import check_fits, load_weights, part_of

_CAR_METRES = (8.0, 25.0)
"""How far from the camera a car is a good example."""
_CAR_BORDER = 0.15
"""Share of the image's width, at either side, where a car is likely to be cut."""
_CAR_RADIUS = 1.0
"""The point with the most others of its class this near lies well inside a car, metres."""
_AHEAD = 12.0
"""Where to look for an example without a car, metres in front of the camera."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFeatures:
    """One frame with the features of its voxelised points."""

    frame_id: str
    teacher_label: str
    points: NDArray[np.float32]
    """(N, 3) metres, lidar frame."""
    intensity: NDArray[np.float32] | None
    """(N,) in the sensor's own scale; None: the lidar has none."""
    labels: NDArray[np.int64] | None
    """(N,) training ids."""
    views: tuple[CameraView, ...]
    """Those that see a point, the front one first."""
    student: NDArray[np.float32]
    """(N, T) output of the head, without class tokens that are matched by image."""
    backbone: NDArray[np.float32]
    """(N, C)."""
    teacher: NDArray[np.float32]
    """(N, T), centred where the student has learned centred features; zero if not seen."""
    seen: NDArray[np.bool_]
    """(N,) whether a camera sees the point, so that there is a teacher feature."""

    def cosine_to_teacher(self) -> float:
        """Mean cosine of student and teacher over the seen points."""
        dots = np.einsum("nt,nt->n", self.student, self.teacher)
        squares = np.einsum("nt,nt->n", self.student, self.student)
        squares *= np.einsum("nt,nt->n", self.teacher, self.teacher)
        cosine = dots / np.sqrt(np.maximum(squares, 1e-24))
        return float(cosine[self.seen].mean())

    def facing_up(self) -> NDArray[np.float64]:
        """(N, 3) points turned about z so that x is where the first camera looks."""
        ahead, left = self.views[0].T_cam_lidar[2, :2]
        length = max(float(np.hypot(ahead, left)), 1e-12)
        cos, sin = ahead / length, left / length
        turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        return self.points.astype(np.float64) @ turn


class FeatureReader:
    """The networks of a checkpoint, which read frames into features.

    Args:
        run: What the run is made of.
        checkpoint: Its run folder, or one of its checkpoints.
        teacher: Which of its teachers of images; the only one may have no name.

    Raises:
        CheckpointError: If the checkpoint does not fit the run's recipe.
    """

    def __init__(
        self, run: DistillationRun, checkpoint: Path, *, teacher: str = UNNAMED_TEACHER
    ) -> None:
        recipe = run.recipe
        stored = load_checkpoint(checkpoint)
        weights = part_of(stored, "backbone")
        check_fits(recipe.backbone.build, weights, source=stored.path)
        distiller = run.build_distiller()
        load_weights(distiller, stored.weights, source=stored.path)
        self._sampling, self._preparer = recipe.data.sampling, recipe.backbone.inputs()
        distiller.to(run.device).eval()
        self._objective = distiller.objectives[teacher]
        self._device = run.device
        self._read_backbone = BackboneEncoder(distiller.backbone)
        batch_teacher = run.image_teachers[teacher]
        self._read_teacher = TeacherEncoder(batch_teacher.reader, run.device)
        self._label = batch_teacher.teacher.label

    @torch.no_grad()
    def __call__(self, frame: Frame) -> FrameFeatures:
        """Features of the whole scan, unaugmented.

        Raises:
            FileFormatError: If no image shows a point, so that there is nothing of the teacher.
        """
        sample = scan_sample(frame, self._sampling, self._preparer)
        source = sample.source.numpy()
        points = frame.points[source]
        views = _views_with_points(frame, points)
        backbone = self._read_backbone(frame, sample).features
        student = self._objective.head(backbone.to(self._device)).float()
        teacher, seen = self._teacher_features(frame, sample)
        return FrameFeatures(
            frame_id=frame.frame_id,
            teacher_label=self._label,
            points=points,
            intensity=None if frame.intensity is None else frame.intensity[source],
            labels=None if sample.labels is None else sample.labels.numpy(),
            views=views,
            student=self._objective.matching.comparable(student).cpu().numpy(),
            backbone=backbone.numpy(),
            teacher=teacher.numpy(),
            seen=seen.numpy(),
        )

    def _teacher_features(self, frame: Frame, sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
        encoded = self._read_teacher(frame, sample)
        center = self._objective.center
        features = encoded.features
        if center is not None:
            features = center(features.to(self._device)).cpu()
        matching = self._objective.matching
        features = matching.comparable(matching.separate(features)[0])
        return features * encoded.valid[:, None], encoded.valid


def example_point(frame: FrameFeatures, car: int | None) -> int:
    """Index of a point worth comparing all others with.

    Well inside the car that the first camera shows best, 8 to 25 m away; where there is none or
    no label, the seen point nearest to 12 m in front of that camera.

    Args:
        frame: The frame.
        car: Training id of cars, or None if the data set has no such class.
    """
    view = frame.views[0]
    pairs = pair_view(frame.points, view, view.size_hw)
    camera = transform_points(view.T_cam_lidar, frame.points[pairs.index])
    if frame.labels is not None and car is not None:
        distance = np.linalg.norm(camera, axis=1)
        place = pairs.uv[:, 0] / view.size_hw[1]
        good = (distance > _CAR_METRES[0]) & (distance < _CAR_METRES[1])
        good &= np.abs(place - 0.5) < 0.5 - _CAR_BORDER
        cars = np.flatnonzero(good & (frame.labels[pairs.index] == car))
        if len(cars):
            tree = cKDTree(camera[cars])
            crowd = tree.query_ball_point(camera[cars], _CAR_RADIUS, return_length=True)
            return int(pairs.index[cars[np.argmax(crowd)]])
    return int(pairs.index[np.argmin(np.linalg.norm(camera - [0.0, 0.0, _AHEAD], axis=1))])


def nearest_point(frame: FrameFeatures, point: tuple[float, float, float]) -> int:
    """Index of the point nearest to a position in the lidar frame, metres."""
    return int(np.argmin(np.linalg.norm(frame.points - np.array(point), axis=1)))


def _views_with_points(frame: Frame, points: NDArray[np.float32]) -> tuple[CameraView, ...]:
    """Views that see a point; the one whose name says the least more than "front" comes first."""
    views = [v for v in frame.views if len(pair_view(points, v, v.size_hw).index)]
    if not views:
        msg = (
            f"frame {frame.frame_id}: no image shows any of its points, so there is nothing to "
            "compare with; choose other frames with figures.frames=[…]."
        )
        raise FileFormatError(msg)
    return tuple(sorted(views, key=lambda v: (_front_rank(v.name), frame.views.index(v))))


def _front_rank(name: str) -> float:
    return len(name) if "front" in name.lower() else np.inf
