"""Folders of transformers and ONNX files made to take all memory, or to fetch something."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.teachers import original_state, write_vit
from faults.bounded import bounded

from lidistill.teachers import VitTeacherConfig
from lidistill.teachers.model_folder import check_folder
from lidistill.teachers.onnx_weights import read_onnx_vit
from lidistill.teachers.pixel_statistics import read_pixel_statistics


@pytest.fixture(name="sound", scope="module")
def _sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vit(tmp_path_factory.mktemp("sound"))


def built(folder: Path) -> str:
    return type(VitTeacherConfig(model=str(folder)).build()).__name__


def refused(answer: str, reason: str) -> None:
    assert re.search(f"^FileFormatError: .*({reason}).*\\.$", answer), answer
    assert len(answer) < 700


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hidden_size": 10**5}, "holds 58,112 of a network's 360,066,400,000"),
        ({"hidden_size": 10**12}, "'hidden_size' is 1000000000000, which no network has"),
        ({"image_size": 10**6}, "of a network's"),
        ({"patch_size": 0}, "makes no network of it"),
        ({"num_hidden_layers": 10**6}, "'num_hidden_layers' is 1000000, which no"),
        ({"num_hidden_layers": "3"}, "makes no network of it.*num_hidden_layers"),
        ({"num_attention_heads": 0}, "makes no network of it"),
        ({"num_labels": 10**9}, "'num_labels' is 1000000000"),
        ({"layer_norm_eps": float("nan")}, "'layer_norm_eps' is nan"),
        ({"layer_norm_eps": float("inf")}, "'layer_norm_eps' is inf"),
        ({"hidden_act": "none of these"}, "makes no network of it"),
        ({"hidden_act": "x" * 2 * 10**6}, "bytes, expected at most 1048576"),
        ({"model_type": ["dinov2"]}, "expected keys and values"),
        ({"model_type": "dinov9"}, "makes no network of it.*dinov9"),
        ({"model_type": "swin", "depths": [2, 10**6]}, "'depths' is 1000000"),
        ({"attn_implementation": "somebody/kernel"}, "code from elsewhere"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised"),
    ],
)
def test_a_network_that_cannot_be_is_refused_before_it_is_built(
    sound: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(sound, folder)
    values = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(values))
    refused(bounded(built, folder), reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 1000, "nested too deeply|no JSON|Expecting"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"a": ' + "[" * 60 + "]" * 60 + "}", "nested deeper"),
        ('{"hidden_size": 32, "hidden_size": 64}', "'hidden_size' stands twice"),
        ('{"hidden_size": ' + "9" * 10_000 + "}", "limit|digits"),
        ("[]", "expected keys and values"),
        ("", "Expecting value"),
        (b"\xff\xfe{}", "utf-8"),
    ],
)
def test_a_configuration_that_is_none_is_one_line(
    sound: Path, tmp_path: Path, text: str | bytes, reason: str
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(sound, folder)
    (folder / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(bounded(built, folder), reason)


def test_weights_in_parts_and_of_pytorch_are_counted_and_never_lie_elsewhere(
    sound: Path, tmp_path: Path
) -> None:
    index = tmp_path / "model.safetensors.index.json"
    shutil.copy(sound / "config.json", tmp_path)
    shutil.copy(sound / "model.safetensors", tmp_path / "model-1.safetensors")
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    check_folder(tmp_path)
    for name in ("../model-1.safetensors", "/dev/zero", 3):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        refused(bounded(check_folder, tmp_path), "file of weights")
    for table in ([], {}, {"weight_map": {}}):
        index.write_text(json.dumps(table))
        refused(bounded(check_folder, tmp_path), "no weight_map")
    index.unlink()
    torch.save(original_state(), tmp_path / "pytorch_model.bin")
    check_folder(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text()) | {"hidden_size": 10**5}
    (tmp_path / "config.json").write_text(json.dumps(values))
    refused(bounded(check_folder, tmp_path), "of a network's")
    (tmp_path / "adapter_config.json").write_text("{}")
    refused(bounded(check_folder, tmp_path), "holds an adapter")


@pytest.mark.parametrize(
    "text",
    [
        '{"image_mean": 1e400, "image_std": 1}',
        '{"image_mean": ' + "9" * 400 + ', "image_std": 1}',
        '{"image_mean": [true, 0, 0], "image_std": 1}',
        '{"image_mean": NaN, "image_std": 1}',
        '{"image_mean": 0, "image_std": 1e-300}',
        '{"image_mean": 0, "image_std": 1, "rescale_factor": 1e-300}',
        '{"image_mean": 0, "image_std": 1, "image_std": 2}',
        '{"image_processor": [[]]}',
        '{"image_mean": "0", "image_std": {}}',
    ],
)
def test_colours_of_no_image_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(text)
    answer = bounded(read_pixel_statistics, tmp_path / "preprocessor_config.json")
    refused(answer, "set the teacher's mean and std")


def array(name: str, dims: list[int], **fields: Any) -> Any:
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(name=name, dims=dims, data_type=onnx.TensorProto.FLOAT)
    for key, value in fields.items():
        if key == "external":
            entry = tensor.external_data.add()
            entry.key, entry.value = "location", value
            tensor.data_location = onnx.TensorProto.EXTERNAL
        else:
            setattr(tensor, key, value)
    return tensor


@pytest.mark.parametrize(
    ("arrays", "nodes", "reason"),
    [
        ([("b.bias", [4], {"external": "../../etc/passwd"})], [], "lie in another file"),
        ([("b.bias", [4], {"external": "/dev/zero"})], [], "lie in another file"),
        ([("b.bias", [10**6, 10**6], {"raw_data": bytes(16)})], [], "holds 4 values, expected"),
        ([("b.bias", [-4, -1], {"raw_data": bytes(16)})], [], "holds 4 values, expected"),
        ([("b.bias", [1 << 62, 1 << 62], {})], [], "holds 0 values, expected"),
        ([("b.bias", [2], {"raw_data": bytes(7)})], [], "holds 1.75 values"),
        ([("b.bias", [2], {"raw_data": bytes(2), "data_type": 9})], [], "of the type 9"),
        (
            [("x", [1, 1, 4], {"raw_data": bytes(16)}), ("y", [2, 2, 1], {"raw_data": bytes(16)})],
            [],
            "no position embedding",
        ),
        ([], [("MatMul", []), ("MatMul", ["a"]), ("Add", [])], "no position embedding"),
        (
            [("b.bias", [4], {"raw_data": bytes(16)}), ("w", [4], {"raw_data": bytes(16)})],
            [("MatMul", ["x", "w"]), ("Add", ["out", "b.bias"])],
            "the weight of 'b.bias' has 1 axes",
        ),
    ],
)
def test_an_onnx_file_that_lies_is_refused_before_it_takes_memory(
    tmp_path: Path, arrays: list[Any], nodes: list[Any], reason: str
) -> None:
    onnx = pytest.importorskip("onnx")
    made = [array(name, dims, **fields) for name, dims, fields in arrays]
    steps = [onnx.helper.make_node(kind, inputs, ["out"]) for kind, inputs in nodes]
    graph = onnx.helper.make_graph(steps, "made", [], [], initializer=made)
    file = tmp_path / "made.onnx"
    file.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    refused(bounded(lambda: read_onnx_vit(file, prefix="b.")), reason)


@pytest.mark.parametrize("content", [b"\xff" * 1000, b"\x3a\xff\xff\xff\xff\x0f", b"no onnx"])
def test_what_is_no_onnx_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("onnx")
    file = tmp_path / "made.onnx"
    file.write_bytes(content)
    refused(bounded(lambda: read_onnx_vit(file, prefix="b.")), "no ONNX file|no position embedding")
