"""Position embeddings of vision transformers at other sizes than they were trained with."""

import math
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lidistill.errors import ConfigError

PositionEmbedding: TypeAlias = Literal["scalr", "scalr-plus", "transformers"]


def use_position_embedding(network: nn.Module, mode: PositionEmbedding) -> None:
    """Choose how a learned position embedding is brought to other image sizes.

    Args:
        network: As ``load_vit`` gives it.
        mode: ``"transformers"`` leaves the network's own way; see ``resample_position``.

    Raises:
        ConfigError: If the network has no learned grid of positions of DINOv2's form.
    """
    if mode == "transformers":
        return
    embeddings: Any = getattr(network, "embeddings", None)
    position = getattr(embeddings, "position_embeddings", None)
    if not isinstance(position, Tensor) or not hasattr(embeddings, "interpolate_pos_encoding"):
        msg = (
            f"position_embedding={mode!r} is for DINOv2; {type(network).__name__} has no such "
            "position embedding: leave it at 'auto'."
        )
        raise ConfigError(msg)
    embeddings.interpolate_pos_encoding = partial(_interpolate, embeddings, mode)


def _interpolate(
    embeddings: Any, mode: PositionEmbedding, _tokens: Tensor, height: int, width: int
) -> Tensor:
    patch_height, patch_width = embeddings.patch_embeddings.patch_size
    grid_hw = (height // patch_height, width // patch_width)
    return resample_position(embeddings.position_embeddings, grid_hw, mode)


def resample_position(
    position: Tensor, grid_hw: tuple[int, int], mode: PositionEmbedding
) -> Tensor:
    """Bring a position embedding to another number of patches.

    Args:
        position: (1, 1 + N, C), the class token first, N square.
        grid_hw: Patches in height and width.
        mode: ``"scalr"``: bicubic without antialias, by the factors (h + 0.1) / sqrt(N), as the
            original DINOv2; anything else: bicubic with antialias, as timm.

    Returns:
        (1, 1 + h w, C).
    """
    side = math.isqrt(position.shape[1] - 1)
    if grid_hw == (side, side):
        return position
    grid = position[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
    if mode == "scalr":
        factors = [(cells + 0.1) / side for cells in grid_hw]
        resized = F.interpolate(grid, scale_factor=factors, mode="bicubic")
    else:
        resized = F.interpolate(grid, size=grid_hw, mode="bicubic", antialias=True)
    patches = resized.permute(0, 2, 3, 1).flatten(1, 2)
    return torch.cat([position[:, :1], patches.to(position.dtype)], dim=1)
