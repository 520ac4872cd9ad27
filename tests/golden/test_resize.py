import re
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import golden_files, read_tensors

from lidistill.images.files import resize, resize_float
from lidistill.samples.pairing import resize_pixels

FILES = golden_files("resize_pairing/*.safetensors")
GRID = 8  # of the cases that hold every eighth pixel only


@pytest.mark.parametrize("file", FILES)
def test_images_are_resized_as_the_reference_does(file: Path) -> None:
    tensors, meta = read_tensors(file)
    compared = 0
    for name, expected in tensors.items():
        if not (match := re.fullmatch(r"(.+)\.resized_antialias([01])(_f16grid)?", name)):
            continue
        case, antialias, grid = match.groups()
        image = tensors[f"{case}.image_u8"].permute(2, 0, 1)
        size_hw = tuple(meta[case]["dst"])
        found = resize_float(image, size_hw, antialias == "1")
        whole = resize(image, size_hw, antialias == "1") / 255
        if grid:
            found, whole = found[:, ::GRID, ::GRID], whole[:, ::GRID, ::GRID]
        torch.testing.assert_close(found[None], expected, rtol=0, atol=1e-5)
        assert (whole[None] - expected).abs().max() <= 1.0 / 255
        compared += 1
    assert compared > 0


@pytest.mark.parametrize("file", FILES)
def test_pairs_move_with_the_image_as_in_the_reference(file: Path) -> None:
    tensors, meta = read_tensors(file)
    cases = [name.removesuffix(".pairing_in") for name in tensors if name.endswith(".pairing_in")]
    assert cases
    for case in cases:
        row_col = tensors[f"{case}.pairing_in"][:, 1:].numpy()
        found = resize_pixels(row_col[:, ::-1], meta[case]["src"], meta[case]["dst"])
        expected = tensors[f"{case}.pairing_out"][:, 1:].numpy()
        np.testing.assert_array_equal(found[:, ::-1].astype(np.int64), expected)
