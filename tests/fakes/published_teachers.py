"""What the teachers of the table are built like: transformers' class, and its settings.

Widths, depths and heads are those of the papers and of the authors' configurations.
"""

from typing import Any

Settings = dict[str, Any]


def _vit(width: int, depth: int, heads: int, inner: int = 0, **more: Any) -> Settings:
    return {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "intermediate_size": inner or 4 * width,
        **more,
    }


def _dinov2(width: int, depth: int, heads: int, **more: Any) -> Settings:
    settings = _vit(width, depth, heads, patch_size=14, image_size=518, **more)
    del settings["intermediate_size"]
    return settings


_DINOV2 = {
    "small": _dinov2(384, 12, 6),
    "base": _dinov2(768, 12, 12),
    "large": _dinov2(1024, 24, 16),
    "giant": _dinov2(1536, 40, 24, use_swiglu_ffn=True),
}
_DINOV3 = {
    "vits16": _vit(384, 12, 6),
    "vits16plus": _vit(384, 12, 6, use_gated_mlp=True),
    "vitb16": _vit(768, 12, 12),
    "vitl16": _vit(1024, 24, 16),
    "vith16plus": _vit(1280, 32, 20, use_gated_mlp=True),
    "vit7b16": _vit(4096, 40, 32, 8192, use_gated_mlp=True, query_bias=False, value_bias=False),
}
_TOWERS = {
    "base": _vit(768, 12, 12),
    "large": _vit(1024, 24, 16),
    "so400m": _vit(1152, 27, 16, 4304),
    "giant-opt": _vit(1536, 40, 16),
}


def _tower(name: str) -> Settings:
    """Settings of ``so400m-patch14-384``."""
    parts = name.replace("vit-", "").split("-patch")
    patch, _, size = parts[1].partition("-")
    return _TOWERS[parts[0]] | {"patch_size": int(patch), "image_size": int(size or 224)}


def published(name: str) -> tuple[str, Settings]:
    """The family's name in transformers' classes, and the settings of one teacher of the table."""
    family, _, size = name.partition("-")
    if family == "dinov2":
        registers = size.startswith("with-registers")
        settings = _DINOV2[size.rpartition("-")[2]]
        return ("Dinov2WithRegisters" if registers else "Dinov2"), settings
    if family == "dinov3":
        return "DINOv3ViT", _DINOV3[size] | {"num_register_tokens": 4}
    classes = {"clip": "CLIPVision", "siglip": "SiglipVision", "siglip2": "SiglipVision"}
    if family in classes:
        return classes[family], _tower(size)
    return "Dinov2", _DINOV2["small"]
