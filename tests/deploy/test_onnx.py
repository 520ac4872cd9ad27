import importlib.util
import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from fakes.batches import SMALL_GRID, random_batch
from fakes.command import run

import lidistill
from deploy.conftest import cloud
from deploy.test_model_folder import write_format_1
from lidistill.backbones import WaffleIronConfig
from lidistill.deploy.export import export
from lidistill.deploy.onnx_check import Comparison, check_agreement
from lidistill.deploy.onnx_graph import OPERATORS, OPSET, check_operators, write_graph
from lidistill.deploy.robot_package import RobotOptions
from lidistill.errors import CheckpointError, MissingPackageError

pytestmark = pytest.mark.slow  # PyTorch's exporter takes seconds for a network


@pytest.fixture(scope="module")
def folder(runs, tmp_path_factory):
    target = tmp_path_factory.mktemp("robot") / "street model"
    return export(runs / "probe-backbone", target, robot=RobotOptions(half=True, repeats=1))


@pytest.fixture(scope="module")
def alone(folder):
    """``preprocess.py`` of the export, as a robot imports it."""
    spec = importlib.util.spec_from_file_location(
        "robot_preprocess", folder.folder / "preprocess.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sessions(folder, *names):
    providers = ["CPUExecutionProvider"]
    return [onnxruntime.InferenceSession(str(folder / n), providers=providers) for n in names]


def test_the_graph_holds_allowed_operators_alone_and_any_number_of_points(folder):
    for name in ("network.onnx", "network_fp16.onnx"):
        model = onnx.load(folder.folder / name)
        onnx.checker.check_model(model, full_check=True)
        assert {node.op_type for node in model.graph.node} <= OPERATORS
        assert {node.domain for node in model.graph.node} == {""}
        assert [entry.version for entry in model.opset_import if not entry.domain] == [OPSET]
        shapes = {
            value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in (*model.graph.input, *model.graph.output)
        }
        assert shapes == {
            "points": ["N", 5], "neighbors": ["N", 16], "cells": [3, "N"],
            "inverse_count": [3, 1024], "features": ["N", 8], "logits": ["N", shapes["logits"][1]],
        }  # fmt: skip
        types = {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
        assert types["points"] == types["inverse_count"] == onnx.TensorProto.FLOAT
        assert types["neighbors"] == types["cells"] == onnx.TensorProto.INT64


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: onnx.helper.make_node("NonZero", ["x"], ["y"]), ":NonZero"),
        (lambda: onnx.helper.make_node("Add", ["x", "x"], ["y"], domain="mine"), "mine:Add"),
    ],
)
def test_another_operator_is_found(make, text):
    graph = onnx.helper.make_graph([make()], "g", [], [])
    with pytest.raises(AssertionError, match=text):
        check_operators(onnx.helper.make_model(graph))


def test_onnxruntime_computes_what_the_network_computes_on_three_scans(folder):
    exact, half = folder.robot.exact, folder.robot.half
    assert len({one.num_points for one in exact}) == len(exact) == len(half) == 3
    assert max(one.difference for one in exact) <= 1e-4
    assert min(one.agreement for one in exact) >= 0.999
    assert min(one.agreement for one in half) >= 0.995
    assert max(one.difference for one in half) > max(one.difference for one in exact)


@pytest.mark.parametrize("size", [40, 700, 3000])
def test_scan_to_classes_without_torch_are_those_of_the_run(folder, runs, alone, size):
    points, intensity = cloud(size, seed=size)
    points[:3] = [[np.nan, 0, 0], [0, 0, 0], [500, 0, 0]]
    settings = json.loads((folder.folder / "network.json").read_text())
    scan = alone.prepare(points, intensity, settings)
    model = lidistill.load(runs / "probe-backbone", "cpu")
    expected, classes = model.features(points, intensity), model.predict(points, intensity)
    exact, half = sessions(folder.folder, "network.onnx", "network_fp16.onnx")
    features, logits = exact.run(["features", "logits"], scan.feed)
    found = alone.spread(features, scan.row, np.nan)
    np.testing.assert_array_equal(np.isnan(found).any(1), np.isnan(expected).any(1))
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)
    assert (alone.classes_of(logits, scan) == classes).mean() >= 0.999
    assert set(alone.classes_of(logits, scan)[:3]) == {255}
    low = alone.classes_of(half.run(["logits"], scan.feed)[0], scan)
    assert (low == classes).mean() >= 0.995


def test_a_distillation_has_the_teachers_channels_beside_its_features(runs, tmp_path, alone):
    done = export(runs / "pretrain", tmp_path / "m", robot=RobotOptions(repeats=1))
    assert done.robot.outputs == ("features", "head")
    settings = json.loads((tmp_path / "m" / "network.json").read_text())
    points, intensity = cloud(300)
    scan = alone.prepare(points, intensity, settings)
    (session,) = sessions(tmp_path / "m", "network.onnx")
    head = alone.spread(session.run(["head"], scan.feed)[0], scan.row, np.nan)
    expected = lidistill.load(runs / "pretrain", "cpu").project(points, intensity)
    np.testing.assert_allclose(head, expected, atol=1e-4, rtol=1e-4)
    assert settings["widths"] == [expected.shape[1]]


def test_folders_of_scans_are_compared_on_a_few_of_theirs(runs, tmp_path):
    (tmp_path / "a" / "scans").mkdir(parents=True)
    for number in range(5):
        points, intensity = cloud(300, seed=number)
        scan = np.column_stack([points, intensity])
        np.save(tmp_path / "a" / "scans" / f"{number}.npy", scan.astype(np.float32))
    options = RobotOptions(repeats=1, scans=(tmp_path,))
    done = export(runs / "pretrain", tmp_path / "m", robot=options)
    assert len(done.robot.exact) == 3


def test_the_preprocessing_imports_neither_torch_nor_lidistill(folder):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import preprocess; "
        "loaded = {name.split('.')[0] for name in sys.modules}; "
        "print(sorted(loaded & {'torch', 'lidistill', 'scipy', 'numba'}))"
    )
    printed = subprocess.run(
        [sys.executable, "-I", "-c", code, str(folder.folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert printed.stdout.strip() == "[]"


def test_autowares_files_say_what_the_node_needs(folder):
    params = yaml.safe_load((folder.folder / "ml_package_street_model.param.yaml").read_text())
    values = params["/**"]["ros__parameters"]
    assert values["class_names"] == list(folder.config.class_names)
    assert len(values["palette"]) == 3 * len(values["class_names"])
    assert values["point_cloud_range"] == [-32.0, -32.0, -8.0, 32.0, 32.0, 8.0]
    assert (values["plane_height"], values["plane_width"]) == ([32, 32, 32], [32, 8, 8])
    assert values["point_types"] == ["XYZI", "XYZIRC", "XYZIRADRT", "XYZIRCAEDT"]
    assert values["num_points"] == sorted(values["num_points"])
    for value in values.values():  # ROS parameters are scalars and flat lists of one type
        kinds = {type(one) for one in (value if isinstance(value, list) else [value])}
        assert len(kinds) == 1
        assert kinds <= {int, float, str}
    metadata = yaml.safe_load((folder.folder / "deploy_metadata.yaml").read_text())
    assert metadata["version"] == "1.0"
    assert all((folder.folder / name).is_file() for name in metadata["files"])


@pytest.mark.parametrize(
    ("difference", "agreement", "dtype", "refused"),
    [
        (1e-5, 1.0, torch.float32, False),
        (2e-4, 1.0, torch.float32, True),
        (1e-5, 0.998, torch.float32, True),
        (1e-2, 0.996, torch.float16, False),
        (1e-2, 0.994, torch.float16, True),
    ],
)
def test_a_graph_that_computes_something_else_is_not_written(difference, agreement, dtype, refused):
    one = Comparison(
        num_points=9, difference=difference, agreement=agreement, network_s=0, graph_s=0
    )
    if not refused:
        check_agreement([one], dtype)
        return
    with pytest.raises(CheckpointError, match="Nothing was written"):
        check_agreement([one], dtype)


def test_without_the_extra_the_command_says_which_one(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackageError, match=r"extra \[onnx\]"):
        export(runs / "pretrain", tmp_path / "m", robot=RobotOptions())
    assert not (tmp_path / "m").exists()


def test_options_of_onnx_need_onnx(runs, tmp_path, capsys):
    status, _, err = run(capsys, "export", runs / "pretrain", tmp_path / "m", "--half")
    assert status == 2
    assert "give --onnx" in err


def test_the_command_shows_the_comparison(runs, tmp_path, capsys):
    np.save(tmp_path / "scan.npy", np.column_stack(cloud()).astype(np.float32))
    status, out, err = run(
        capsys, "export", runs / "pretrain", tmp_path / "m", "--onnx",
        "--scans", tmp_path / "scan.npy", "--json",
    )  # fmt: skip
    assert status == 0, err
    record = json.loads(out)["onnx"]
    sizes = [one["num_points"] for one in record["exact"]]
    assert len(sizes) == len(set(sizes)) == 3  # made ones join the one that was given
    assert record["half"] == []


def test_gelu_and_batch_norms_export_too(tmp_path):
    """ScaLR+ and WaffleIron's own checkpoints: every switch stays inside the list."""
    config = WaffleIronConfig(
        width=8, depth=2, grid=SMALL_GRID, num_neighbors=5, norm="batch", activation="gelu",
        flatten="sum_over_count_eps", channels=("x", "y", "z"),
    )  # fmt: skip
    network, batch = config.build().eval(), random_batch((30,), channels=3, num_neighbors=5)
    file = tmp_path / "n.onnx"
    assert write_graph(network, None, batch, file, dtype=torch.float32) == ("features",)
    form = network.export_form()
    other = random_batch((55,), channels=3, num_neighbors=5, seed=4)
    feed = {n: t.numpy() for n, t in zip(form.inputs, form.feed(other), strict=True)}
    (session,) = sessions(tmp_path, "n.onnx")
    expected = network.for_inference()(other).numpy()
    np.testing.assert_allclose(session.run(None, feed)[0], expected, atol=1e-4)


def test_a_folder_without_intensity_becomes_onnx_too(tmp_path, alone):
    source = write_format_1(tmp_path / "old")
    export(source, tmp_path / "new", robot=RobotOptions(repeats=1))
    settings = json.loads((tmp_path / "new" / "network.json").read_text())
    assert settings["intensity_std"] is None
    assert settings["channels"] == ["x", "y", "z"]
    points, intensity = cloud(200)
    scan = alone.prepare(points, intensity, settings)
    (session,) = sessions(tmp_path / "new", "network.onnx")
    found = alone.classes_of(session.run(["logits"], scan.feed)[0], scan)
    expected = lidistill.load(source, "cpu").predict(points, None)
    np.testing.assert_array_equal(found, expected)
