"""A run, or a checkpoint, as a model of features."""

from pathlib import Path
from typing import Final

import torch
from torch import nn

from lidistill.apps.features import FeatureModel
from lidistill.backbones import BackboneConfig
from lidistill.config import FrozenPrecision
from lidistill.datasets.sensors import without_intensity
from lidistill.distill.heads import build_head
from lidistill.distill.recipe import PretrainRecipe
from lidistill.errors import CheckpointError, ConfigError
from lidistill.loading.input_statistics import own_sensor, pick_sensor
from lidistill.recipes import Recipe, apply_overrides
from lidistill.samples.augmentation import wants_intensity
from lidistill.segment.heads import SegmentationHead
from lidistill.segment.start import changed_backbone, stored_backbone
from lidistill.training.checkpoint import Checkpoint, load_checkpoint
from lidistill.training.fitting import backbone_weights, build_fitting, part_of
from lidistill.training.precision import pick_device, warn_if_slow

_DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}
_OUTPUT: Final = ("linear.weight", "linear2.weight")  # the last layer of every kind of head


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
