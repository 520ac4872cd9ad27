"""Weights in the names of their authors' code and of timm: DINOv3, ConvNeXt, C-RADIO."""

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.teachers import original_state, write_vit
from fakes.tiny_teachers import TINY
from safetensors.torch import save_file
from torch import Tensor

from lidistill.errors import ConfigError, FileFormatError, MissingPackageError
from lidistill.teachers import VitTeacherConfig
from lidistill.teachers.convnext import ConvNextTeacherConfig

State = dict[str, Tensor]


def tiny(folder: Path, title: str, **changes: object) -> Any:
    """A network of transformers, as it is saved in a folder."""
    family = TINY[title].family
    write_vit(folder, family, small=False, **TINY[title].settings | changes)
    network_class = getattr(importlib.import_module("transformers"), f"{family}Model")
    return network_class.from_pretrained(folder).eval()


def original_dinov3(network: Any) -> State:
    """Weights of transformers' DINOv3 ViT in the names of the original code."""
    embeddings, state = network.embeddings, {}
    state["cls_token"] = embeddings.cls_token
    state["mask_token"] = embeddings.mask_token[:, 0]
    state["storage_tokens"] = embeddings.register_tokens
    for kind in ("weight", "bias"):
        state[f"patch_embed.proj.{kind}"] = getattr(embeddings.patch_embeddings, kind)
        state[f"norm.{kind}"] = getattr(network.norm, kind)
    state["rope_embed.periods"] = torch.ones(4)
    state["local_cls_norm.weight"] = torch.zeros(3)
    for index, layer in enumerate(network.model.layer):
        place, attention = f"blocks.{index}", layer.attention
        parts = [attention.q_proj, attention.k_proj, attention.v_proj]
        state[f"{place}.attn.qkv.weight"] = torch.cat([part.weight for part in parts])
        biases = [parts[0].bias, torch.zeros(len(parts[1].weight)), parts[2].bias]
        if biases[0] is not None:
            state[f"{place}.attn.qkv.bias"] = torch.cat(biases)
            state[f"{place}.attn.qkv.bias_mask"] = torch.full_like(torch.cat(biases), torch.nan)
        inner = (
            {"w1": layer.mlp.gate_proj, "w2": layer.mlp.up_proj, "w3": layer.mlp.down_proj}
            if hasattr(layer.mlp, "gate_proj")
            else {"fc1": layer.mlp.up_proj, "fc2": layer.mlp.down_proj}
        )
        linear = {f"mlp.{name}": part for name, part in inner.items()}
        linear |= {"attn.proj": attention.o_proj, "norm1": layer.norm1, "norm2": layer.norm2}
        for name, part in linear.items():
            state[f"{place}.{name}.weight"] = part.weight
            state[f"{place}.{name}.bias"] = part.bias
        state[f"{place}.ls1.gamma"] = layer.layer_scale1.lambda1
        state[f"{place}.ls2.gamma"] = layer.layer_scale2.lambda1
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def timm_dinov3(network: Any) -> State:
    """The same in timm's names: biases of queries and values apart, no mask token."""
    changes = {
        r"storage_tokens": "reg_token",
        r"\.ls(\d)\.gamma": r".gamma_\1",
        r"mlp\.w1": "mlp.fc1_g",
        r"mlp\.w2": "mlp.fc1_x",
        r"mlp\.w3": "mlp.fc2",
    }
    state: State = {}
    for name, tensor in original_dinov3(network).items():
        if name.endswith("qkv.bias"):
            queries, _, values = tensor.chunk(3)
            state[name.replace("qkv.bias", "q_bias")] = queries
            state[name.replace("qkv.bias", "v_bias")] = values
        elif not re.search(r"mask|periods|local_cls", name):
            for old, new in changes.items():
                name = re.sub(old, new, name)  # noqa: PLW2901  renamed step by step
            state[name] = tensor
    return state


@pytest.mark.parametrize("names", [original_dinov3, timm_dinov3])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_gated_mlp": True, "hidden_act": "silu"},
        {"use_gated_mlp": True, "hidden_act": "silu", "query_bias": False, "value_bias": False},
    ],
)
def test_a_dinov3_file_is_the_network_that_it_was_made_of(
    tmp_path: Path, names: Callable[[Any], State], changes: dict[str, object]
) -> None:
    network = tiny(tmp_path, "DINOv3 ViT", **changes)
    torch.save(names(network), tmp_path / "dinov3.pth")
    teacher = VitTeacherConfig(
        model=str(tmp_path / "dinov3.pth"), num_heads=2, final_norm=True, class_token=True
    ).build()
    pixels = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        expected = network(pixels).last_hidden_state
    assert torch.equal(teacher.tokens(pixels)[0], expected)
    assert teacher._prefix.length == 5
    assert teacher.mean == pytest.approx((0.485, 0.456, 0.406))


CONVNEXT = {
    "original": (
        (r"model\.stages\.(\d)\.downsample_layers\.", r"downsample_layers.\1."),
        (r"model\.stages\.(\d)\.layers\.(\d+)\.", r"stages.\1.\2."),
        (r"depthwise_conv", "dwconv"),
        (r"pointwise_conv", "pwconv"),
        (r"layer_norm", "norm"),
    ),
    "timm": (
        (r"model\.stages\.0\.downsample_layers\.", r"stem."),
        (r"model\.stages\.(\d)\.downsample_layers\.", r"stages.\1.downsample."),
        (r"model\.stages\.(\d)\.layers\.(\d+)\.", r"stages.\1.blocks.\2."),
        (r"depthwise_conv", "conv_dw"),
        (r"pointwise_conv", "mlp.fc"),
        (r"^layer_norm", "head.norm"),
        (r"layer_norm", "norm"),
    ),
}


def renamed_convnext(network: Any, names: str) -> State:
    state: State = {}
    for name, tensor in network.state_dict().items():
        for old, new in CONVNEXT[names]:
            name = re.sub(old, new, name)  # noqa: PLW2901  renamed step by step
        state[name] = tensor
    if names == "original":
        state |= {f"norms.3.{kind}": state[f"norm.{kind}"] for kind in ("weight", "bias")}
    return state


@pytest.mark.parametrize("names", CONVNEXT)
def test_a_convnext_file_is_the_network_that_it_was_made_of(tmp_path: Path, names: str) -> None:
    network = tiny(tmp_path, "DINOv3 ConvNeXt")
    torch.save(renamed_convnext(network, names), tmp_path / "convnext.pth")
    options: dict[str, Any] = {"strides": (4, 32), "final_norm": True, "normalize": False}
    found, expected = (
        ConvNextTeacherConfig(model=str(path), **options).build()
        for path in (tmp_path / "convnext.pth", tmp_path)
    )
    pixels = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        pairs = zip(found.forward_levels(pixels), expected.forward_levels(pixels), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_files_of_other_networks_are_told_apart(tmp_path: Path) -> None:
    network = tiny(tmp_path / "network", "DINOv3 ConvNeXt")
    file = tmp_path / "file.pth"
    torch.save(renamed_convnext(network, "original"), file)
    with pytest.raises(ConfigError, match=r"set teacher\.kind=convnext"):
        VitTeacherConfig(model=str(file)).build()
    torch.save(original_state(), file)
    with pytest.raises(FileFormatError, match="holds a DINOv2, expected a ConvNeXt"):
        ConvNextTeacherConfig(model=str(file)).build()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s | {"blocks.0.adapter.weight": torch.zeros(1)}, r"blocks\.0\.adapter"),
        (lambda s: {n: t for n, t in s.items() if "blocks.1." not in n}, "do not count from 0"),
        (lambda s: {n: t for n, t in s.items() if "patch_embed" not in n}, "not a whole DINOv3"),
        (lambda s: {n: t for n, t in s.items() if n != "blocks.2.norm2.bias"}, "tensors missing"),
    ],
)
def test_a_damaged_dinov3_file_is_one_line(
    tmp_path: Path, change: Callable[[State], State], reason: str
) -> None:
    state = original_dinov3(tiny(tmp_path, "DINOv3 ViT"))
    torch.save(change(state), tmp_path / "w.pth")
    with pytest.raises(FileFormatError, match=reason):
        VitTeacherConfig(model=str(tmp_path / "w.pth"), num_heads=2).build()


def test_a_damaged_convnext_file_is_one_line(tmp_path: Path) -> None:
    state = renamed_convnext(tiny(tmp_path, "DINOv3 ConvNeXt"), "timm")
    for changed, reason in (
        (state | {"stages.0.blocks.0.odd.weight": torch.zeros(1)}, "unexpected tensor"),
        ({n: t for n, t in state.items() if "stages.3" not in n}, "not a whole ConvNeXt"),
    ):
        torch.save(changed, tmp_path / "w.pth")
        with pytest.raises(FileFormatError, match=reason):
            ConvNextTeacherConfig(model=str(tmp_path / "w.pth")).build()


def write_authors_radio(folder: Path, network: Any, **changes: Any) -> State:
    """A folder as the authors' own code saves a C-RADIO of version 2 or 3."""
    names = {
        "embeddings.patch_projection.": "model.patch_generator.embedder.",
        "embeddings.position_embedding": "model.patch_generator.pos_embed",
        "embeddings.cls_register_token": "model.patch_generator.cls_token.token",
        "encoder.layer.": "model.blocks.",
        "attention.o_proj": "attn.proj",
    }
    state: State = {}
    for name, tensor in network.state_dict().items():
        if "q_proj" in name:
            parts = [network.state_dict()[name.replace("q_", f"{n}_")] for n in "qkv"]
            name, tensor = name.replace("attention.q_proj", "attn.qkv"), torch.cat(parts)  # noqa: PLW2901
        if re.search(r"[kv]_proj|layer_scale", name):
            continue
        for old, new in names.items():
            name = name.replace(old, new)  # noqa: PLW2901  renamed step by step
        state[f"radio_model.{name}"] = tensor.contiguous()
    state["radio_model.adaptors.siglip2.fc1.weight"] = torch.zeros(2, 2)
    teachers = [{"name": name} for name in ("siglip2", "dinov3", "sam3", "siglip2")]
    values = {
        "architectures": ["RADIOModel"],
        "auto_map": {"AutoModel": "hf_model.RADIOModel"},
        "args": {"cls_token_per_teacher": True, "teachers": teachers} | changes,
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(values))
    save_file(state, folder / "model.safetensors")
    return state


@pytest.fixture(name="radio")
def _radio(tmp_path: Path) -> Any:
    network = tiny(tmp_path / "radio", "C-RADIO", hidden_size=384, num_attention_heads=6)
    with torch.no_grad():
        for layer in network.encoder.layer:  # what no C-RADIO has: a scale of each layer
            layer.layer_scale1.lambda1.fill_(1)
            layer.layer_scale2.lambda1.fill_(1)
    return network


def test_a_radio_of_the_authors_is_read_and_none_of_its_code_is_run(
    tmp_path: Path, radio: Any
) -> None:
    write_authors_radio(tmp_path / "authors", radio)
    teacher = VitTeacherConfig(
        model=str(tmp_path / "authors"), layers=(2, -1), class_token=True
    ).build()
    images = torch.randint(0, 256, (2, 3, 48, 64), dtype=torch.uint8)
    with torch.no_grad():
        expected = radio(images.float() / 255)
    maps = teacher.maps(images)
    assert torch.equal(maps.levels[2].flatten(2).mT, expected.features)
    assert torch.equal(maps.levels[3][:, :, 0, 0], expected.summary)
    assert (teacher._prefix.length, teacher._prefix.class_tokens) == (10, (0, 1))
    assert teacher.network.config.num_registers == 7


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ("radio_model.model.norm.weight", "no part of a C-RADIO"),
        ("radio_model.feature_normalizer.tx", "no part of a C-RADIO"),
        ("radio_model.model.inner.blocks.0.mlp.w12.weight", "sizes B, L, H or SO400M"),
    ],
)
def test_a_radio_that_computes_something_else_is_refused(
    tmp_path: Path, radio: Any, extra: str, reason: str
) -> None:
    folder = tmp_path / "authors"
    state = write_authors_radio(folder, radio)
    save_file(state | {extra: torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(FileFormatError, match=reason):
        VitTeacherConfig(model=str(folder)).build()


def test_a_radio_whose_tokens_are_not_told_apart_is_refused(tmp_path: Path, radio: Any) -> None:
    write_authors_radio(tmp_path / "none", radio, teachers=[])
    with pytest.raises(FileFormatError, match="names no teachers"):
        VitTeacherConfig(model=str(tmp_path / "none")).build()
    many = [{"name": f"teacher{i}"} for i in range(11)]
    write_authors_radio(tmp_path / "many", radio, teachers=many)
    with pytest.raises(FileFormatError, match="11 of 10 tokens"):
        VitTeacherConfig(model=str(tmp_path / "many")).build()


def test_an_older_transformers_is_told_which_one_has_the_family(
    tmp_path: Path, radio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = importlib.import_module("transformers.models.auto.configuration_auto")
    fewer = {name: known.CONFIG_MAPPING[name] for name in ("dinov2", "sam")}
    monkeypatch.setattr(known, "CONFIG_MAPPING", fewer)
    write_authors_radio(tmp_path / "authors", radio)
    for folder in ("radio", "authors"):
        with pytest.raises(MissingPackageError, match=r"has no C-RADIO.*transformers>=5\.13"):
            VitTeacherConfig(model=str(tmp_path / folder)).build()


@pytest.mark.parametrize(
    ("family", "part", "kind"),
    [("CLIP", "CLIPVision", "vit"), ("Siglip", "SiglipVision", "vit"), ("Sam", "SamVision", "sam")],
)
def test_of_a_network_for_images_and_more_the_image_part_is_taken(
    tmp_path: Path, family: str, part: str, kind: str
) -> None:
    transformers = importlib.import_module("transformers")
    settings = next(t.settings for t in TINY.values() if t.family == part)
    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    whole: dict[str, Any] = {"vision_config": settings}
    if family != "Sam":
        whole["text_config"] = text | {"intermediate_size": 64, "vocab_size": 60}
    network = getattr(transformers, f"{family}Model")(
        getattr(transformers, f"{family}Config")(**whole)
    )
    transformers.utils.logging.disable_progress_bar()
    network.save_pretrained(tmp_path)
    teachers = importlib.import_module("lidistill.teachers")
    teacher = teachers.TEACHERS[kind](kind=kind, model=str(tmp_path)).build()
    assert type(teacher.network).__name__ in {f"{part}Model", f"{part}Encoder"}
    side = settings["image_size"]
    assert teacher.maps(torch.zeros(1, 3, side, side)).num_views == 1
