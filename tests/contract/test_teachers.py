"""What every kind of teacher must do, over the whole table."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.teachers import write_pyramid, write_vit
from fakes.tiny_teachers import TINY
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from lidistill.errors import ConfigError
from lidistill.teachers import TEACHERS, FrozenTeacher, Teacher, TeacherConfig

Settings = dict[str, Any]


def _vit(folder: Path, seed: int) -> Settings:
    return {"kind": "vit", "model": str(write_vit(folder / f"vit{seed}", seed=seed))}


def _pyramid(folder: Path, seed: int, kind: str = "efficientnet-lite2") -> Settings:
    pytest.importorskip("efficientnet_lite_pytorch")
    weights = write_pyramid(folder / f"{seed}.pth", seed, kind)
    return {"kind": kind, "weights": str(weights)}


def _tiny(folder: Path, seed: int, kind: str, title: str) -> Settings:
    tiny = TINY[title]
    path = write_vit(folder / f"{kind}{seed}", tiny.family, seed, small=False, **tiny.settings)
    return {"kind": kind, "model": str(path)}


SMALL: dict[str, Callable[[Path, int], Settings]] = {
    "vit": _vit,
    "convnext": partial(_tiny, kind="convnext", title="DINOv3 ConvNeXt"),
    "sam": partial(_tiny, kind="sam", title="Segment Anything 2"),
    "efficientnet-lite0": partial(_pyramid, kind="efficientnet-lite0"),
    "efficientnet-lite2": _pyramid,
}
SIZES = {"vit": (28, 56)} | dict.fromkeys(set(SMALL) - {"vit"}, (64, 96))


@pytest.fixture(scope="module", params=sorted(TEACHERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def settings(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return SMALL[kind](tmp_path_factory.mktemp("weights"), 0)


def build(settings: Settings, **changes: object) -> Teacher:
    config: Any = TypeAdapter(TeacherConfig).validate_python({**settings, **changes})
    teacher = config.build()
    assert isinstance(teacher, Teacher)
    return teacher


def camera_images(kind: str, num_views: int = 3) -> Tensor:
    draw = torch.Generator().manual_seed(5)
    shape = (num_views, 3, *SIZES[kind])
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)


def test_features_of_pixels_have_the_announced_channels(kind: str, settings: Settings) -> None:
    teacher = build(settings)
    maps = teacher.maps(camera_images(kind))
    assert maps.num_views == 3
    assert [level.shape[1] for level in maps.levels] == [g.num_channels for g in teacher.groups]
    assert sum(group.num_channels for group in teacher.groups) == teacher.num_channels
    assert [level.shape[2:] == (1, 1) for level in maps.levels] == [
        group.whole_image for group in teacher.groups
    ]
    uv = torch.tensor([[0.0, 0.0], [20.0, 11.0], [55.0, 27.0]])
    features = teacher.read(maps, torch.tensor([0, 2, 1]), uv, SIZES[kind])
    assert features.shape == (3, teacher.num_channels)
    assert features.dtype == torch.float32
    assert features.isfinite().all()


def test_a_teacher_is_frozen(kind: str, settings: Settings) -> None:
    teacher = build(settings)
    assert isinstance(teacher, FrozenTeacher)
    assert not isinstance(teacher, torch.nn.Module)
    assert not teacher.network.training
    assert not any(parameter.requires_grad for parameter in teacher.network.parameters())
    maps = teacher.maps(camera_images(kind, 1))
    assert not any(level.requires_grad for level in maps.levels)


def test_views_do_not_influence_each_other(kind: str, settings: Settings) -> None:
    images = camera_images(kind)
    together = build(settings).maps(images)
    one_by_one = build(settings, batch_size=1).maps(images)
    alone = build(settings).maps(images[1:2])
    for a, b, c in zip(together.levels, one_by_one.levels, alone.levels, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(a[1:2], c, rtol=1e-4, atol=1e-5)


def test_a_image_that_would_be_cropped_is_an_error(kind: str, settings: Settings) -> None:
    teacher = build(settings)
    height, width = SIZES[kind]
    with pytest.raises(ConfigError, match="multiples of"):
        teacher.maps(torch.zeros(1, 3, height + 1, width, dtype=torch.uint8))
    with pytest.raises(ConfigError, match=f"set the image size to {height} x {width}"):
        teacher.check_size((height, width - 3))


def test_the_name_follows_the_weights(kind: str, settings: Settings, tmp_path: Path) -> None:
    name = build(settings).name
    assert build(settings).name == name
    assert build(SMALL[kind](tmp_path, 1)).name != name
    assert build(settings, precision="bf16").name != name


def test_sixteen_bits_come_close_to_thirty_two(kind: str, settings: Settings) -> None:
    images = camera_images(kind)
    exact, coarse = (build(settings, precision=p).maps(images) for p in ("fp32", "bf16"))
    for a, b in zip(exact.levels, coarse.levels, strict=True):
        assert b.dtype == torch.float32
        assert 0 < float((a - b).norm() / a.norm()) < 0.05


def test_an_unknown_setting_is_refused(settings: Settings) -> None:
    with pytest.raises(ValidationError, match="colour"):
        build(settings, colour="red")


def test_a_configuration_survives_json(kind: str, settings: Settings) -> None:
    config: Any = TypeAdapter(TEACHERS[kind]).validate_python(settings)
    assert TypeAdapter(TeacherConfig).validate_json(config.model_dump_json()) == config
