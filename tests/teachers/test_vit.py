"""Vision transformers as teachers: layers, tokens, families, names of weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.teachers import PATCH, original_state, write_colours, write_vit
from pydantic import ValidationError
from torch import Tensor

from lidistill.errors import ConfigError, FileFormatError
from lidistill.teachers import VitTeacherConfig
from lidistill.teachers.position_embedding import resample_position

SIZE = (2 * PATCH, 3 * PATCH)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_vit(tmp_path_factory.mktemp("dinov2")))


def images() -> Tensor:
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(4))


def test_several_layers_stand_side_by_side(folder: str) -> None:
    both = VitTeacherConfig(model=folder, layers=(1, -1)).build()
    first = VitTeacherConfig(model=folder, layers=(1,)).build()
    last = VitTeacherConfig(model=folder, layers=(3,)).build()
    assert both.num_channels == 64
    maps = both.maps(images())
    assert torch.equal(maps.levels[0], first.maps(images()).levels[0])
    assert torch.equal(maps.levels[1], last.maps(images()).levels[0])


def test_layers_that_are_not_needed_are_not_computed(folder: str) -> None:
    short = VitTeacherConfig(model=folder, layers=(1,)).build()
    whole = VitTeacherConfig(model=folder, layers=(3,)).build()
    num_parameters = [sum(p.numel() for p in t.network.parameters()) for t in (short, whole)]
    assert num_parameters[0] < 0.7 * num_parameters[1]


def test_the_final_norm_standardises_every_token(folder: str) -> None:
    raw = VitTeacherConfig(model=folder).build()
    normed = VitTeacherConfig(model=folder, final_norm=True).build()
    pixels = images()
    norm = raw.network.layernorm
    assert isinstance(norm, torch.nn.LayerNorm)
    torch.testing.assert_close(normed.tokens(pixels)[0], norm(raw.tokens(pixels)[0]))


def test_the_class_token_is_read_at_every_pixel(folder: str) -> None:
    teacher = VitTeacherConfig(model=folder, class_token=True).build()
    maps = teacher.maps(images())
    uv = torch.tensor([[0.0, 0.0], [17.0, 9.0], [41.0, 27.0]])
    features = teacher.read(maps, torch.zeros(3, dtype=torch.int64), uv, SIZE)
    assert features.shape == (3, 64)
    assert torch.equal(features[0, 32:], features[2, 32:])
    only = VitTeacherConfig(model=folder, class_token=True, patch_tokens=False).build()
    assert only.num_channels == 32
    assert torch.equal(only.maps(images()).levels[0], maps.levels[1])


def test_centers_put_a_patch_where_it_is(folder: str) -> None:
    teacher = VitTeacherConfig(model=folder, alignment="centers").build()
    maps = teacher.maps(images())
    middle = torch.tensor([[PATCH + 6.5, 6.5]])
    features = teacher.read(maps, torch.ones(1, dtype=torch.int64), middle, SIZE)
    torch.testing.assert_close(features[0], maps.levels[0][1, :, 0, 1])


@pytest.mark.parametrize(
    ("family", "settings", "patch"),
    [
        ("Dinov2WithRegisters", {"num_register_tokens": 4}, 14),
        ("DINOv3ViT", {"num_register_tokens": 4, "intermediate_size": 64, "patch_size": 16}, 16),
        ("CLIPVision", {"intermediate_size": 64, "image_size": 64, "patch_size": 16}, 16),
        ("SiglipVision", {"intermediate_size": 64, "image_size": 64, "patch_size": 16}, 16),
        ("ViT", {"intermediate_size": 64, "image_size": 64, "patch_size": 16}, 16),
        ("Beit", {"intermediate_size": 64, "image_size": 64, "patch_size": 16}, 16),
        ("Data2VecVision", {"intermediate_size": 64, "image_size": 64, "patch_size": 16}, 16),
        ("IJepa", {"intermediate_size": 64, "image_size": 64, "patch_size": 16}, 16),
    ],
)
def test_other_families_go_the_same_road(
    tmp_path: Path, family: str, settings: dict[str, object], patch: int
) -> None:
    model = str(write_vit(tmp_path, family, **settings))
    write_colours(tmp_path)
    normed = family not in {"Beit", "Data2VecVision"}  # these have no final norm
    teacher = VitTeacherConfig(model=model, layers=(2, 3), final_norm=normed).build()
    image = torch.rand(1, 3, 2 * patch, 5 * patch)
    maps = teacher.maps(image)
    assert [level.shape for level in maps.levels] == [(1, 32, 2, 5)] * 2
    changed = image.clone()
    changed[:, :, :patch, 4 * patch :] = 1 - changed[:, :, :patch, 4 * patch :]
    difference = (teacher.maps(changed).levels[0] - maps.levels[0]).norm(dim=1)[0]
    assert int(difference.argmax()) == 4


_OTHER_NETWORKS: dict[str, dict[str, object]] = {
    "Swin": {"patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2]},
    "Hiera": {"embed_dim": 16, "image_size": [64, 64], "depths": [1] * 4, "num_heads": [1] * 4},
    "ResNet": {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1]},
    "ViTMAE": {"intermediate_size": 64, "image_size": 64, "patch_size": 16},
    "Bert": {"intermediate_size": 64, "vocab_size": 50},
}


@pytest.mark.parametrize("family", _OTHER_NETWORKS)
def test_a_network_that_is_no_plain_vit_is_refused_in_one_line(tmp_path: Path, family: str) -> None:
    write_vit(tmp_path, family, small=False, **_OTHER_NETWORKS[family])
    write_colours(tmp_path)
    with pytest.raises(ConfigError, match="is no plain vision transformer") as error:
        VitTeacherConfig(model=str(tmp_path)).build()
    assert "\n" not in str(error.value)


def test_a_family_without_class_token_says_so(tmp_path: Path) -> None:
    settings: dict[str, object] = {"intermediate_size": 64, "image_size": 64, "patch_size": 16}
    model = str(write_vit(tmp_path, "SiglipVision", **settings))
    with pytest.raises(ConfigError, match="class_token=false"):
        VitTeacherConfig(model=model, class_token=True).build()


def test_a_name_follows_what_no_weight_shows(tmp_path: Path) -> None:
    """Or a cache would give the features of other settings."""
    model = write_vit(tmp_path, "Dinov2", layer_norm_eps=1e-6)
    name = VitTeacherConfig(model=str(model)).build().name
    assert name.endswith("precision=fp32")  # as versions before called it
    values = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(values | {"hidden_dropout_prob": 0.5}))
    assert VitTeacherConfig(model=str(model)).build().name == name
    (model / "config.json").write_text(json.dumps(values | {"layer_norm_eps": 1e-3}))
    changed = VitTeacherConfig(model=str(model)).build()
    assert changed.name == f"{name} layer_norm_eps=0.001"
    (model / "config.json").write_text(json.dumps(values | {"hidden_act": "relu"}))
    assert VitTeacherConfig(model=str(model)).build().name == f"{name} hidden_act=relu"


def test_a_norm_that_does_nothing_is_none(tmp_path: Path) -> None:
    """BEiT norms the mean over patches instead, in its pooler."""
    settings: dict[str, object] = {"intermediate_size": 64, "image_size": 64, "patch_size": 16}
    model = str(write_vit(tmp_path, "Beit", use_mean_pooling=True, **settings))
    with pytest.raises(ConfigError, match="has no final norm"):
        VitTeacherConfig(
            model=model, final_norm=True, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
        ).build()


def test_a_position_embedding_of_dinov2_is_for_dinov2(tmp_path: Path) -> None:
    settings: dict[str, object] = {"intermediate_size": 64, "image_size": 64, "patch_size": 16}
    model = str(write_vit(tmp_path, "SiglipVision", **settings))
    with pytest.raises(ConfigError, match="leave it at 'auto'"):
        VitTeacherConfig(model=model, position_embedding="scalr").build()


@pytest.mark.parametrize("mode", ["scalr", "scalr-plus"])
def test_positions_of_the_training_size_stay_as_they_are(mode: str) -> None:
    position = torch.randn(1, 26, 8)
    assert torch.equal(resample_position(position, (5, 5), mode), position)  # type: ignore[arg-type]


def test_ways_to_resample_positions_differ_in_the_name_and_the_maps(folder: str) -> None:
    ways = ("scalr", "scalr-plus", "transformers")
    teachers = [VitTeacherConfig(model=folder, position_embedding=way).build() for way in ways]
    assert len({teacher.name for teacher in teachers}) == 3
    maps = [teacher.maps(images()).levels[0] for teacher in teachers]
    assert not torch.equal(maps[0], maps[1])
    assert VitTeacherConfig(model=folder).build().name == teachers[0].name


@pytest.mark.parametrize("wrapper", ["", "state_dict", "model_state", "ema", "network", "backbone"])
@pytest.mark.parametrize(
    "prefix", ["", "model.", "model.backbone.", "image_encoder.", "teacher.backbone._fsdp_module."]
)
def test_what_training_scripts_put_around_a_network_is_taken_off(
    tmp_path: Path, wrapper: str, prefix: str
) -> None:
    torch.save(original_state(), tmp_path / "plain.pth")
    state: dict[str, Any] = {prefix + name: value for name, value in original_state().items()}
    if prefix == "model.":
        state["head.weight"] = torch.zeros(2, 2)  # beside the network
    content = {wrapper: state, "epoch": 3, "args": {}} if wrapper else state | {"epoch": 3}
    torch.save(content, tmp_path / "w.pth")
    images = torch.rand(1, 3, 2 * PATCH, 2 * PATCH)
    plain, found = (
        VitTeacherConfig(model=str(tmp_path / name)).build().maps(images).levels[0]
        for name in ("plain.pth", "w.pth")
    )
    assert torch.equal(found, plain)


@pytest.mark.parametrize("registers", [0, 4])
@pytest.mark.parametrize("swiglu", [False, True])
def test_names_of_the_original_code_and_of_timm_load_alike(
    tmp_path: Path, registers: int, swiglu: bool
) -> None:
    state = original_state(registers=registers, swiglu=swiglu)
    state["pos_embed"][:, 0] = 0  # timm's register variants store none for the class token
    timm = {
        name.replace("register_tokens", "reg_token")
        .replace("mlp.w12", "mlp.fc1")
        .replace("mlp.w3", "mlp.fc2"): tensor
        for name, tensor in state.items()
        if name != "mask_token"
    }
    if registers:
        timm["pos_embed"] = timm["pos_embed"][:, 1:]
    wrapped = {"teacher": {f"module.backbone.{name}": tensor for name, tensor in state.items()}}
    found = []
    for i, content in enumerate((state, timm, wrapped)):
        torch.save(content, tmp_path / f"{i}.pth")
        teacher = VitTeacherConfig(model=str(tmp_path / f"{i}.pth"), num_heads=2).build()
        found.append(teacher.tokens(images())[0])
    assert found[0].shape == (2, 1 + registers + 6, 32)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_an_unknown_tensor_is_named(tmp_path: Path) -> None:
    torch.save(original_state() | {"blocks.0.adapter.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(FileFormatError, match=r"blocks\.0\.adapter\.weight"):
        VitTeacherConfig(model=str(tmp_path / "w.pth")).build()


def test_a_lacking_tensor_is_named(tmp_path: Path) -> None:
    state = original_state()
    del state["blocks.1.norm2.bias"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(FileFormatError, match=r"layer\.1\.norm2\.bias"):
        VitTeacherConfig(model=str(tmp_path / "w.pth"), num_heads=2).build()


def test_half_a_network_is_refused(tmp_path: Path) -> None:
    torch.save({"cls_token": torch.zeros(1, 1, 32)}, tmp_path / "w.pth")
    with pytest.raises(FileFormatError, match="not a whole DINOv2"):
        VitTeacherConfig(model=str(tmp_path / "w.pth")).build()


def test_heads_that_do_not_divide_the_width_are_refused(tmp_path: Path) -> None:
    torch.save(original_state(), tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="set num_heads"):
        VitTeacherConfig(model=str(tmp_path / "w.pth"), num_heads=5).build()


@pytest.mark.parametrize("layers", [(4,), (-4,), (1, 7)])
def test_layers_beyond_the_network_are_refused(folder: str, layers: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="take 1 to 3"):
        VitTeacherConfig(model=folder, layers=layers).build()


@pytest.mark.parametrize(
    "settings", [{"layers": (0,)}, {"layers": ()}, {"layers": (1, 1)}, {"patch_tokens": False}]
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VitTeacherConfig.model_validate(settings)


def test_one_layer_given_twice_by_different_numbers_is_refused(folder: str) -> None:
    with pytest.raises(ConfigError, match="twice"):
        VitTeacherConfig(model=folder, layers=(3, -1)).build()
