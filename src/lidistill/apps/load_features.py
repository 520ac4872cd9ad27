"""A run, a checkpoint or a model folder as a model of features."""

from pathlib import Path
from typing import Final

from lidistill.apps.features import FeatureModel
from lidistill.config import InferencePrecision
from lidistill.datasets.sensors import without_intensity
from lidistill.deploy.hub import fetch, is_hub_address
from lidistill.deploy.model import CENTER, Model, read_model_folder
from lidistill.deploy.model_config import is_model_folder
from lidistill.deploy.run_model import check_head_name, model_of_run
from lidistill.errors import ConfigError
from lidistill.loading.input_statistics import own_sensor
from lidistill.samples.channels import wants_statistics
from lidistill.samples.distillation import SamplingConfig
from lidistill.segment.inference import inference_network
from lidistill.training.precision import pick_device

_PRECISIONS: Final = ("fp32", "bf16", "auto")


def load(
    run: str | Path,
    device: str = "auto",
    *,
    sensor: str | None = None,
    intensity_mean: float | None = None,
    intensity_std: float | None = None,
    precision: InferencePrecision = "fp32",
    head: str | None = None,
) -> FeatureModel:
    """Load the network of a finished run, to compute features of your own scans.

    Neither the teacher nor the data set of the run is needed.

    Args:
        run: Run folder of a distillation, a probe or a fine-tuning (its newest checkpoint is
            taken), or one of its checkpoints; a model folder that `lidistill export` wrote; or
            ``hf://owner/name``, a model folder on a hub.
        device: ``cpu``, ``cuda``, ``cuda:1``; ``auto`` takes a GPU if there is one.
        sensor: Lidar that the scans come from: one that the run was trained on, or one whose
            statistics are shipped. Needed if the run was trained on several.
        intensity_mean: Mean of your lidar's intensity, in the lidar's own scale; it replaces the
            run's, together with ``intensity_std``. `lidistill data stats` computes both.
        intensity_std: Standard deviation of the same intensity.
        precision: ``fp32``; ``bf16`` computes matrix products in 16 bits; ``auto`` does so if the
            machine is faster in them and the first scans show that the result hardly changes
            (``lidistill.backbones.checked``).
        head: Name of a teacher, for a run with several: the head whose output ``project`` gives.

    Returns:
        A model with ``features(points, intensity)`` and, for a distillation, ``project`` or, for
        a probe or a fine-tuning, ``predict``.

    Raises:
        CheckpointError: If there is no checkpoint, it cannot be read, or has no 3D network.
        WeightsNotFoundError: If a hub has no such model.
        ConfigError: If it is not clear how to standardise intensities, if there is no such
            device, or if a head is named and the run has only one.
        UnknownNameError: If there is no head of that name.
    """
    if (intensity_mean is None) != (intensity_std is None):
        msg = "intensity_mean and intensity_std belong together; give both or none."
        raise ConfigError(msg)
    if precision not in _PRECISIONS:
        msg = f"precision={precision!r} is none of {', '.join(_PRECISIONS)}."
        raise ConfigError(msg)
    model = open_model(run, head_name=head)
    config = model.config
    preparer = config.backbone.inputs()
    if not wants_statistics(preparer.channels):
        lidar = without_intensity(sensor or "any")
    elif intensity_mean is not None and intensity_std is not None:
        lidar = own_sensor(sensor, intensity_mean, intensity_std)
    else:
        lidar = model.sensor(sensor, source=str(run))
    target = pick_device(device)
    network = model.build_backbone()
    own_head = model.build_head(network.num_channels)
    mean = model.weights.get(CENTER)
    return FeatureModel(
        num_channels=network.num_channels,
        sensor=lidar,
        class_names=config.class_names,
        teacher_mean=None if mean is None else mean.double().numpy(),
        preparer=preparer,
        # A scan of one's own has no pose in a world to count voxels in.
        sampling=SamplingConfig(voxel_size=config.voxel_size, voxel_frame="lidar"),
        checkpoint=model.path,
        network=inference_network(network, precision, target),
        head=None if own_head is None else own_head.to(target).eval(),
        head_names=model.head_names,
        head_name=model.head_name,
        head_widths=model.widths,
        device=target,
    )


def open_model(where: str | Path, *, head_name: str | None = None) -> Model:
    """What of a run, a model folder or a model on a hub is needed to use its network.

    Args:
        where: See ``load``.
        head_name: See ``load``, ``head``.

    Raises:
        CheckpointError: If there is none, it cannot be read, or has no 3D network.
        WeightsNotFoundError: If a hub has no such model.
    """
    on_hub = is_hub_address(where)
    path = fetch(where) if on_hub else Path(where)
    if not on_hub and not is_model_folder(path):
        return model_of_run(path, head_name=head_name)
    check_head_name(head_name, (), source=str(where))
    return read_model_folder(path)
