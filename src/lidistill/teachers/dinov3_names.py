"""From the names of the original DINOv3 code and of timm to those of transformers.

Only names differ, and one tensor there is three here (or two, where a key has no bias).
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from lidistill.errors import FileFormatError

_VIT: Final = {
    "cls_token": "embeddings.cls_token",
    "mask_token": "embeddings.mask_token",
    "storage_tokens": "embeddings.register_tokens",
    "reg_token": "embeddings.register_tokens",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.bias",
    "norm.weight": "norm.weight",
    "norm.bias": "norm.bias",
}
_BLOCK_PARTS: Final = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.proj": "attention.o_proj",
    "attn.q": "attention.q_proj",
    "attn.v": "attention.v_proj",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
    "gamma_1": "layer_scale1.lambda1",
    "gamma_2": "layer_scale2.lambda1",
    "mlp.w1": "mlp.gate_proj",
    "mlp.w2": "mlp.up_proj",
    "mlp.w3": "mlp.down_proj",
    "mlp.fc1_g": "mlp.gate_proj",
    "mlp.fc1_x": "mlp.up_proj",
    "mlp.fc1": "mlp.up_proj",
    "mlp.fc2": "mlp.down_proj",
}
_BLOCK: Final = re.compile(r"blocks\.(\d+)\.(.+?)([._](?:weight|bias))?")
# Frequencies follow from the configuration, the masks of biases are zero where the key has none,
# and the norm of cropped images' class tokens is used in training alone.
_NOT_READ: Final = re.compile(r"rope_embed\.periods|.*\.bias_mask|local_cls_norm\.\w+|rope\..+")
_CONVNEXT: Final = (
    (r"downsample_layers\.(\d)\.(\d)\.(\w+)", r"model.stages.\1.downsample_layers.\2.\3"),
    (r"stem\.(\d)\.(\w+)", r"model.stages.0.downsample_layers.\1.\2"),
    (r"stages\.(\d)\.downsample\.(\d)\.(\w+)", r"model.stages.\1.downsample_layers.\2.\3"),
    (r"stages\.(\d)\.(?:blocks\.)?(\d+)\.gamma", r"model.stages.\1.layers.\2.gamma"),
    (
        r"stages\.(\d)\.(?:blocks\.)?(\d+)\.(?:dwconv|conv_dw)\.(\w+)",
        r"model.stages.\1.layers.\2.depthwise_conv.\3",
    ),
    (
        r"stages\.(\d)\.(?:blocks\.)?(\d+)\.norm\.(\w+)",
        r"model.stages.\1.layers.\2.layer_norm.\3",
    ),
    (
        r"stages\.(\d)\.(?:blocks\.)?(\d+)\.(?:pwconv|mlp\.fc)(\d)\.(\w+)",
        r"model.stages.\1.layers.\2.pointwise_conv\3.\4",
    ),
    (r"(?:norm|head\.norm)\.(\w+)", r"layer_norm.\1"),
)
_MOST: Final = 256  # blocks; the largest has 40


def is_dinov3_vit(state: Mapping[str, Tensor]) -> bool:
    """Whether tensors are those of a DINOv3 ViT in the names of its code, or of timm."""
    return "storage_tokens" in state or ("reg_token" in state and "pos_embed" not in state)


def is_convnext(state: Mapping[str, Tensor]) -> bool:
    """Whether tensors are those of a ConvNeXt in the names of DINOv3's code, or of timm."""
    return bool(state.keys() & {"downsample_layers.0.0.weight", "stem.0.weight"})


def convnext_tensors(state: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """State dict of a DINOv3 ConvNeXt in transformers' names.

    Raises:
        FileFormatError: If a name is not known.
    """
    renamed = {}
    for name, tensor in state.items():
        if name.startswith("norms."):
            continue  # the same norm a second time
        new = next((re.sub(a, b, name) for a, b in _CONVNEXT if re.fullmatch(a, name)), None)
        if new is None:
            raise _unexpected(name, source, "DINOv3 ConvNeXt")
        renamed[new] = tensor
    return renamed


def convnext_arguments(state: Mapping[str, Tensor], source: Path) -> dict[str, Any]:
    """Arguments of transformers' configuration, read off the shapes of the weights.

    Raises:
        FileFormatError: If a stage is missing.
    """
    pattern = re.compile(r"model\.stages\.(\d)\.layers\.(\d+)\.gamma")
    found = [tuple(map(int, m.groups())) for m in map(pattern.fullmatch, state) if m]
    blocks = [{block for stage, block in found if stage == index} for index in range(4)]
    if not all(blocks) or any(ids != set(range(len(ids))) for ids in blocks):
        msg = f"{source} is not a whole ConvNeXt of four stages; give the complete file of weights."
        raise FileFormatError(msg)
    widths = [len(state[f"model.stages.{stage}.layers.0.gamma"]) for stage in range(4)]
    return {"hidden_sizes": widths, "depths": [len(ids) for ids in blocks]}


def vit_tensors(state: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """State dict of a DINOv3 ViT in transformers' names.

    Raises:
        FileFormatError: If a name is not known.
    """
    return {
        new: tensor
        for name, whole in state.items()
        for new, tensor in _renamed(name, whole, source)
    }


def _renamed(name: str, tensor: Tensor, source: Path) -> Iterator[tuple[str, Tensor]]:
    if _NOT_READ.fullmatch(name):
        return
    if name in _VIT:
        flat_mask = name == "mask_token" and tensor.dim() == 2
        yield _VIT[name], tensor[:, None] if flat_mask else tensor
        return
    match = _BLOCK.fullmatch(name)
    index, part, kind = match.groups(default="") if match else ("", "", "")
    layer, kind = f"model.layer.{index}", kind.replace("_", ".")
    if part == "attn.qkv":
        for letter, value in zip("qkv", tensor.chunk(3), strict=True):
            # Keys have no bias here: in the original it is masked, which is no bias, too.
            if (letter, kind) != ("k", ".bias"):
                yield f"{layer}.attention.{letter}_proj{kind}", value
    elif part in _BLOCK_PARTS:
        yield f"{layer}.{_BLOCK_PARTS[part]}{kind}", tensor
    else:
        raise _unexpected(name, source, "DINOv3 ViT")


def vit_arguments(
    state: Mapping[str, Tensor], *, num_heads: int | None, source: Path
) -> dict[str, Any]:
    """Arguments of transformers' configuration, read off the shapes of the weights.

    Args:
        state: As ``vit_tensors`` gives it.
        num_heads: Attention heads; None for 64 channels each, as in all sizes but the 7B.
        source: Where it comes from, for the message.

    Raises:
        FileFormatError: If a tensor is missing.
    """
    layers = {name.split(".")[2] for name in state if name.startswith("model.layer.")}
    if layers != {str(number) for number in range(len(layers))} or not 0 < len(layers) <= _MOST:
        msg = f"{source} has {len(layers)} layers that do not count from 0; give the whole file."
        raise FileFormatError(msg)
    first = "model.layer.0"
    try:
        width, _, patch, _ = state["embeddings.patch_embeddings.weight"].shape
        hidden = state[f"{first}.mlp.up_proj.weight"].shape[0]
        registers = state["embeddings.register_tokens"].shape[1]
    except (KeyError, ValueError, IndexError) as error:
        msg = f"{source} is not a whole DINOv3 ViT ({error}); give the complete file of weights."
        raise FileFormatError(msg) from error
    gated = f"{first}.mlp.gate_proj.weight" in state
    channels = 128 if width == 4096 else 64  # of a head; 32 heads in the 7B
    return {
        "hidden_size": width,
        "intermediate_size": hidden,
        "num_hidden_layers": len(layers),
        "num_attention_heads": num_heads or max(1, width // channels),
        "patch_size": patch,
        "num_register_tokens": registers,
        "use_gated_mlp": gated,
        "hidden_act": "silu" if gated else "gelu",
        "query_bias": f"{first}.attention.q_proj.bias" in state,
        "value_bias": f"{first}.attention.v_proj.bias" in state,
    }


def _unexpected(name: str, source: Path, family: str) -> FileFormatError:
    return FileFormatError(
        f"{source}: unexpected tensor {name[:100]!r}; a single file of a {family} must have the "
        "names of the original code or of timm. For anything else give a folder with config.json."
    )
