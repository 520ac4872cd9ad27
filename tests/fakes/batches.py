"""Small random packed batches for tests of networks."""

import torch

from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.inputs import WaffleInputs, WafflePreparer
from lidistill.records import Batch
from lidistill.samples.preparer import CHANNELS

PUBLISHED_GRID = GridConfig()
SMALL_GRID = GridConfig(planes=((12, 10), (12, 4), (10, 4)))


def waffle(grid: GridConfig = PUBLISHED_GRID, num_neighbors: int = 16) -> WafflePreparer:
    """What makes the inputs of a WaffleIron, with the published grid where none is given."""
    return WafflePreparer(channels=CHANNELS, grid=grid, num_neighbors=num_neighbors)


def opened(item):  # type: ignore[no-untyped-def]
    """The inputs of a sample or a batch for a WaffleIron, with all that they hold."""
    return item.inputs


def random_batch(
    lengths: tuple[int, ...],
    *,
    seed: int = 0,
    grid: GridConfig = SMALL_GRID,
    channels: int = 5,
    num_neighbors: int = 4,
) -> Batch:
    """Points in random cells, corners of the grid included, with random neighbours."""
    rng = torch.Generator().manual_seed(seed)
    neighbors, start = [], 0
    for length in lengths:
        others = torch.randint(length, (length, num_neighbors), generator=rng)
        neighbors.append(torch.cat([torch.arange(length)[:, None], others], dim=1) + start)
        start += length
    cells = [torch.randint(h * w, (start,), generator=rng) for h, w in grid.planes]
    for column, (height, width) in zip(cells, grid.planes, strict=True):
        column[0], column[-1] = 0, height * width - 1
    return Batch(
        offsets=torch.tensor((0, *lengths)).cumsum(0),
        features=torch.randn(start, channels, generator=rng),
        inputs=WaffleInputs(neighbors=torch.cat(neighbors), cells=torch.stack(cells, dim=1)),
    )
