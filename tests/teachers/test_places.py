"""Files and folders of weights as they lie about: wrapped by a training, of timm, of SAM."""

import importlib
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.teachers import original_state, write_colours, write_vit
from fakes.tiny_teachers import TINY
from safetensors.torch import load_file, save_file
from torch import Tensor

from lidistill.errors import ConfigError, FileFormatError, WeightsNotFoundError
from lidistill.teachers import VitTeacherConfig
from lidistill.teachers.convnext import ConvNextTeacherConfig
from lidistill.teachers.sam import SamTeacherConfig

State = dict[str, Tensor]


def below(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


HEADS = below("dino_head.", {"mlp.0.weight": torch.ones(2, 2)})
WRAPPED: dict[str, Callable[[State], Any]] = {
    "several GPUs": lambda s: {"state_dict": below("module.", s)},
    "compiled": lambda s: below("_orig_mod.", s),
    "averaged": lambda s: {"model_ema": s, "epoch": 3},
    "of a tutorial": lambda s: {"model_state_dict": s, "epoch": 3},
    "of a self-distillation": lambda s: {"teacher": below("backbone.", s) | HEADS},
    "a whole self-distillation": lambda s: {
        "model": below("teacher.", below("backbone.", s) | HEADS)
        | below("student.backbone.", {name: -tensor for name, tensor in s.items()})
        | {"dino_loss.center": torch.ones(1, 2)}
    },
}


@pytest.mark.parametrize("how", WRAPPED)
def test_what_a_training_puts_around_a_network_is_taken_off(tmp_path: Path, how: str) -> None:
    state = original_state()
    torch.save(state, tmp_path / "plain.pth")
    torch.save(WRAPPED[how](state), tmp_path / "wrapped.pth")
    plain, wrapped = (
        VitTeacherConfig(model=str(tmp_path / name), num_heads=2).build()
        for name in ("plain.pth", "wrapped.pth")
    )
    assert wrapped.name == plain.name


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("image_encoder.trunk.blocks.0.norm1.weight", "SAM 2"),
        ("visual.transformer.resblocks.0.attn.in_proj_weight", "CLIP"),
        ("vision_model.encoder.layers.0.mlp.fc1.weight", "network in the names of transformers"),
        ("radio_model.model.blocks.0.norm1.weight", "C-RADIO"),
        ("_conv_stem.weight", "EfficientNet"),
        ("layer1.0.conv1.weight", "ResNet"),
        ("blocks.0.attn.qkv.weight", "vision transformer without the layer scale of DINOv2"),
    ],
)
def test_a_file_of_another_family_is_named(tmp_path: Path, name: str, what: str) -> None:
    torch.save({name: torch.zeros(4), "cls_token": torch.zeros(1, 1, 4)}, tmp_path / "w.pth")
    model = str(tmp_path / "w.pth")
    for config in (VitTeacherConfig, ConvNextTeacherConfig, SamTeacherConfig):
        with pytest.raises(
            FileFormatError, match=rf"w\.pth holds an? {what}.*as transformers saves"
        ):
            config(model=model).build()  # type: ignore[operator]


def tiny_sam(folder: Path) -> Path:
    tiny = TINY["Segment Anything"]
    return write_vit(folder, tiny.family, small=False, **tiny.settings)


SAM_NAMES = {
    "original": ("image_encoder.", "lin"),
    "timm": ("", "fc"),
}


def renamed_sam(folder: Path, names: str) -> State:
    prefix, linear = SAM_NAMES[names]
    changes = (
        (r"^vision_encoder\.", prefix),
        (r"projection", "proj"),
        (r"(^|\.)layers\.", r"\1blocks."),
        (r"conv1", "0"),
        (r"neck\.layer_norm1", "neck.1"),
        (r"conv2", "2"),
        (r"neck\.layer_norm2", "neck.3"),
        (r"layer_norm", "norm"),
        (r"lin(\d)", rf"{linear}\1"),
    )
    state: State = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        for old, new in changes:
            name = re.sub(old, new, name)  # noqa: PLW2901  renamed step by step
        state[name] = tensor
    return state | ({"mask_decoder.mask_tokens.weight": torch.ones(2)} if prefix else {})


@pytest.mark.parametrize("names", SAM_NAMES)
def test_a_sam_file_is_the_network_that_it_was_made_of(tmp_path: Path, names: str) -> None:
    folder = tiny_sam(tmp_path / "folder")
    torch.save(renamed_sam(folder, names), tmp_path / "sam.pth")
    images = torch.randint(0, 256, (1, 3, 96, 128), dtype=torch.uint8)
    for changes in ({}, {"layers": (1, 2)}):
        found, expected = (
            SamTeacherConfig(model=str(path), **changes).build().maps(images)  # type: ignore[arg-type]
            for path in (tmp_path / "sam.pth", folder)
        )
        pairs = zip(found.levels, expected.levels, strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    with pytest.raises(ConfigError, match=r"holds a.*set teacher\.kind=sam"):
        VitTeacherConfig(model=str(tmp_path / "sam.pth")).build()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda s: {n: t for n, t in s.items() if "patch_embed" not in n},
            "whole SAM .*projection",
        ),
        (lambda s: {n: t for n, t in s.items() if "blocks.1" not in n}, r"whole SAM .*layers\.1"),
        (lambda s: s | {"image_encoder.blocks.x.norm1.weight": torch.ones(1)}, r"SAM .*layers\.3"),
        (lambda s: {n: t for n, t in s.items() if "norm2" not in n}, "tensors missing"),
        (
            lambda s: s | {"image_encoder.blocks.0.attn.rel_pos_h": torch.ones(5, 7)},
            "of 32 channels in heads of 7",
        ),
    ],
)
def test_a_damaged_sam_file_is_one_line(
    tmp_path: Path, change: Callable[[State], State], reason: str
) -> None:
    state = renamed_sam(tiny_sam(tmp_path / "folder"), "original")
    torch.save(change(state), tmp_path / "sam.pth")
    with pytest.raises(FileFormatError, match=reason):
        SamTeacherConfig(model=str(tmp_path / "sam.pth")).build()


def test_the_weights_of_a_folder_stand_for_the_folder(tmp_path: Path) -> None:
    tiny = TINY["CLIP"]
    write_vit(tmp_path, tiny.family, small=False, **tiny.settings)
    write_colours(tmp_path)
    whole, weights = (
        VitTeacherConfig(model=str(path)).build()
        for path in (tmp_path, tmp_path / "model.safetensors")
    )
    assert weights.name == whole.name
    assert weights.mean == (0.5, 0.4, 0.3)


def test_the_only_file_of_a_folder_stands_for_it_and_of_several_one_is_named(
    tmp_path: Path,
) -> None:
    """As torch hub keeps what it has fetched."""
    file = tmp_path / "dinov2_vits14_pretrain.pth"
    torch.save(original_state(), file)
    found, expected = (
        VitTeacherConfig(model=str(path), num_heads=2).build() for path in (tmp_path, file)
    )
    assert found.name == expected.name
    torch.save({}, tmp_path / "other.pth")
    with pytest.raises(
        WeightsNotFoundError, match=r"pretrain\.pth, other\.pth\); name one of them"
    ):
        VitTeacherConfig(model=str(tmp_path)).build()


def test_the_only_snapshot_of_the_hubs_cache_stands_for_its_model(tmp_path: Path) -> None:
    cache = tmp_path / "models--facebook--dinov2-small"
    snapshot = write_vit(cache / "snapshots" / "abc")
    found = VitTeacherConfig(model=str(cache)).build()
    assert found.name == VitTeacherConfig(model=str(snapshot)).build().name


def test_a_file_needs_no_configuration_and_minds_none_that_is_damaged(tmp_path: Path) -> None:
    save_file(original_state(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("[")
    model = str(tmp_path / "model.safetensors")
    assert VitTeacherConfig(model=model, num_heads=2).build().num_channels == 32


def write_timm(folder: Path, mean: float = 0.25) -> Path:
    """A DINOv2 as timm saves it on the hub."""
    folder.mkdir(parents=True)
    save_file(original_state(), folder / "model.safetensors")
    images = {"mean": [mean] * 3, "std": [0.5] * 3, "fixed_input_size": True}
    values = {"architecture": "vit_small_patch14_dinov2", "pretrained_cfg": images}
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def test_a_folder_of_timm_says_what_images_it_expects(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_timm(tmp_path / "timm")
    for model in (folder, folder / "model.safetensors"):
        caplog.clear()
        teacher = VitTeacherConfig(model=str(model), num_heads=2).build()
        assert (teacher.mean, teacher.std) == ((0.25,) * 3, (0.5,) * 3)
        assert f"by {folder / 'config.json'}: mean 0.25, 0.25, 0.25" in caplog.text
        assert teacher.num_channels == 32


def test_a_name_of_timm_is_read_from_the_hubs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    name = "timm/vit_small_patch14_dinov2.lvd142m"
    with pytest.raises(WeightsNotFoundError, match=f"`hf download {name} config.json model.safet"):
        VitTeacherConfig(model=name).build()
    cached = tmp_path / "hub" / "models--timm--vit_small_patch14_dinov2.lvd142m"
    write_timm(cached / "snapshots" / "1234")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("1234")
    hub = importlib.import_module("huggingface_hub")
    assert hub.try_to_load_from_cache(name, "config.json", cache_dir=tmp_path / "hub")
    monkeypatch.setattr(
        hub,
        "try_to_load_from_cache",
        lambda *args: hub.file_download.try_to_load_from_cache(*args, cache_dir=tmp_path / "hub"),
    )
    assert VitTeacherConfig(model=name, num_heads=2).build().mean == (0.25,) * 3


def test_what_no_file_says_is_said_where_the_table_says_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    torch.save(original_state(), tmp_path / "w.pth")
    VitTeacherConfig(model=str(tmp_path / "w.pth"), num_heads=2).build()
    assert "w.pth says how images are standardised; as DINOv2 was published: mean 0.485" in (
        caplog.text
    )
