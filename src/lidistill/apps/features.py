"""Features and classes of scans of one's own, from the network of a finished run.

Shape letters: N points of a scan, M points the network sees, C channels of the network, T channels
of the teacher.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from lidistill.backbones import Backbone, BackboneConfig
from lidistill.config import FrozenPrecision
from lidistill.datasets.intensity_scale import IntensityWatch
from lidistill.datasets.returns import has_return
from lidistill.datasets.sensors import Sensor, without_intensity
from lidistill.distill.heads import build_head
from lidistill.distill.matching import comparable
from lidistill.distill.recipe import PretrainRecipe
from lidistill.errors import CheckpointError, ConfigError, FileFormatError
from lidistill.labels import IGNORE
from lidistill.loading.input_statistics import own_sensor, pick_sensor
from lidistill.recipes import Recipe, apply_overrides
from lidistill.records import Frame, collate
from lidistill.samples.augmentation import crop_mask, wants_intensity
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import scan_sample
from lidistill.samples.preparer import Preparer
from lidistill.segment.heads import SegmentationHead
from lidistill.segment.start import changed_backbone, stored_backbone
from lidistill.training.checkpoint import Checkpoint, load_checkpoint
from lidistill.training.fitting import backbone_weights, build_fitting, part_of
from lidistill.training.precision import FeatureType, as_type, pick_device, warn_if_slow

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}
T = TypeVar("T", bound=np.generic)
_OUTPUT: Final = ("linear.weight", "linear2.weight")  # the last layer of every kind of head


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureModel:
    """The network of a finished run, ready for scans of one's own; ``load`` makes it.

    Points are in metres in the sensor's own frame: z up, the origin at the sensor, not in a map.
    Distillation turns every scan about z by any angle, so where x points matters little to a
    distilled network. A probe or a fine-tuning has seen the axes of its own data set, turned only
    where its recipe augments: x forward and y left for KITTI, x right and y forward for nuScenes
    and PandaSet.

    A point has no feature where it lies outside the network's field of view, where a coordinate or
    its intensity is not finite, or at (0, 0, 0), the mark of many lidars for a beam that did not
    come back: its row is NaN, its class is 255. Every other point has the
    feature of the nearest point that its network sees, one in every voxel, as in evaluation.
    """

    num_channels: int
    """C."""
    sensor: Sensor
    """Whose intensity scale scans have. An infinite deviation: intensity plays no part."""
    class_names: tuple[str, ...]
    """Names of the classes, in the order of their ids; empty for a distillation."""
    teacher_mean: NDArray[np.float64] | None
    """(T,) what was subtracted from the teacher's features before the student saw them; do the same
    before comparing them with ``project``. None: nothing."""
    preparer: Preparer
    """Makes the network's inputs; says its channels and its field of view."""
    sampling: SamplingConfig
    """How a scan is thinned out."""
    checkpoint: Path
    """Folder that the weights are from."""
    network: Backbone = field(repr=False)
    head: nn.Module | None = field(repr=False)
    head_widths: tuple[int, ...] = field(repr=False)
    """Channels of the head that have a distance of their own."""
    device: torch.device
    _watch: IntensityWatch = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_watch", IntensityWatch(self.sensor))

    @property
    def takes_intensity(self) -> bool:
        """Whether intensity plays a part; not where the network was trained without."""
        asked = wants_intensity(self.preparer.channels)
        return asked and math.isfinite(self.sensor.intensity_std)

    def features(
        self, points: ArrayLike, intensity: ArrayLike | None, *, dtype: FeatureType = "float32"
    ) -> NDArray[np.floating]:
        """(N, C) distilled features, one row for every point; NaN where a point has none.

        Args:
            points: (N, 3) metres, in the sensor's frame.
            intensity: (N,) in the sensor's own scale; None: unknown, the mean is taken.
            dtype: Of the result.

        Raises:
            ConfigError: If a feature is too large for the type.
            FileFormatError: If there are points, and none lies in the field of view.
            ValueError: If the shapes do not fit.
        """
        features_MC, row = self._encode(points, intensity)
        return _spread(as_type(features_MC.cpu().numpy(), dtype), row, np.nan)

    def project(
        self, points: ArrayLike, intensity: ArrayLike | None, *, dtype: FeatureType = "float32"
    ) -> NDArray[np.floating]:
        """(N, T) output of the distillation's head, to compare with features of the teacher.

        Compare by cosine: the lengths are not trained. Several layers of a teacher with a distance
        each are brought to length 1 each. Arguments and errors are those of ``features``.

        Raises:
            CheckpointError: If the run is no distillation, or its checkpoint has no head.
        """
        if self.head is None or self.class_names:
            msg = (
                f"{self.checkpoint} has no head into the teacher's space; give a run of "
                "`lidistill pretrain`."
            )
            raise CheckpointError(msg)
        features_MC, row = self._encode(points, intensity)
        with _exactly(self.device):
            projected_MT = comparable(self.head(features_MC).float(), list(self.head_widths))
        return _spread(as_type(projected_MT.cpu().numpy(), dtype), row, np.nan)

    def predict(self, points: ArrayLike, intensity: ArrayLike | None) -> NDArray[np.uint8]:
        """(N,) class of every point, an index into ``class_names``; 255 where a point has none.

        Arguments and errors are those of ``features``.

        Raises:
            CheckpointError: If the run has learned no classes.
        """
        if self.head is None or not self.class_names:
            msg = (
                f"{self.checkpoint} has learned no classes; give a run of `lidistill probe` or "
                "`finetune`."
            )
            raise CheckpointError(msg)
        features_MC, row = self._encode(points, intensity)
        with _exactly(self.device):
            classes_M = self.head(features_MC).argmax(1).cpu().numpy().astype(np.uint8)
        return _spread(classes_M, row, IGNORE)

    def _encode(
        self, points: ArrayLike, intensity: ArrayLike | None
    ) -> tuple[Tensor, NDArray[np.int64]]:
        """(M, C) features on the device, and (N,) the row of each point in them, or -1."""
        frame, finite = self._frame(points, intensity)
        row = np.full(len(finite), -1)
        if not len(finite):
            return torch.zeros(0, self.num_channels, device=self.device), row
        inside = crop_mask(frame.points, self.preparer.field_of_view)
        if not inside.any():
            msg = (
                f"none of the {len(finite)} points lies inside the field of view "
                f"{self.preparer.field_of_view} ({len(inside)} are finite and not "
                "at (0, 0, 0)); points are wanted in metres, in the sensor's own frame, z up."
            )
            raise FileFormatError(msg)
        sample = scan_sample(frame, self.sampling, self.preparer)
        assert sample.inverse is not None  # noqa: S101  evaluation samples carry it
        row[np.flatnonzero(finite)[inside]] = sample.inverse.numpy()[inside]
        with torch.no_grad():
            return self.network(collate([sample]).to(self.device)).float(), row

    def _frame(
        self, points: ArrayLike, intensity: ArrayLike | None
    ) -> tuple[Frame, NDArray[np.bool_]]:
        """The finite points as a frame, and (N,) which points those are."""
        with np.errstate(over="ignore"):
            xyz = np.asarray(points).astype(np.float32)
        sensor = self.sensor
        statistics = (sensor.intensity_mean, sensor.intensity_std)
        if intensity is None or not self.takes_intensity:
            values, statistics = np.zeros(len(xyz), np.float32), (0.0, 1.0)
        else:
            with np.errstate(over="ignore"):
                values = np.asarray(intensity).astype(np.float32)
        whole = Frame(frame_id="scan", sensor=sensor.name, points=xyz, intensity=values)
        finite = has_return(whole.points) & np.isfinite(whole.intensity)
        frame = Frame(
            frame_id=whole.frame_id,
            sensor=whole.sensor,
            points=xyz[finite],
            intensity=values[finite],
            intensity_statistics=statistics,
        )
        if intensity is not None:
            self._watch.look_at(frame.intensity)
        return frame, finite


def load(
    run: str | Path,
    device: str = "auto",
    *,
    sensor: str | None = None,
    intensity_mean: float | None = None,
    intensity_std: float | None = None,
    precision: FrozenPrecision = "fp32",
) -> FeatureModel:
    """Load the network of a finished run, to compute features of scans of one's own.

    Args:
        run: Run folder of a distillation, a probe or a fine-tuning, or one of its checkpoints;
            the newest counts. Neither the teacher nor the data set of the run is needed.
        device: ``auto`` takes a GPU where there is one.
        sensor: Lidar that the scans come from: one that the run was trained on, or one whose
            statistics are shipped. Needed where the run was trained on several.
        intensity_mean: Mean of the intensity of a lidar of one's own, in its own scale; with
            ``intensity_std`` in place of the run's. `lidistill data stats` computes both.
        intensity_std: Standard deviation.
        precision: ``bf16`` computes matrix products in 16 bits.

    Raises:
        CheckpointError: If there is no checkpoint, it cannot be read, or has no 3D network.
        ConfigError: If it is not clear how intensities are standardised, or the device is none.
    """
    checkpoint = load_checkpoint(Path(run))
    recipe = apply_overrides(checkpoint.recipe, (), source=f"recipe of {run}")
    if (intensity_mean is None) != (intensity_std is None):
        msg = "intensity_mean and intensity_std belong together; give both or none."
        raise ConfigError(msg)
    if precision not in _DTYPES:
        msg = f"precision={precision!r} is none of {', '.join(_DTYPES)}."
        raise ConfigError(msg)
    config = _backbone_config(recipe, checkpoint)
    preparer = config.inputs()
    if not wants_intensity(preparer.channels):
        lidar = without_intensity(sensor or "any")
    elif intensity_mean is not None and intensity_std is not None:
        lidar = own_sensor(sensor, intensity_mean, intensity_std)
    else:
        lidar = pick_sensor(sensor, checkpoint.meta, recipe.data, source=str(run))
    target = pick_device(device)
    warn_if_slow(target, precision, key="precision")
    network = build_fitting(config.build, backbone_weights(checkpoint), source=checkpoint.path)
    head, widths = _head(recipe, checkpoint, network.num_channels)
    distilled = isinstance(recipe, PretrainRecipe)
    sampling = recipe.data.sampling if isinstance(recipe, PretrainRecipe) else recipe.sampling
    mean = checkpoint.weights.get("center.mean")
    return FeatureModel(
        num_channels=network.num_channels,
        sensor=lidar,
        class_names=() if distilled else tuple(checkpoint.meta["label_names"]),
        teacher_mean=None if mean is None else mean.double().numpy(),
        preparer=preparer,
        # A scan of one's own has no pose in a world to count voxels in.
        sampling=sampling.model_copy(update={"voxel_frame": "lidar"}),
        checkpoint=checkpoint.path,
        network=network.for_inference(_DTYPES[precision]).to(target),
        head=None if head is None else head.to(target).eval(),
        head_widths=widths,
        device=target,
    )


@contextlib.contextmanager
def _exactly(device: torch.device) -> Iterator[None]:
    """Without gradients, and in the format of the weights whatever autocast the caller is in."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def _backbone_config(recipe: Recipe, checkpoint: Checkpoint) -> BackboneConfig:
    if isinstance(recipe, PretrainRecipe):
        return recipe.backbone
    if recipe.features in {"input", "teacher"}:
        msg = (
            f"{checkpoint.path} is a probe with features={recipe.features}, which has no 3D "
            "network; give a distillation, a fine-tuning, or a probe with features=backbone."
        )
        raise CheckpointError(msg)
    stored = stored_backbone(checkpoint.meta["networks"].get("backbone"), checkpoint)
    return changed_backbone(stored, recipe.network)


def _head(
    recipe: Recipe, checkpoint: Checkpoint, channels: int
) -> tuple[nn.Module | None, tuple[int, ...]]:
    """What follows the backbone, and the channels of each of its parts; the weights tell them."""
    weights = part_of(checkpoint, "head")
    # Of several heads side by side: heads.0.linear.weight, heads.1.linear.weight, …
    last = [name for name in weights if name.endswith(_OUTPUT)]
    last.sort(key=lambda name: (len(name), name))  # 10 after 9
    widths = tuple(len(weights[name]) for name in last)
    if not widths:
        return None, ()

    def build() -> nn.Module:
        if isinstance(recipe, PretrainRecipe):
            return build_head(recipe.head, channels, widths)
        return SegmentationHead(channels, sum(widths))

    return build_fitting(build, weights, source=checkpoint.path), widths


def _spread(values: NDArray[T], row: NDArray[np.int64], missing: float) -> NDArray[T]:
    """The values of every point, by its row in them; ``missing`` where that is -1."""
    known = row >= 0
    spread = np.full((len(row), *values.shape[1:]), missing, dtype=values.dtype)
    spread[known] = values[row[known]]
    return spread
