from itertools import pairwise

import numpy as np
import pytest
from golden_cases import golden_files, read_tensors

from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.samples.augmentation import (
    Augmentation,
    AugmentationConfig,
    crop_mask,
    flip,
    rotate,
    scale,
    sphere_crop,
)
from lidistill.samples.voxels import voxel_permuted

FILES = golden_files("transforms/*.safetensors")
PLANES = {"rot_dim0": (1, 2), "rot_dim1": (0, 2), "rot_dim2": (0, 1), "rot_dim6": (4, 5)}
CLOSE = {"rtol": 1e-6, "atol": 1e-5}


def read(file):
    tensors, meta = read_tensors(file)
    return {name: tensor.numpy() for name, tensor in tensors.items()}, meta


def drawn(meta, name):
    """Values of a transform's draws, in order, each with its kind."""
    return [(kind, values[0]) for kind, values in meta[name]]


def angle_of(number):
    return (2 * number - 1) * np.pi


def factor_of(number):
    return 1 + (2 * number - 1) * AugmentationConfig().scale_range


def take_flip(draws):
    """Axis of a flip that is applied where its first number says so; the rest of the draws."""
    (_, number), *rest = draws
    if number >= AugmentationConfig().flip_probability:
        return None, rest
    (kind, axis), *rest = rest
    assert kind == "randint"
    return axis, rest


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", PLANES)
def test_rotations_are_the_same(file, name):
    tensors, meta = read(file)
    [(_, number)] = drawn(meta, name)
    turned = rotate(tensors["in.pc8"], angle_of(number), PLANES[name])
    np.testing.assert_allclose(turned, tensors[f"out.{name}"], **CLOSE)


@pytest.mark.parametrize("file", FILES)
def test_flips_are_the_same(file):
    tensors, meta = read(file)
    [(_, axis)] = drawn(meta, "flip")
    np.testing.assert_array_equal(flip(tensors["in.pc8"], axis), tensors["out.flip"])


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("name", "columns"), [("scale_coord", slice(3)), ("scale_feat", slice(4, 8))]
)
def test_scales_are_the_same(file, name, columns):
    tensors, meta = read(file)
    [(_, number)] = drawn(meta, name)
    scaled = tensors["in.pc8"].copy()
    scaled[:, columns] = scale(scaled[:, columns], factor_of(number))
    np.testing.assert_allclose(scaled, tensors[f"out.{name}"], **CLOSE)


@pytest.mark.parametrize("file", FILES)
def test_the_point_limit_keeps_the_same_points_in_the_same_order(file):
    tensors, meta = read(file)
    points, expected = tensors["in.pc8"][:, :3], tensors["out.limit.idx"]
    [(_, centre)] = drawn(meta, "limit")
    found = sphere_crop(points, centre, len(expected))
    np.testing.assert_array_equal(found, expected)
    distance = np.linalg.norm(points[found] - points[centre], axis=1)
    assert all(near <= far for near, far in pairwise(distance))


@pytest.mark.parametrize("file", FILES)
def test_voxels_of_a_permuted_cloud_keep_the_same_points(file):
    tensors, _ = read(file)
    cloud, expected = tensors["in.pc8"], tensors["out.voxelize_random"]
    # The voxels' size is not written down; only the right one leaves these points in this order.
    results = [
        cloud[voxel_permuted(cloud[:, :3], size, tensors["draw.voxelize_random"])]
        for size in np.arange(1, 41) * 0.05
    ]
    assert sum(np.array_equal(result, expected) for result in results) == 1


@pytest.mark.parametrize("file", FILES)
def test_the_crop_keeps_the_same_points_in_the_same_order(file):
    tensors, _ = read(file)
    cloud, expected = tensors["in.pc8"], tensors["out.crop"]
    # The limits are not written down either; the tightest box around what is left does the same.
    low, high = expected[:, :3].min(axis=0) - 1e-3, expected[:, :3].max(axis=0) + 1e-3
    grid = GridConfig(fov_min=tuple(low.tolist()), fov_max=tuple(high.tolist()))
    np.testing.assert_array_equal(cloud[crop_mask(cloud[:, :3], grid.field_of_view)], expected)


@pytest.mark.parametrize("file", FILES)
def test_the_augmentation_of_distillation_is_the_same(file):
    tensors, meta = read(file)
    cloud, expected = tensors["in.pc8"], tensors["out.distill_aug"]
    (_, angle), *draws = drawn(meta, "distill_aug")
    axis, [(_, factor)] = take_flip(draws)
    augmentation = Augmentation(angle=angle_of(angle), flip_axis=axis, factor=factor_of(factor))
    augmented = augmentation.apply(cloud[:, :3])
    np.testing.assert_allclose(augmented.coords, expected[:, :3], **CLOSE)
    np.testing.assert_array_equal(augmented.channels[:, :3], augmented.coords)


@pytest.mark.parametrize("file", FILES)
def test_the_augmentation_of_fine_tuning_is_the_same(file):
    tensors, meta = read(file)
    cloud, expected = tensors["in.pc8"], tensors["out.finetune_aug"]
    (_, angle), (_, feature_angle), *draws = drawn(meta, "finetune_aug")
    axis, [(_, factor)] = take_flip(draws)
    augmentation = Augmentation(
        angle=angle_of(angle),
        flip_axis=axis,
        factor=factor_of(factor),
        feature_angle=angle_of(feature_angle),
    )
    augmented = augmentation.apply(cloud[:, :3])
    np.testing.assert_allclose(augmented.coords, expected[:, :3], **CLOSE)
    np.testing.assert_allclose(augmented.channels, expected[:, 4:], **CLOSE)
