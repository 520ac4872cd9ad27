"""The authors' DINOv2 and its use as a teacher, original names and timm's."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from golden_cases import golden_files, read_tensors
from torch import Tensor

from lidistill.teachers import VitTeacherConfig
from lidistill.teachers.base import standardize
from lidistill.teachers.families import IMAGENET_MEAN, IMAGENET_STD
from lidistill.teachers.position_embedding import resample_position
from lidistill.teachers.vit import VitTeacher

TOLERANCE = 1e-4


def relative_error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).norm() / expected.norm())


def build_teacher(tensors: dict[str, Tensor], folder: Path, **settings: object) -> VitTeacher:
    state = {k.removeprefix("sd."): v for k, v in tensors.items() if k.startswith("sd.")}
    file = folder / "weights.pth"
    torch.save(state, file)
    return VitTeacherConfig.model_validate({"model": str(file), **settings}).build()


def image_of(tensors: dict[str, Tensor], tag: str, height: int) -> Tensor:
    """The stored image, or the small one enlarged by whole cells."""
    if f"{tag}image" in tensors:
        return tensors[f"{tag}image"]
    small = tensors[f"{tag}image_small"]
    return F.interpolate(small, scale_factor=height // small.shape[2], mode="nearest")


def sizes_of(tensors: dict[str, Tensor]) -> list[str]:
    sizes = sorted({k.split(".")[0] for k in tensors if k.endswith(".x_pre_norm")})
    assert sizes
    return sizes


@pytest.mark.parametrize("file", golden_files("dinov2/vit_*.safetensors"))
def test_tokens_equal_those_of_the_original_code(file: Path, tmp_path: Path) -> None:
    tensors, meta = read_tensors(file)
    heads = meta["heads"]
    plain = build_teacher(tensors, tmp_path, num_heads=heads)
    normed = build_teacher(tensors, tmp_path, num_heads=heads, final_norm=True)
    for size in sizes_of(tensors):
        height, width = (int(side) for side in size.split("x"))
        pixels = image_of(tensors, f"{size}.", height)
        assert pixels.shape[2:] == (height, width)
        expected = tensors[f"{size}.x_pre_norm"]
        assert relative_error(plain.tokens(pixels)[0], expected) <= TOLERANCE
        expected = tensors[f"{size}.x"]
        found = normed.tokens(pixels)[0][:, : expected.shape[1]]
        assert relative_error(found, expected) <= TOLERANCE


@pytest.mark.parametrize("file", golden_files("dinov2/vit_*.safetensors"))
def test_the_position_embedding_is_resampled_as_in_the_original_code(file: Path) -> None:
    tensors, meta = read_tensors(file)
    patch = meta["patch"]
    assert isinstance(patch, int)
    for size in sizes_of(tensors):
        height, width = (int(side) // patch for side in size.split("x"))
        found = resample_position(tensors["sd.pos_embed"], (height, width), "scalr")
        assert relative_error(found, tensors[f"{size}.pos_embed_interp"]) <= TOLERANCE


@pytest.mark.parametrize("file", golden_files("dinov2/vit_*.safetensors"))
def test_features_at_pixels_equal_those_of_the_upsampled_map(file: Path, tmp_path: Path) -> None:
    tensors, meta = read_tensors(file)
    teacher = build_teacher(tensors, tmp_path, num_heads=meta["heads"])
    image = tensors["teacher.image"]
    num_views, _, height, width = image.shape
    maps = teacher.maps(image)
    rows_columns = tensors["teacher.pixels_row_col"]
    step = 7
    grid = torch.cartesian_prod(torch.arange(0, height, step), torch.arange(0, width, step))
    every = tensors["teacher.features_every7"].flatten(2)
    for expected, pixels in ((tensors["teacher.features_at_pixels"], rows_columns), (every, grid)):
        uv = pixels.flip(1).float()
        for view in range(num_views):
            index = torch.full((len(uv),), view)
            found = teacher.read(maps, index, uv, (height, width))
            assert relative_error(found, expected[view].T) <= TOLERANCE


@pytest.mark.parametrize("file", golden_files("dinov2/timm_*.safetensors"))
def test_maps_equal_those_of_the_improved_recipe(file: Path, tmp_path: Path) -> None:
    tensors, meta = read_tensors(file)
    height, width = meta["size"]  # type: ignore[misc]
    image = image_of(tensors, "", height)
    assert image.shape[2:] == (height, width)
    settings = {"num_heads": meta["heads"], "position_embedding": "scalr-plus"}
    patch = tensors["sd.patch_embed.proj.weight"].shape[-1]
    position = resample_position(
        tensors["sd.pos_embed"], (height // patch, width // patch), "scalr-plus"
    )
    assert relative_error(position, tensors["pos_embed_resampled"]) <= TOLERANCE
    for name, final_norm in (("x_pre_norm_map_every4", False), ("x_norm_map_every4", True)):
        teacher = build_teacher(tensors, tmp_path, final_norm=final_norm, **settings)
        assert (teacher.mean, teacher.std) == (IMAGENET_MEAN, IMAGENET_STD)
        level = teacher.maps(image).levels[0]
        assert relative_error(level[:, :, ::4, ::4], tensors[name]) <= TOLERANCE


def test_bytes_and_floats_are_standardised_alike() -> None:
    image = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16)
    found = standardize(image, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    same = standardize(image.float() / 255, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    torch.testing.assert_close(found, same)
    assert float(found[0, 0, 0, 0]) == pytest.approx(-0.485 / 0.229)
