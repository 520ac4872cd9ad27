import numpy as np
import pytest
import torch

from lidistill.sparse.cells import cell_keys, coarser, unique_cells
from lidistill.sparse.kernel_map import submanifold_map

CELLS = torch.tensor([[0, 3, -2], [-1, 0, 0], [0, 3, -2], [0, -4, 9], [-1, 0, 0]])


def test_each_cell_comes_once_in_lexicographic_order():
    found = unique_cells(CELLS)
    expected, first, inverse = np.unique(CELLS, axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(found.cells, expected)
    np.testing.assert_array_equal(found.first, first)
    np.testing.assert_array_equal(found.inverse, inverse)


def test_keys_sort_like_their_cells_far_apart_too():
    generator = torch.Generator().manual_seed(0)
    cells = torch.randint(-400_000, 400_000, (500, 3), generator=generator)
    order = cell_keys(cells, margin=2).keys.argsort()
    assert cells[order].tolist() == sorted(cells.tolist())


@pytest.mark.parametrize("far", [1 << 40, 1 << 62])
def test_cells_too_far_apart_are_one_clear_line(far):
    cells = torch.tensor([[0, 0, 0], [far, far, 1], [-far, 0, 0]])
    with pytest.raises(ValueError, match="too many to be numbered"):
        unique_cells(cells)


def test_coarse_cells_round_down_below_zero():
    cells = torch.tensor([[1, -1, -2, -3], [1, 0, 1, 2]])
    assert coarser(cells).tolist() == [[1, -1, -1, -2], [1, 0, 0, 1]]


def test_a_cell_given_twice_is_refused():
    with pytest.raises(ValueError, match="unique_cells"):
        submanifold_map(CELLS, 3)


def test_an_even_kernel_has_no_centre():
    with pytest.raises(ValueError, match="odd"):
        submanifold_map(CELLS[:2], 2)
