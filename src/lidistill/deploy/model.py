"""What of a run is needed to use its network, whether it lies in a run or in a model folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save_file
from torch import Tensor, nn

from lidistill.atomic_write import replace_text, replacing, sha256, sync
from lidistill.backbones import Backbone
from lidistill.datasets.sensors import Sensor
from lidistill.deploy.model_config import (
    CONFIG,
    WEIGHTS,
    ModelConfig,
    TeacherHead,
    read_config,
)
from lidistill.distill.heads import build_head
from lidistill.errors import CheckpointError, LidistillError, first_line
from lidistill.loading.config import SetsConfig
from lidistill.loading.input_statistics import input_statistics, pick_sensor
from lidistill.reading.safetensors_file import read_safetensors
from lidistill.segment.heads import SegmentationHead
from lidistill.training.checkpoint import (
    MAX_WEIGHTS,
)
from lidistill.training.checkpoint_record import check_sum
from lidistill.training.fitting import build_fitting

CENTER: Final = "center.mean"
"""What was subtracted from the teacher's features before the student saw them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Weights of backbone and head, and how they are used."""

    path: Path
    """Checkpoint or model folder that it was read from."""
    config: ModelConfig
    weights: dict[str, Tensor]
    """By their names in a checkpoint; backbone, head and mean of the teacher alone."""
    head_names: tuple[str, ...] = ()
    """Of a run with several teachers, whose heads they are."""
    head_name: str | None = None
    """Which of them ``config.head`` is; None: none was chosen, and there is none."""
    data: SetsConfig | None = None
    """Of a run written before checkpoints held statistics: the sets that tell them."""

    def build_backbone(self) -> Backbone:
        """The network, with its weights.

        Raises:
            CheckpointError: If the weights do not fit.
        """
        found = self._part("backbone")
        if not found:
            msg = f"{self.path} holds no backbone; give the run folder of a distillation."
            raise CheckpointError(msg)
        return build_fitting(self.config.backbone.build, found, source=self.path)

    def build_head(self, channels: int) -> nn.Module | None:
        """What follows the backbone, with its weights; None where there is nothing.

        Args:
            channels: C.
        """
        head, names = self.config.head, self.config.class_names
        if head is None:
            return None

        def build() -> nn.Module:
            if isinstance(head, TeacherHead):
                return build_head(head.layers, channels, head.widths)
            return SegmentationHead(channels, len(names))

        return build_fitting(build, self._part("head"), source=self.path)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the head that have a distance of their own; all class scores as one."""
        if isinstance(self.config.head, TeacherHead):
            return self.config.head.widths
        return (len(self.config.class_names),) if self.config.class_names else ()

    def sensor(self, name: str | None, *, source: str) -> Sensor:
        """The lidar that scans come from; see ``pick_sensor``."""
        meta: dict[str, Any] = {"sensors": list(self.config.sensors)}
        if self.data is None:
            meta["intensity"] = [one.model_dump() for one in self.config.intensity]
        return pick_sensor(name, meta, self.data, source=source)

    def _part(self, part: str) -> dict[str, Tensor]:
        return weights_below(self.weights, part)


def weights_below(weights: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The weights of one part, under their names in it."""
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def read_model_folder(folder: Path) -> Model:
    """A model that ``write_model_folder`` wrote.

    Raises:
        CheckpointError: If it is damaged or of a newer format.
    """
    config = read_config(folder)
    file = folder / WEIGHTS
    try:
        weights = read_safetensors(file, max_bytes=MAX_WEIGHTS)
        check_sum(file, config.sha256 or None, max_bytes=MAX_WEIGHTS)
    except (OSError, ValueError, LidistillError) as error:
        msg = f"{folder} has no readable weights ({first_line(error)}); get the folder again."
        raise CheckpointError(msg) from error
    return Model(path=folder, config=config, weights=weights)


def write_model_folder(model: Model, folder: Path) -> ModelConfig:
    """Write ``model.safetensors`` and ``config.json`` into a folder that is there.

    Returns:
        The configuration as it was written, with the checksum of the weights.
    """
    with replacing(folder / WEIGHTS) as file:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in model.weights.items()},
            file,
            metadata={"format": "pt"},
        )
        sync(file)
    changes: dict[str, Any] = {"sha256": sha256(folder / WEIGHTS)}
    if model.data is not None:  # a checkpoint that is older than its statistics
        changes["intensity"] = input_statistics(model.data)["intensity"]
    config = ModelConfig.model_validate(model.config.to_json() | changes)
    replace_text(folder / CONFIG, json.dumps(config.to_json(), indent=1) + "\n")
    return config
