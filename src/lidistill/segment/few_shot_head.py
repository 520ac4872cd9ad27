"""A head that somebody has fitted by clicking in the viewer: a small file that explains itself.

It stands on features as the page sees them: projected to at most 64 dimensions, at unit length.

Shape letters: P points, C channels of the space that the head stands on, D dimensions, K classes.
"""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from torch import Tensor, nn

from lidistill.atomic_write import sha256
from lidistill.config import reason_of
from lidistill.errors import CheckpointError, FileFormatError
from lidistill.labels import IGNORE
from lidistill.reading.files import MEND, blamed_on, read_json
from lidistill.training.checkpoint_record import WEIGHTS

_MAX_DIMS: Final = 64
_MAX_CHANNELS: Final = 8192
ClassName = Annotated[str, Field(min_length=1, max_length=200)]


class _File(BaseModel):
    """What the file holds; nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True)

    lidistill_head: Literal[1]
    space: Literal["backbone", "head"]
    checkpoint_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    num_channels: Annotated[int, Field(ge=1, le=_MAX_CHANNELS)]
    dims: Annotated[int, Field(ge=1, le=_MAX_DIMS)]
    basis: Annotated[str, Field(max_length=_MAX_CHANNELS * _MAX_DIMS * 6)]
    classes: Annotated[list[ClassName], Field(min_length=2, max_length=IGNORE)]
    weights: list[list[FiniteFloat]]
    bias: list[FiniteFloat]

    @model_validator(mode="after")
    def _check(self) -> Self:
        num = len(self.classes)
        if len(set(self.classes)) != num or "ignore" in self.classes:
            msg = "classes must have names of their own, none of them 'ignore'"
            raise ValueError(msg)
        widths = {len(row) for row in self.weights}
        if len(self.weights) != num or widths != {self.dims} or len(self.bias) != num:
            msg = f"expected {num} rows of {self.dims} weights and {num} numbers of bias"
            raise ValueError(msg)
        if self.decoded().shape != (self.dims, self.num_channels):
            msg = f"the basis has not {self.dims} x {self.num_channels} finite numbers"
            raise ValueError(msg)
        return self

    def decoded(self) -> NDArray[np.float32]:
        """(D, C); of no size where it is none."""
        try:
            content = base64.b64decode(self.basis, validate=True)
        except (binascii.Error, ValueError):
            return np.zeros(0, np.float32)
        if len(content) != 4 * self.dims * self.num_channels:
            return np.zeros(0, np.float32)
        values = np.frombuffer(content, "<f4").reshape(self.dims, self.num_channels)
        return values.astype(np.float32) if np.isfinite(values).all() else np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class FewShotHead:
    """What ``read_few_shot_head`` found."""

    class_names: tuple[str, ...]
    space: Literal["backbone", "head"]
    """What it stands on: the network's features, or those after the head into the teacher's
    space."""
    checkpoint_sha256: str
    """Of the weights that it was fitted with."""
    network: nn.Module
    """From (P, C) to (P, K) class scores."""
    num_channels: int
    """C."""


class _OnDirections(nn.Module):
    """Class scores of features by their direction alone."""

    basis_DC: Tensor
    weights_KD: Tensor
    bias_K: Tensor

    def __init__(self, basis_DC: Tensor, weights_KD: Tensor, bias_K: Tensor) -> None:
        super().__init__()
        self.register_buffer("basis_DC", basis_DC)
        self.register_buffer("weights_KD", weights_KD)
        self.register_buffer("bias_K", bias_K)

    def forward(self, features_PC: Tensor) -> Tensor:
        """(P, K) class scores."""
        directions_PD = F.normalize(features_PC @ self.basis_DC.T, dim=1)
        return directions_PD @ self.weights_KD.T + self.bias_K


def weights_digest(folder: Path) -> str:
    """Checksum of a network's weights, by which a head knows what it was fitted with.

    Args:
        folder: A checkpoint, or a folder that a model was exported to.

    Raises:
        CheckpointError: If there are no weights.
    """
    for file in (folder / WEIGHTS, *sorted(folder.glob("*.safetensors"))):
        if file.is_file():
            return sha256(file)
    msg = f"{folder} holds no weights (*.safetensors); give a run folder or a checkpoint."
    raise CheckpointError(msg)


def parse_few_shot_head(values: Any) -> FewShotHead:
    """The head that a JSON value describes.

    Raises:
        ValueError: If it is none.
    """
    try:
        found = _File.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:100] or "the value"
        msg = f"{where}: {reason_of(first['msg'])[:200]}"
        raise ValueError(msg) from error
    return FewShotHead(
        class_names=tuple(found.classes),
        space=found.space,
        checkpoint_sha256=found.checkpoint_sha256,
        network=_OnDirections(
            torch.from_numpy(found.decoded()),
            torch.tensor(found.weights, dtype=torch.float32),
            torch.tensor(found.bias, dtype=torch.float32),
        ).eval(),
        num_channels=found.num_channels,
    )


def read_few_shot_head(path: Path) -> FewShotHead:
    """Read a head that the viewer has written or downloaded.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is no head.
    """
    if path.is_dir():
        msg = f"{path} is a folder, expected the .head.json that `lidistill view` saved."
        raise FileFormatError(msg)
    with blamed_on(path, f"expected the .head.json of `lidistill view`; {MEND}"):
        return parse_few_shot_head(read_json(path))
