"""Features and classes of scans of one's own, from the network of a finished run.

Shape letters: N points of a scan, M points the network sees, C channels of the network, T channels
of the teacher.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from lidistill.apps.prepared_scan import Points, PreparedScan, ScanPreparation
from lidistill.apps.uses import Use, judge_of
from lidistill.backbones import Backbone
from lidistill.backbones.checked import BothPrecisions, CheckedNetwork
from lidistill.datasets.sensors import Sensor
from lidistill.deploy.run_model import which_head
from lidistill.distill.losses import comparable
from lidistill.errors import CheckpointError, ConfigError
from lidistill.labels import IGNORE
from lidistill.loading.collate import collate
from lidistill.records import Batch
from lidistill.samples.channels import wants_intensity, wants_statistics
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.preparer import Preparer
from lidistill.training.precision import FeatureType, as_type

T = TypeVar("T", bound=np.generic)
_WARM_UP_POINTS: Final = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class PointFeatures:
    """Features of the points that a network sees, and which of them each point of a scan has."""

    values: NDArray[np.float32]
    """(M, C)."""
    row: NDArray[np.int64]
    """(N,) row in ``values`` of each point; -1 where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureModel:
    """The network of a finished run, ready for your own scans; ``lidistill.load`` makes it.

    Points are in metres in the sensor's own frame: z up, the origin at the sensor, not in a map.
    Distillation turns every scan about z by any angle, so the direction of x matters little to a
    distilled network. A probe or a fine-tuning has seen the axes of its own data set, and turned
    scans only if its recipe augments: x forward and y left for KITTI, x right and y forward for
    nuScenes and PandaSet.

    A point has no feature (its row is NaN, its class 255) if it lies outside the network's field
    of view, if a coordinate or its intensity is not finite, or if it lies at (0, 0, 0), by which
    many lidars mark a beam without an echo. The network sees one point in every voxel; every other
    point has the feature of the nearest point that the network sees, as in evaluation.
    """

    num_channels: int
    """C."""
    sensor: Sensor
    """Lidar whose intensity scale the scans must have. An infinite deviation: intensity plays no
    part."""
    class_names: tuple[str, ...]
    """Names of the classes, in the order of their ids; empty for a distillation."""
    teacher_mean: NDArray[np.float64] | None
    """(T,) what was subtracted from the teacher's features before the student saw them; do the same
    before comparing them with ``project``. None: nothing."""
    preparer: Preparer
    """Makes the network's inputs; says its channels and its field of view."""
    sampling: SamplingConfig
    """Voxel downsampling of a scan."""
    checkpoint: Path
    """Folder that the weights are from."""
    network: Backbone = field(repr=False)
    head: nn.Module | None = field(repr=False)
    head_widths: tuple[int, ...] = field(repr=False)
    """Channels of the head that have a distance of their own."""
    device: torch.device
    head_names: tuple[str, ...] = ()
    """Of a run with several teachers, whose heads there are."""
    head_name: str | None = None
    """Which of them ``head`` is; None: none was asked for, and ``head`` is None."""
    _preparation: ScanPreparation = field(init=False, repr=False)
    _checked: dict[Use, CheckedNetwork] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        preparation = ScanPreparation(
            self.sensor, self.sampling, self.preparer, takes_intensity=self.takes_intensity
        )
        object.__setattr__(self, "_preparation", preparation)

    @property
    def has_head(self) -> bool:
        """Whether there is a head, into the teacher's space or to class scores."""
        return self.head is not None

    def check_one_head(self) -> None:
        """See to it that it is clear which head leads into a teacher's space.

        Raises:
            ConfigError: If there are several, and none was named.
        """
        if self.head is None and self.head_names:
            option = "--head NAME (features), --teacher NAME (elsewhere), head=NAME (load)"
            raise which_head(self.head_names, source=self.checkpoint, option=option)

    @property
    def takes_intensity(self) -> bool:
        """Whether intensity plays a part; not where the network was trained without."""
        channels = self.preparer.channels
        if wants_statistics(channels) and not math.isfinite(self.sensor.intensity_std):
            return False
        return wants_intensity(channels)

    def prepare(self, points: ArrayLike, intensity: ArrayLike | None) -> PreparedScan:
        """A scan as the network takes it: the part that reads no weights.

        All methods take the result in place of points, so that a thread can prepare the next scan
        while the network computes one.

        Args:
            points: (N, 3) metres, in the sensor's frame.
            intensity: (N,) in the sensor's own scale; None: unknown, the mean is taken.

        Raises:
            FileFormatError: If there are points, and none lies in the field of view.
            ValueError: If the shapes do not fit.
        """
        return self._preparation(points, intensity)

    def features(
        self, points: Points, intensity: ArrayLike | None, *, dtype: FeatureType = "float32"
    ) -> NDArray[np.floating]:
        """(N, C) distilled features, one row for every point; NaN where a point has none.

        Args:
            points: (N, 3) metres, in the sensor's frame; or what ``prepare`` has made of them.
            intensity: (N,) in the sensor's own scale; None: unknown, the mean is taken. Ignored
                if ``points`` is a prepared scan.
            dtype: Number format of the result.

        Raises:
            ConfigError: If a feature is too large for the type, or a scan was prepared by a model
                with other inputs.
            FileFormatError: If there are points, and none lies in the field of view.
            ValueError: If the shapes do not fit.
        """
        features_MC, row = self._encode(points, intensity, "features")
        return _spread(as_type(features_MC.cpu().numpy(), dtype), row, np.nan)

    def project(
        self, points: Points, intensity: ArrayLike | None, *, dtype: FeatureType = "float32"
    ) -> NDArray[np.floating]:
        """(N, T) output of the distillation's head, to compare with features of the teacher.

        Compare by cosine: the lengths are not trained. Several layers of a teacher with a distance
        each are brought to length 1 each. Arguments and errors are those of ``features``.

        Raises:
            CheckpointError: If the run is no distillation, or its checkpoint has no head.
        """
        self.check_one_head()
        if self.head is None or self.class_names:
            msg = (
                f"{self.checkpoint} has no head into the teacher's space; give a run of "
                "`lidistill pretrain`."
            )
            raise CheckpointError(msg)
        features_MC, row = self._encode(points, intensity, "head")
        with _exactly(self.device):
            projected_MT = self._comparable(features_MC)
        return _spread(as_type(projected_MT.cpu().numpy(), dtype), row, np.nan)

    def predict(self, points: Points, intensity: ArrayLike | None) -> NDArray[np.uint8]:
        """(N,) class of every point, an index into ``class_names``; 255 where a point has none.

        Arguments and errors are those of ``features``.

        Raises:
            CheckpointError: If the run has learned no classes.
        """
        return self.classify(points, intensity)[0]

    def classify(
        self, points: Points, intensity: ArrayLike | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """(N,) class of every point as ``predict`` gives it, and (N,) its probability.

        The probability is the network's softmax, which is not calibrated; 0 where a point has no
        class. Arguments and errors are those of ``predict``.
        """
        if self.head is None or not self.class_names:
            msg = (
                f"{self.checkpoint} has learned no classes; give a run of `lidistill probe` or "
                "`finetune`."
            )
            raise CheckpointError(msg)
        features_MC, row = self._encode(points, intensity, "classes")
        with _exactly(self.device):
            scores_MC = self.head(features_MC)
            classes_M = scores_MC.argmax(1)
            sure_M = scores_MC.float().softmax(1).gather(1, classes_M[:, None])[:, 0]
        classes = _spread(classes_M.cpu().numpy().astype(np.uint8), row, IGNORE)
        return classes, _spread(sure_M.cpu().numpy(), row, 0.0)

    def encode(self, points: Points, intensity: ArrayLike | None) -> PointFeatures:
        """Features as the network gives them: one row for each point that it sees.

        Arguments and errors are those of ``features``.
        """
        features_MC, row = self._encode(points, intensity, "features")
        return PointFeatures(values=features_MC.cpu().numpy(), row=row)

    def after_head(self, features_MC: NDArray[np.floating]) -> NDArray[np.float32]:
        """What the head makes of features that ``encode`` gave.

        Args:
            features_MC: (M, C).

        Returns:
            (M, T), to compare with the teacher, or (M, D) class scores, one for each of
            ``class_names``.

        Raises:
            CheckpointError: If there is no head.
        """
        self.check_one_head()
        if self.head is None:
            msg = f"{self.checkpoint} has no head; give a run of pretrain, probe or finetune."
            raise CheckpointError(msg)
        features = torch.from_numpy(np.ascontiguousarray(features_MC, np.float32)).to(self.device)
        with _exactly(self.device):
            made = self.head(features).float()
            if not self.class_names:
                made = comparable(made, list(self.head_widths))
        return np.asarray(made.cpu().numpy())

    def checked(self, use: Use) -> CheckedNetwork | None:
        """The network that decides in what to compute one use; None where it has no choice."""
        if not isinstance(self.network, BothPrecisions):
            return None
        if use not in self._checked:
            judge, what = judge_of(use, self.head, self._comparable)
            self._checked[use] = self.network.checked(judge, what=what)
        return self._checked[use]

    def warm_up(self) -> None:
        """Compute an invented scan, so that the first real one need not wait for a compiler.

        It decides nothing about the precision.
        """
        view, rng = self.preparer.field_of_view, np.random.default_rng(0)
        points = rng.uniform(view.low, view.high, (_WARM_UP_POINTS, 3))
        mean, std = self.sensor.intensity_mean, self.sensor.intensity_std
        spread = std if math.isfinite(std) else 1.0
        scan = self.prepare(points, rng.normal(mean, spread, _WARM_UP_POINTS))
        with _exactly(self.device):
            self.network(self._batch(scan))

    def settle(self, use: Use, scans: Iterable[PreparedScan]) -> None:
        """Let the network decide on the first of some scans, if it has the choice.

        Without it, it decides on those that it is asked about first, which it gives exactly.

        Args:
            use: What it will be asked for.
            scans: In their order; only so many are taken as it needs.
        """
        network = self.checked(use)
        if network is not None:
            with _exactly(self.device):
                network.settle(self._batch(scan) for scan in scans if scan.sample is not None)

    def _comparable(self, features_MC: Tensor) -> Tensor:
        """(M, T) output of the head into the teacher's space."""
        assert self.head is not None  # noqa: S101  whoever asks has looked
        return comparable(self.head(features_MC).float(), list(self.head_widths))

    def _batch(self, scan: PreparedScan) -> Batch:
        assert scan.sample is not None  # noqa: S101  whoever asks has looked
        return collate([replace(scan.sample, frame_id=scan.name)]).to(self.device)

    def _encode(
        self, points: Points, intensity: ArrayLike | None, use: Use
    ) -> tuple[Tensor, NDArray[np.int64]]:
        """(M, C) features on the device, and (N,) the row of each point in them, or -1."""
        scan = points if isinstance(points, PreparedScan) else self.prepare(points, intensity)
        if scan.settings not in ((), self._preparation.settings):
            msg = (
                "this scan was prepared by a model of another lidar, field of view or other input "
                f"channels than {self.checkpoint}; prepare it by the model that is to take it."
            )
            raise ConfigError(msg)
        if scan.sample is None:
            return torch.zeros(0, self.num_channels, device=self.device), scan.row
        network = self.checked(use) or self.network
        with _exactly(self.device):
            return network(self._batch(scan)).float(), scan.row


@contextlib.contextmanager
def _exactly(device: torch.device) -> Iterator[None]:
    """Without gradients, and in the format of the weights whatever autocast the caller is in."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def _spread(values: NDArray[T], row: NDArray[np.int64], missing: float) -> NDArray[T]:
    """The values of every point, by its row in them; ``missing`` where that is -1."""
    known = row >= 0
    spread = np.full((len(row), *values.shape[1:]), missing, dtype=values.dtype)
    spread[known] = values[row[known]]
    return spread
