"""From the names of SAM's own code and of timm to those of transformers; only names differ."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from lidistill.errors import FileFormatError

_PART: Final = re.compile(r"(?:image_encoder\.)?((?:pos_embed|patch_embed|blocks|neck)\b.*)")
"""Of the image encoder; the rest of a file turns its map into masks."""
_NAMES: Final = (
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"^blocks\.", "layers."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"mlp\.fc(\d)", r"mlp.lin\1"),
    (r"neck\.0\.", "neck.conv1."),
    (r"neck\.1\.", "neck.layer_norm1."),
    (r"neck\.2\.", "neck.conv2."),
    (r"neck\.3\.", "neck.layer_norm2."),
)
_MOST: Final = 256  # blocks; the largest has 32


def is_sam(state: Mapping[str, Tensor]) -> bool:
    """Whether tensors are those of a SAM in the names of its code, or of timm."""
    of_timm = {"blocks.0.attn.rel_pos_h", "neck.0.weight"} <= state.keys()
    return of_timm or any(re.match(r"image_encoder\.(?!trunk\.)", name) for name in state)


def sam_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image encoder's part of a state dict, in transformers' names."""
    renamed = {}
    for full_name, tensor in state.items():
        if match := _PART.fullmatch(full_name):
            name = match[1]
            for old, new in _NAMES:
                name = re.sub(old, new, name)
            renamed[f"vision_encoder.{name}"] = tensor
    return renamed


def sam_arguments(state: Mapping[str, Tensor], source: Path) -> dict[str, Any]:
    """Arguments of transformers' configuration, read off the shapes of the weights.

    A block's table of relative positions has a row for every distance in its window, which is the
    whole image for some blocks.

    Args:
        state: As ``sam_tensors`` gives it.
        source: Where it comes from, for the message.

    Raises:
        FileFormatError: If a tensor is missing.
    """
    encoder = "vision_encoder"
    layers = {name.split(".")[2] for name in state if name.startswith(f"{encoder}.layers.")}
    counted = layers == {str(number) for number in range(len(layers))}
    try:
        _, grid, _, width = state[f"{encoder}.pos_embed"].shape
        patch = state[f"{encoder}.patch_embed.projection.weight"].shape[2]
        hidden = state[f"{encoder}.layers.0.mlp.lin1.weight"].shape[0]
        neck = state[f"{encoder}.neck.conv1.weight"].shape[0]
        tables = [
            state[f"{encoder}.layers.{number}.attn.rel_pos_h"] for number in range(len(layers))
        ]
        windows = [(len(table) + 1) // 2 for table in tables]
        channels = tables[0].shape[1]
    except (KeyError, ValueError, IndexError) as error:
        msg = f"{source} is not a whole SAM ({error}); give the complete file of weights."
        raise FileFormatError(msg) from error
    possible = min(grid, patch, neck, channels) > 0 and not width % channels
    if not counted or len(layers) > _MOST or not possible:
        msg = (
            f"{source} has {len(layers)} blocks of {width} channels in heads of {channels}, "
            f"expected 1 to {_MOST} that count from 0; give the whole file."
        )
        raise FileFormatError(msg)
    of_parts = Counter(window for window in windows if window != grid)
    return {
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "num_attention_heads": width // channels,
        "mlp_dim": hidden,
        "patch_size": patch,
        "image_size": grid * patch,
        "output_channels": neck,
        "window_size": max(of_parts, default=0),
        "global_attn_indexes": [n for n, window in enumerate(windows) if window == grid],
    }
