"""What every teacher offers: frozen feature maps of images, read at single pixels.

Shape letters: V views, P pairs, C channels, L levels of a map, h x w map size, H x W image size.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lidistill.config import FrozenPrecision, Size, TeacherPrecision
from lidistill.errors import ConfigError
from lidistill.teachers.families import Rgb
from lidistill.tensor_records import to_device_pinned

Alignment: TypeAlias = Literal["corners", "centers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherMaps:
    """Feature maps of some views, and where their cells lie in the image."""

    levels: tuple[Tensor, ...]
    """L maps, each (V, C_l, h_l, w_l); a map of 1 x 1 holds for the whole image."""
    alignment: Alignment
    """``"corners"``: the corner cells lie on the corner pixels, as in bilinear upsampling with
    ``align_corners=True``. ``"centers"``: cell i lies on pixel ``origin + stride * i``."""
    strides: tuple[float, ...]
    """Pixels from cell to cell, one for each level."""
    origins: tuple[float, ...]
    """Pixel under cell 0, one for each level."""

    def __post_init__(self) -> None:
        counts = {len(self.levels), len(self.strides), len(self.origins)}
        views = {len(level) for level in self.levels}
        if len(counts) != 1 or len(views) != 1:
            msg = f"maps with {counts} levels, strides and origins and {views} views do not agree"
            raise ValueError(msg)

    @property
    def num_views(self) -> int:
        """V, the number of views."""
        return len(self.levels[0])

    def _with(self, levels: tuple[Tensor, ...]) -> "TeacherMaps":
        return TeacherMaps(
            levels=levels, alignment=self.alignment, strides=self.strides, origins=self.origins
        )

    def view(self, index: int) -> "TeacherMaps":
        """Maps of one view."""
        return self._with(tuple(level[index : index + 1] for level in self.levels))

    def to(self, device: torch.device | str) -> "TeacherMaps":
        """Copy on another device."""
        return self._with(to_device_pinned(self.levels, device))

    @staticmethod
    def join(parts: Sequence["TeacherMaps"]) -> "TeacherMaps":
        """Maps of the views of all parts, one after the other.

        Raises:
            ValueError: If there is no part, or the parts come from different teachers.
        """
        placements = {(part.alignment, part.strides, part.origins) for part in parts}
        if len(placements) != 1:
            msg = f"expected maps of one teacher, found {len(placements)} kinds"
            raise ValueError(msg)
        by_level = zip(*(part.levels for part in parts), strict=True)
        return parts[0]._with(tuple(torch.cat(levels) for levels in by_level))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelGroup:
    """Channels of a teacher that belong together: one layer of a ViT, one stride of a pyramid."""

    num_channels: int
    whole_image: bool = False
    """Whether they are the same for all pixels of an image, as those of a class token."""


@runtime_checkable
class Teacher(Protocol):
    """A frozen 2D network that gives features of pixels."""

    name: str
    """Everything the maps depend on, weights included; the key of a cache."""
    label: str
    """What to call it in tables."""
    groups: tuple[ChannelGroup, ...]
    """What the channels are, in their order: one group for each level of the maps."""

    @property
    def num_channels(self) -> int:
        """C, channels of all levels together."""
        ...

    def check_size(self, size_hw: Size) -> None:
        """Raise ``ConfigError`` if images of this height and width do not fit the network."""
        ...

    def maps(self, images: Tensor) -> TeacherMaps:
        """Maps of (V, 3, H, W) images, uint8 or floats in [0, 1], without gradient."""
        ...

    def read(self, maps: TeacherMaps, view: Tensor, uv: Tensor, size_hw: Size) -> Tensor:
        """(P, C) float32 features at pixels.

        Args:
            maps: Of V images.
            view: (P,) int64 image of each pixel.
            uv: (P, 2) float32 column and row, pixels of images of ``size_hw``.
            size_hw: Height and width that the pixels are counted in.
        """
        ...

    def to(self, device: torch.device | str) -> Self:
        """Move the network, and return this teacher."""
        ...


class FrozenTeacher(ABC):
    """A teacher around a torch module, which it freezes and runs in small batches of views.

    Args:
        network: The module; it is set to evaluation mode and never trained.
        mean: Red, green and blue subtracted from images in [0, 1].
        std: Red, green and blue divided by after that.
        precision: Arithmetic of the network; the maps are float32 either way. ``auto``, which a run
            decides (``teachers.precision``), is exact without one.
        batch_size: Views that go through the network at once.
        normalize: Whether the features of each level are divided by their length when read.
    """

    name: str
    label: str
    groups: tuple[ChannelGroup, ...]

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: Rgb,
        std: Rgb,
        precision: TeacherPrecision,
        batch_size: int,
        normalize: bool,
    ) -> None:
        self.network = network.eval().requires_grad_(requires_grad=False)
        self.mean, self.std = mean, std
        self.precision: FrozenPrecision = "fp32" if precision == "auto" else precision
        self.batch_size = batch_size
        self.normalize = normalize

    @property
    def num_channels(self) -> int:
        """See ``Teacher.num_channels``."""
        return sum(group.num_channels for group in self.groups)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def to(self, device: torch.device | str) -> Self:
        """See ``Teacher.to``."""
        self.network.to(device)
        return self

    @abstractmethod
    def check_size(self, size_hw: Size) -> None:
        """See ``Teacher.check_size``."""

    @abstractmethod
    def forward_levels(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Levels of (V, 3, H, W) standardised float32 images."""

    @abstractmethod
    def _place(self, levels: tuple[Tensor, ...]) -> TeacherMaps:
        """Say where in their images the pixels of maps lie."""

    def path_taken(self, device: torch.device) -> str:
        """What computes the teacher, in one line; the run's precision has no part in it."""
        place = "" if device == self.device else f" on {self.device}"
        return f"teacher: {self._operations()} in {self.precision}{place} (teacher.precision)"

    def _operations(self) -> str:
        """Whose operations compute the network on its device."""
        return "PyTorch's own operations"

    @torch.no_grad()
    def maps(self, images: Tensor) -> TeacherMaps:
        """See ``Teacher.maps``."""
        height, width = images.shape[-2:]
        self.check_size((height, width))
        enabled = self.precision == "bf16"
        parts = []
        for chunk in images.split(self.batch_size):
            pixels = standardize(chunk.to(self.device), mean=self.mean, std=self.std)
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled):
                parts.append(self.forward_levels(pixels))
        by_level = zip(*parts, strict=True)
        return self._place(tuple(torch.cat(levels).float() for levels in by_level))

    @torch.no_grad()
    def read(self, maps: TeacherMaps, view: Tensor, uv: Tensor, size_hw: Size) -> Tensor:
        """See ``Teacher.read``."""
        return read_maps(maps, view, uv, size_hw, normalize=self.normalize)


def standardize(images: Tensor, *, mean: Rgb, std: Rgb) -> Tensor:
    """(V, 3, H, W) images, uint8 or floats in [0, 1], minus mean, over std, in float32."""
    unit = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    return (unit - _colours(mean, unit.device)) / _colours(std, unit.device)


@lru_cache(maxsize=64)
def _colours(values: Rgb, device: torch.device) -> Tensor:
    """(1, 3, 1, 1) float32, copied to a device once: each copy would wait for a GPU."""
    with torch.inference_mode(mode=False):
        return torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1)


def require_multiple(size_hw: Size, *, of: int, teacher: str) -> None:
    """Check an image size against the cell size of a network.

    Raises:
        ConfigError: If height or width is no multiple; the network would crop silently.
    """
    if all(side > 0 and side % of == 0 for side in size_hw):
        return
    height, width = (max(1, round(side / of)) * of for side in size_hw)
    msg = (
        f"images of {size_hw[0]} x {size_hw[1]} pixels do not fit {teacher}, which needs height "
        f"and width to be multiples of {of}; set the image size to {height} x {width}."
    )
    raise ConfigError(msg)


def read_maps(
    maps: TeacherMaps, view: Tensor, uv: Tensor, size_hw: Size, *, normalize: bool
) -> Tensor:
    """Read maps bilinearly at pixels, without ever making them as large as the image.

    Positions beyond the outermost cells read those cells.

    Args:
        maps: Of V views.
        view: (P,) int64 index of a view.
        uv: (P, 2) column and row in the image, pixel centres at whole numbers.
        size_hw: Height and width of the image, pixels.
        normalize: Whether to divide the features of each level by their length.

    Returns:
        (P, C) float32, the levels side by side.
    """
    read = []
    for level, stride, origin in zip(maps.levels, maps.strides, maps.origins, strict=True):
        columns = []
        # Plain numbers, which no GPU has to be sent; w and h are in the order of uv.
        for place, cells, pixels in zip(
            uv.float().unbind(1), level.shape[:1:-1], size_hw[::-1], strict=True
        ):
            if maps.alignment == "corners":
                index = place * float(np.float32(cells - 1) / np.float32(max(pixels - 1, 1)))
            else:
                index = (place - origin) / stride
            columns.append(index.clamp(0, cells - 1))
        features = _bilinear(level, view, torch.stack(columns, 1))
        read.append(F.normalize(features, dim=1) if normalize else features)
    return torch.cat(read, dim=1)


def _bilinear(level: Tensor, view: Tensor, index: Tensor) -> Tensor:
    """(P, C) weighted sums of the four cells around (P, 2) positions inside a (V, C, h, w) map."""
    num_channels, height, width = level.shape[1:]
    low = index.floor()
    column, row = low.long().unbind(1)
    right, below = (column + 1).clamp(max=width - 1), (row + 1).clamp(max=height - 1)
    x, y = (index - low).unbind(1)
    top, bottom = (view * height + row) * width, (view * height + below) * width
    cells = torch.stack([top + column, top + right, bottom + column, bottom + right], dim=1)
    weights = torch.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], dim=1)
    table = level.to(index.device).permute(0, 2, 3, 1).reshape(-1, num_channels).contiguous()
    return F.embedding_bag(cells, table.float(), per_sample_weights=weights, mode="sum")
