import numpy as np
import pytest
import torch

from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.inputs import cell_indices, cells_of_tensor
from lidistill.samples.augmentation import crop_mask, sphere_crop
from lidistill.samples.tensor_geometry import crop_tensor, sphere_crop_on_device
from lidistill.samples.voxels import first_of_voxels, voxel_permuted


def cloud(num_points, dtype=np.float32, spread=20.0):
    return np.random.default_rng(num_points).normal(0, spread, (num_points, 3)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_points", [0, 1, 5000])
@pytest.mark.parametrize("outlier", [1.0, 1e7], ids=["", "outlier"])
def test_voxels_choose_the_same_points_in_the_same_order(dtype, num_points, outlier):
    points = cloud(num_points, dtype, spread=1.0)
    points[:1] *= outlier
    permutation = np.random.default_rng(1).permutation(num_points)
    found = first_of_voxels(torch.from_numpy(points), 0.1, torch.from_numpy(permutation))
    np.testing.assert_array_equal(found.numpy(), voxel_permuted(points, 0.1, permutation))


@pytest.mark.parametrize("max_points", [50, 3000])
def test_the_limit_keeps_the_same_points_in_the_same_order(max_points):
    points = cloud(2000)
    found = sphere_crop_on_device(torch.from_numpy(points), 7, max_points)
    np.testing.assert_array_equal(found.numpy(), sphere_crop(points, 7, max_points))


def test_field_of_view_and_cells_are_the_same():
    grid, points = GridConfig(), cloud(5000, spread=40.0)
    inside = crop_tensor(torch.from_numpy(points), grid.field_of_view).numpy()
    np.testing.assert_array_equal(inside, crop_mask(points, grid.field_of_view))
    assert 0 < inside.sum() < len(points)
    found = cells_of_tensor(torch.from_numpy(points[inside]), grid).numpy()
    np.testing.assert_array_equal(found, cell_indices(points[inside], grid))
