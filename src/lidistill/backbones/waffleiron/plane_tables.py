"""Planes of a packed batch as few long tensors, which cross processes and reach a GPU at once.

A plane has some fourteen tables, each of which would be a message between processes, a piece of
pinned memory and a copy of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import torch
from torch import Tensor

from lidistill.backbones.waffleiron.plane import Flatten, Plane, build_plane
from lidistill.config import Size

_ALIGNED: Final = 128
"""Tables begin at multiples of so many bytes: a GPU reads whole lines, and Triton compiles a
kernel again for what does not begin at 16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneForm:
    """What the tables of a batch depend on beside its points."""

    sizes: tuple[Size, ...]
    """H and W of the grids that the layers use, cells."""
    flatten: Flatten

    def build(self, cells: Tensor, scan: Tensor, *, num_scans: int) -> list[Plane]:
        """One plane for each grid.

        Args:
            cells: (M, G) int64, of at least so many grids; see ``WaffleInputs``.
            scan: (M,) int64 scan of each point.
            num_scans: Scans of the batch.

        Raises:
            ValueError: If a cell lies outside its grid.
        """
        return [
            build_plane(cells[:, i], scan, num_scans=num_scans, size_hw=size, flatten=self.flatten)
            for i, size in enumerate(self.sizes)
        ]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a table lies in the long tensor of its type."""

    table: int
    start: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneTables:
    """Planes laid end to end; whatever fields a ``Plane`` has come along."""

    form: PlaneForm
    num_scans: int
    tables: tuple[Tensor, ...]
    """One for each number format."""
    layout: tuple[dict[str, Any], ...]
    """Of each plane by field: the place of a table, or the value itself where it is none."""

    @classmethod
    def of(cls, planes: Sequence[Plane], form: PlaneForm, *, num_scans: int) -> "PlaneTables":
        """Planes of one batch, in the order of its grids."""
        parts: dict[torch.dtype, list[Tensor]] = {}
        lengths: list[int] = []

        def placed(table: Tensor) -> _Place:
            own = parts.setdefault(table.dtype, [])
            index = list(parts).index(table.dtype)
            lengths.extend([0] * (index + 1 - len(lengths)))
            gap = -lengths[index] % (_ALIGNED // table.dtype.itemsize)
            own += [table.new_zeros(gap), table.flatten()]
            place = _Place(index, lengths[index] + gap, tuple(table.shape))
            lengths[index] = place.start + table.numel()
            return place

        layout = []
        for plane in planes:
            values = {field.name: getattr(plane, field.name) for field in fields(plane)}
            found = values.items()
            layout.append({k: placed(v) if isinstance(v, Tensor) else v for k, v in found})
        tables = tuple(torch.cat(own) for own in parts.values())
        return cls(form=form, num_scans=num_scans, tables=tables, layout=tuple(layout))

    def planes(self) -> list[Plane]:
        """The planes, as views of the long tensors."""
        return [
            Plane(**{name: self._value(found) for name, found in values.items()})
            for values in self.layout
        ]

    def _value(self, place: Any) -> Any:
        if not isinstance(place, _Place):
            return place
        length = torch.Size(place.shape).numel()
        return self.tables[place.table].narrow(0, place.start, length).view(place.shape)
