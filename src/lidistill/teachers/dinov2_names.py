"""From the names of the original DINOv2 code and of timm to those of transformers.

The result has the names of the published transformers checkpoints; transformers itself maps those
to the names of its present version.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lidistill.errors import ConfigError, FileFormatError

_OUTER = {
    "cls_token": "embeddings.cls_token",
    "mask_token": "embeddings.mask_token",
    "pos_embed": "embeddings.position_embeddings",
    "register_tokens": "embeddings.register_tokens",
    "reg_token": "embeddings.register_tokens",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}
_INNER = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.proj": "attention.output.dense",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "mlp.w12": "mlp.weights_in",
    "mlp.w3": "mlp.weights_out",
}
_MAX_LAYERS = 256  # the largest DINOv2 has 40
# Large original checkpoints count chunks of blocks first: blocks.0.3.norm1.weight.
_BLOCK = re.compile(r"blocks\.(?:\d+\.)?(\d+)\.(.+?)(\.weight|\.bias)?")


def to_transformers_names(state: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """State dict of a DINOv2 in transformers' names; one that has them already stays as it is.

    Args:
        state: Names of the original code, of timm or of transformers, as ``read_network`` has them.
        source: Where it comes from, for the message.

    Raises:
        FileFormatError: If a name is not known.
    """
    if "embeddings.cls_token" in state:
        return dict(state)
    renamed = {
        new: value for name, tensor in state.items() for new, value in _rename(name, tensor, source)
    }
    _use_packed_swiglu_names(renamed)
    position = renamed.get("embeddings.position_embeddings")
    if position is not None and math.isqrt(position.shape[1]) ** 2 == position.shape[1]:
        # timm's register variants add no position to the class token.
        zero = torch.zeros_like(position[:, :1])
        renamed["embeddings.position_embeddings"] = torch.cat([zero, position], dim=1)
    return renamed


def _rename(name: str, tensor: Tensor, source: Path) -> Iterator[tuple[str, Tensor]]:
    if name in _OUTER:
        yield _OUTER[name], tensor
        return
    match = _BLOCK.fullmatch(name)
    index, inner, kind = match.groups(default="") if match else ("", "", "")
    layer = f"encoder.layer.{index}"
    if inner == "attn.qkv":
        for part, value in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
            yield f"{layer}.attention.attention.{part}{kind}", value
    elif inner in _INNER:
        yield f"{layer}.{_INNER[inner]}{kind}", tensor
    else:
        msg = (
            f"{source}: unexpected tensor {name!r}; a single file must hold a DINOv2 in the names "
            "of the original code or of timm. For any other network give a folder with config.json."
        )
        raise FileFormatError(msg)


def _use_packed_swiglu_names(state: dict[str, Tensor]) -> None:
    """Undo timm's names fc1, fc2 of a packed SwiGLU, where fc1 makes twice what fc2 takes."""
    first, second = (state.get(f"encoder.layer.0.mlp.{n}.weight") for n in ("fc1", "fc2"))
    if first is None or second is None or first.shape[0] != 2 * second.shape[1]:
        return
    for name in [name for name in state if ".mlp.fc" in name]:
        new = name.replace(".mlp.fc1.", ".mlp.weights_in.")
        state[new.replace(".mlp.fc2.", ".mlp.weights_out.")] = state.pop(name)


def dinov2_config(
    state: Mapping[str, Tensor], *, num_heads: int | None, source: Path
) -> dict[str, Any]:
    """Arguments of transformers' DINOv2 configuration, read off the shapes of the weights.

    Args:
        state: In transformers' names.
        num_heads: Attention heads; None for 64 channels each, as in every published DINOv2.
        source: Where it comes from, for the message.

    Raises:
        FileFormatError: If a tensor is missing.
        ConfigError: If the width cannot be split into the heads.
    """
    try:
        width, _, patch, _ = state["embeddings.patch_embeddings.projection.weight"].shape
        num_positions = state["embeddings.position_embeddings"].shape[1] - 1
        swiglu = "encoder.layer.0.mlp.weights_in.weight" in state
        hidden = 4 * width if swiglu else state["encoder.layer.0.mlp.fc1.weight"].shape[0]
    except (KeyError, ValueError) as error:
        msg = f"{source} is not a whole DINOv2 ({error}); give the complete file of weights."
        raise FileFormatError(msg) from error
    layers = {n.split(".")[2] for n in state if n.startswith("encoder.layer.")}
    counted = layers == {str(number) for number in range(len(layers))}
    possible = min(width, patch) >= 1 and hidden >= width
    if not counted or not 0 < len(layers) <= _MAX_LAYERS or not possible:
        msg = (
            f"{source} has {len(layers)} layers of {width} channels, {hidden} within, expected 1 "
            f"to {_MAX_LAYERS} that count from 0, no narrower within; give the whole file."
        )
        raise FileFormatError(msg)
    heads = num_heads or max(1, width // 64)
    if width % heads:
        msg = f"{source}: {width} channels cannot be split into {heads} heads; set num_heads."
        raise ConfigError(msg)
    arguments = {
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "num_attention_heads": heads,
        "mlp_ratio": hidden // width,
        "use_swiglu_ffn": swiglu,
        "patch_size": patch,
        "image_size": math.isqrt(num_positions) * patch,
    }
    registers = state.get("embeddings.register_tokens")
    return (
        arguments if registers is None else {**arguments, "num_register_tokens": registers.shape[1]}
    )
