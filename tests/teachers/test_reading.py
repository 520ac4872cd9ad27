"""Reading maps at pixels equals making them as large as the image."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lidistill.teachers import TeacherMaps, read_maps
from lidistill.teachers.base import Alignment


def random_maps(alignment: Alignment, *sizes: tuple[int, int]) -> TeacherMaps:
    draw = torch.Generator().manual_seed(0)
    return TeacherMaps(
        levels=tuple(torch.randn(2, 3 + i, *size, generator=draw) for i, size in enumerate(sizes)),
        alignment=alignment,
        strides=tuple(8.0 * (i + 1) for i in range(len(sizes))),
        origins=tuple(3.0 + i for i in range(len(sizes))),
    )


def every_pixel(height: int, width: int) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([columns, rows], dim=2).reshape(-1, 2).float()


@pytest.mark.parametrize("cells", [(4, 7), (1, 5), (1, 1)])
def test_corners_equal_bilinear_upsampling(cells: tuple[int, int]) -> None:
    size_hw = (24, 40)
    maps = random_maps("corners", cells)
    uv = every_pixel(*size_hw)
    large = F.interpolate(maps.levels[0], size=size_hw, mode="bilinear", align_corners=True)
    for view in range(2):
        read = read_maps(maps, torch.full((len(uv),), view), uv, size_hw, normalize=False)
        torch.testing.assert_close(read, large[view].flatten(1).T, rtol=1e-5, atol=1e-5)


def test_centers_equal_the_definition_and_stop_at_the_border() -> None:
    maps = random_maps("centers", (3, 5))
    level, stride, origin = maps.levels[0], maps.strides[0], maps.origins[0]
    uv = every_pixel(24, 40) + 0.25
    read = read_maps(maps, torch.ones(len(uv), dtype=torch.int64), uv, (24, 40), normalize=False)
    for pixel in range(0, len(uv), 37):
        column, row = (
            min(max((float(x) - origin) / stride, 0.0), cells - 1.0)
            for x, cells in zip(uv[pixel], (5, 3), strict=True)
        )
        expected = sum(
            max(0.0, 1 - abs(row - i)) * max(0.0, 1 - abs(column - j)) * level[1, :, i, j]
            for i in range(3)
            for j in range(5)
        )
        torch.testing.assert_close(read[pixel], expected, rtol=1e-4, atol=1e-5)


def test_levels_stand_side_by_side_each_of_unit_length() -> None:
    maps = random_maps("centers", (3, 5), (2, 2))
    view, uv = torch.tensor([0, 1, 1]), torch.tensor([[1.0, 2.0], [30.0, 9.0], [17.5, 4.0]])
    raw = read_maps(maps, view, uv, (24, 40), normalize=False)
    unit = read_maps(maps, view, uv, (24, 40), normalize=True)
    assert raw.shape == (3, 7)
    expected = torch.cat([F.normalize(raw[:, :3]), F.normalize(raw[:, 3:])], dim=1)
    torch.testing.assert_close(unit, expected)


def test_maps_that_were_taken_apart_join_again() -> None:
    maps = random_maps("centers", (3, 5), (2, 2))
    joined = TeacherMaps.join([maps.view(0), maps.view(1)])
    assert joined.num_views == 2
    for a, b in zip(maps.levels, joined.levels, strict=True):
        assert torch.equal(a, b)


def test_maps_of_different_teachers_do_not_join() -> None:
    with pytest.raises(ValueError, match="one teacher"):
        TeacherMaps.join([random_maps("centers", (3, 5)), random_maps("corners", (3, 5))])


def test_maps_whose_parts_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="do not agree"):
        TeacherMaps(
            levels=(torch.zeros(1, 2, 3, 3),), alignment="corners", strides=(8.0, 16.0), origins=()
        )


def test_no_pairs_give_no_features() -> None:
    maps = random_maps("corners", (3, 5), (2, 2))
    read = read_maps(
        maps, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2), (24, 40), normalize=True
    )
    assert read.shape == (0, 7)
