"""Index tables of a batch on every grid of a backbone."""

from lidistill.backbones.waffleiron.flatten_inflate import Flatten, Plane, build_plane
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.inputs import waffle_inputs
from lidistill.records import Batch


def build_planes(batch: Batch, grid: GridConfig, depth: int, flatten: Flatten) -> list[Plane]:
    """Tables of the grids that the first ``depth`` layers use, built once per batch.

    Raises:
        ValueError: If the batch was prepared for another number of grids.
    """
    cells = waffle_inputs(batch).cells
    found, expected = cells.shape[1], len(grid.planes)
    if found != expected:
        msg = f"the batch has the cells of {found} grids, this backbone needs {expected}"
        raise ValueError(msg)
    scan = batch.scan_index()
    return [
        build_plane(cells[:, i], scan, num_scans=batch.num_scans, size_hw=size, flatten=flatten)
        for i, size in enumerate(grid.planes[:depth])
    ]
