"""What a WaffleIron wants to know of the points: neighbours, and cells of its grids.

Shape letters: M points, K neighbours of a point, G grids.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lidistill.backbones.base import own_inputs
from lidistill.backbones.waffleiron.cpu.neighbor_search import search
from lidistill.backbones.waffleiron.gpu.hash_neighbors import hash_neighbors
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.plane import Flatten, Plane
from lidistill.backbones.waffleiron.plane_tables import PlaneForm, PlaneTables
from lidistill.compiled import compiling
from lidistill.config import Size
from lidistill.records import Batch
from lidistill.samples.nearest import nearest_by_scipy
from lidistill.samples.preparer import Channel, FieldOfView


@dataclass(frozen=True, slots=True, kw_only=True)
class WaffleInputs:
    """See ``Inputs``."""

    neighbors: Tensor
    """(M, 1 + K) int64 nearest points of the same scan, the point itself first."""
    cells: Tensor
    """(M, G) int64 row-major cell of each point in each grid, inside the grids of its own scan."""
    form: PlaneForm | None = None
    """What planes to build of the cells when samples are packed; None: none, the network will."""
    planes: PlaneTables | None = None
    """The planes of the cells of a packed batch."""

    def __post_init__(self) -> None:
        shapes = tuple(self.neighbors.shape), tuple(self.cells.shape)
        if not (len(shapes[0]) == len(shapes[1]) == 2 and shapes[0][0] == shapes[1][0]):
            msg = f"neighbors has shape {shapes[0]}, cells has shape {shapes[1]}; expected one row "
            raise ValueError(f"{msg}for every point in both")

    def __len__(self) -> int:
        return len(self.cells)

    @classmethod
    def collate(cls, parts: Sequence[Self], starts: Sequence[int]) -> Self:
        """See ``Inputs.collate``."""
        shifted = [part.neighbors + start for part, start in zip(parts, starts, strict=True)]
        cells, form = torch.cat([part.cells for part in parts]), parts[0].form
        planes = None
        # On a GPU, tables would be waited for here as much as in the network.
        if cells.device.type == "cpu" and form is not None and _all_alike(parts):
            lengths = torch.tensor([len(part) for part in parts])
            scan = torch.repeat_interleave(torch.arange(len(parts)), lengths)
            built = form.build(cells, scan, num_scans=len(parts))
            planes = PlaneTables.of(built, form, num_scans=len(parts))
        return cls(neighbors=torch.cat(shifted), cells=cells, form=form, planes=planes)


def _all_alike(parts: Sequence[WaffleInputs]) -> bool:
    return all(part.form == parts[0].form for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class WafflePreparer:
    """See ``Preparer``."""

    channels: tuple[Channel, ...]
    grid: GridConfig
    num_neighbors: int
    form: PlaneForm | None = None
    """What planes the network uses."""
    packs_tables: bool = False
    """Whether planes are built where samples are packed, and not by the network."""

    @property
    def field_of_view(self) -> FieldOfView:
        """See ``Preparer.field_of_view``."""
        return self.grid.field_of_view

    def with_batch_tables(self) -> Self:
        """See ``PacksTables``."""
        return replace(self, packs_tables=True)

    def prepare(self, coords: NDArray[np.floating], features: NDArray[np.float32]) -> WaffleInputs:
        """See ``Preparer.prepare``."""
        del features
        return WaffleInputs(
            neighbors=torch.from_numpy(nearest_neighbors(coords, self.num_neighbors)),
            cells=torch.from_numpy(cell_indices(coords, self.grid)),
            form=self._form_to_pack(),
        )

    def prepare_on_device(self, coords: Tensor, features: Tensor) -> WaffleInputs:
        """See ``Preparer.prepare_on_device``; neighbours on the same distance in any order."""
        del features
        return WaffleInputs(
            neighbors=hash_neighbors(coords, self.num_neighbors),
            cells=cells_of_tensor(coords, self.grid),
            form=self._form_to_pack(),
        )

    def _form_to_pack(self) -> PlaneForm | None:
        return self.form if self.packs_tables else None


def build_planes(batch: Batch, grid: GridConfig, depth: int, flatten: Flatten) -> list[Plane]:
    """Tables of the grids that the first ``depth`` layers use: those of the batch, or built here.

    Raises:
        ValueError: If the batch was prepared for other grids.
    """
    inputs = own_inputs(batch, WaffleInputs)
    form = PlaneForm(sizes=grid.planes[:depth], flatten=flatten)
    found, expected = inputs.cells.shape[1], len(grid.planes)
    if found != expected:
        msg = f"the batch has the cells of {found} grids, this backbone needs {expected}"
        raise ValueError(msg)
    packed = inputs.planes
    if packed is not None:
        _check_sizes(packed.form.sizes, form.sizes)
        if packed.form == form and packed.num_scans == batch.num_scans:
            return packed.planes()
    return form.build(inputs.cells, batch.scan_index(), num_scans=batch.num_scans)


def _check_sizes(found: Sequence[Size], expected: Sequence[Size]) -> None:
    if any(has != wants for has, wants in zip(found, expected, strict=False)):
        shown = [" and ".join(f"{h} x {w}" for h, w in sizes) for sizes in (found, expected)]
        msg = (
            f"the batch has planes of {shown[0]} cells, this backbone needs {shown[1]}; "
            "prepare the samples with the grids of this backbone"
        )
        raise ValueError(msg)


def nearest_neighbors(points: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Every point and its ``k`` nearest others, the nearest first.

    Args:
        points: (M, 3) metres.
        k: Number of neighbours beside the point itself.

    Returns:
        (M, 1 + K) indices. The point itself comes first even where others lie on the same spot.
        With fewer than K other points the row is filled up with the point itself, whose
        difference to itself is zero. Points on exactly the same distance come in any order.
    """
    if not len(points):
        return np.zeros((0, 1 + k), dtype=np.int64)
    return search(points, k) if k and compiling() else nearest_by_scipy(points, k)


def cell_indices(coords: NDArray[np.floating], grid: GridConfig) -> NDArray[np.int64]:
    """Row-major cell of every point in the plane of every grid.

    Args:
        coords: (M, 3) metres, inside the field of view.
        grid: Field of view, axes and planes.

    Returns:
        (M, G) ``first * width + second``, where the plane is spanned by the axes that are not
        projected out, in increasing order.

    References:
        WaffleIron (ICCV 2023), section 3.2.
    """
    position = coords.astype(np.float64) - np.array(grid.fov_min)
    extent = np.array(grid.fov_max) - np.array(grid.fov_min)
    columns = []
    for axis, (height, width) in zip(grid.axes, grid.planes, strict=True):
        first, second = (other for other in range(3) if other != axis)
        row = (position[:, first] / (extent[first] / height)).astype(np.int64)
        column = (position[:, second] / (extent[second] / width)).astype(np.int64)
        columns.append(row * width + column)
    return np.stack(columns, axis=1)


def cells_of_tensor(coords: Tensor, grid: GridConfig) -> Tensor:
    """(M, G) ``cell_indices`` of (M, 3) points, on their device; the integers are the same.

    Divisors are tensors: a GPU multiplies by the reciprocal of a plain number, which may round
    otherwise.
    """
    low, high = _float64(grid.fov_min, coords.device), _float64(grid.fov_max, coords.device)
    position, extent = coords.double() - low, high - low
    columns = []
    for axis, size_hw in zip(grid.axes, grid.planes, strict=True):
        rest = [other for other in range(3) if other != axis]
        edge = extent[rest] / _float64(size_hw, coords.device)
        row, column = (position[:, rest] / edge).long().unbind(1)
        columns.append(row * size_hw[1] + column)
    return torch.stack(columns, 1)


def _float64(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)
