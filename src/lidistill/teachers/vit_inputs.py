"""What a vision transformer is called with.

Shape letters: V views, P patches, C colours, p edge of a patch.
"""

import inspect
from typing import Any

import torch
from torch import Tensor, nn


def arguments_of(network: nn.Module, pixels: Tensor) -> dict[str, Any]:
    """Arguments of a network for images of one size.

    SigLIP 2 NaFlex wants patches instead of images, and which of them are there: all, since images
    of one size need no filling.

    Args:
        network: Of transformers.
        pixels: (V, 3, H, W) standardised images.
    """
    parameters = inspect.signature(network.forward).parameters
    if "spatial_shapes" in parameters:
        settings: Any = network.config
        patches = as_patches(pixels, settings.patch_size)
        grid = [side // settings.patch_size for side in pixels.shape[-2:]]
        mask = torch.ones(patches.shape[:2], dtype=torch.int32, device=pixels.device)
        shapes = torch.tensor([grid], device=pixels.device).expand(len(pixels), -1)
        return {"pixel_values": patches, "pixel_attention_mask": mask, "spatial_shapes": shapes}
    if "interpolate_pos_encoding" in parameters:
        return {"pixel_values": pixels, "interpolate_pos_encoding": True}
    return {"pixel_values": pixels}


def as_patches(pixels: Tensor, patch: int) -> Tensor:
    """(V, P, p p C) patches of (V, C, H, W) images, row by row, the colours of a pixel together."""
    rows = pixels.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # V, C, h, p, w, p
    return rows.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
