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


_CONVNEXT = {
    "tiny": ([96, 192, 384, 768], [3, 3, 9, 3]),
    "small": ([96, 192, 384, 768], [3, 3, 27, 3]),
    "base": ([128, 256, 512, 1024], [3, 3, 27, 3]),
    "large": ([192, 384, 768, 1536], [3, 3, 27, 3]),
}
_SAM = {
    "base": (768, 12, 12, [2, 5, 8, 11]),
    "large": (1024, 24, 16, [5, 11, 17, 23]),
    "huge": (1280, 32, 16, [7, 15, 23, 31]),
}
_HIERA = {  # width, heads, blocks, blocks that see everything, windows, cells of the background
    "tiny": (96, 1, [1, 2, 7, 2], [5, 7, 9], [8, 4, 14, 7], 7),
    "small": (96, 1, [1, 2, 11, 2], [7, 10, 13], [8, 4, 14, 7], 7),
    "base-plus": (112, 2, [2, 3, 16, 3], [12, 16, 20], [8, 4, 14, 7], 14),
    "large": (144, 2, [2, 6, 36, 4], [23, 33, 43], [8, 4, 16, 8], 7),
}
# Class and register tokens of C-RADIO are those of version 4; others differ by a few of them.
_RADIO = {"B": (768, 12, 12), "L": (1024, 24, 16), "H": (1280, 32, 16), "SO400M": (1152, 27, 16)}


def _sam(size: str) -> Settings:
    width, depth, heads, seeing = _SAM[size]
    settings = _vit(width, depth, heads, global_attn_indexes=seeing)
    return settings | {"mlp_dim": settings.pop("intermediate_size")}


def _hiera(size: str) -> Settings:
    width, heads, blocks, seeing, windows, background = _HIERA[size]
    doubled = [1, 2, 4, 8]
    return {
        "backbone_channel_list": [width * n for n in reversed(doubled)],
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": width,
            "num_attention_heads": heads,
            "blocks_per_stage": blocks,
            "embed_dim_per_stage": [width * n for n in doubled],
            "num_attention_heads_per_stage": [heads * n for n in doubled],
            "global_attention_blocks": seeing,
            "window_size_per_stage": windows,
            "window_positional_embedding_background_size": [background] * 2,
        },
    }


def _radio(size: str) -> Settings:
    width, depth, heads = _RADIO[size]
    settings = _vit(width, depth, heads)
    del settings["intermediate_size"]
    return settings | {"mlp_ratio": 4304 / 1152 if size == "SO400M" else 4.0}


def published(name: str) -> tuple[str, Settings]:
    """The family's name in transformers' classes, and the settings of one teacher of the table."""
    family, _, size = name.partition("-")
    last = size.rpartition("-")[2]
    if family == "dinov2":
        registers = size.startswith("with-registers")
        return ("Dinov2WithRegisters" if registers else "Dinov2"), _DINOV2[last]
    if size.startswith("convnext"):
        widths, depths = _CONVNEXT[last]
        return "DINOv3ConvNext", {"hidden_sizes": widths, "depths": depths}
    if family == "dinov3":
        return "DINOv3ViT", _DINOV3[size] | {"num_register_tokens": 4}
    if last == "naflex":
        settings = _tower(size.replace("naflex", "256"))
        return "Siglip2Vision", settings | {"num_patches": 256}
    classes = {"clip": "CLIPVision", "siglip": "SiglipVision", "siglip2": "SiglipVision"}
    if family in classes:
        return classes[family], _tower(size)
    if family == "sam":
        return "SamVision", _sam(last)
    if family == "sam2.1":
        return "Sam2Vision", _hiera(size.removeprefix("hiera-"))
    if family == "sam3":
        return "Sam3Vision", {}
    if family == "C":
        return "Radio", _radio(last)
    return "Dinov2", _DINOV2["small"]
