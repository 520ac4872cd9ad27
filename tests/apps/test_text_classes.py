"""Text partners with random weights of the right form: that they are joined as theirs are."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fakes.command import run
from fakes.runs import pretrain_values
from fakes.texts import WIDTH, write_adaptor, write_projection, write_text_encoder

import lidistill
from deploy.conftest import cloud, make, runs  # noqa: F401  a fixture
from lidistill.apps.text_classes import (
    class_names_of,
    encode_texts,
    read_adaptor,
    read_projection,
    text_direction,
    with_text,
)
from lidistill.distill.run import pretrain
from lidistill.errors import CheckpointError, ConfigError, WeightsNotFoundError

NAMES = ("car", "tree", "traffic sign")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    return {kind: write_text_encoder(folder / kind / "text", kind) for kind in ("clip", "siglip")}


@pytest.fixture(scope="module")
def raw(runs, tmp_path_factory):  # noqa: F811
    """A distillation from features that are not centred."""
    output = tmp_path_factory.mktemp("raw") / "run"
    changes = (f"output={output}", "target.center_batches=0", "train.steps=2")
    pretrain(make(pretrain_values(runs), *changes, "schedule.warmup_steps=1"))
    return output


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_names_become_unit_features_that_differ(texts, kind):
    found = encode_texts(NAMES, texts[kind])
    assert found.shape == (3, WIDTH)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
    assert (found @ found.t())[0, 1] < 0.9999
    torch.testing.assert_close(encode_texts(NAMES[1:2], texts[kind])[0], found[1])


@pytest.mark.parametrize("old", [False, True])
def test_a_projection_is_two_layers_with_tanh_between(tmp_path, old):
    state = write_projection(tmp_path / "projection.safetensors", 32, old=old)
    first, _, second, _, _ = state.values()
    bias, other = state["linear_layer.bias"], [v for k, v in state.items() if k.endswith("bias")][1]
    x = torch.randn(7, WIDTH)
    found = read_projection(tmp_path / "projection.safetensors", WIDTH, 32)(x)
    torch.testing.assert_close(found, torch.tanh(x @ first.t() + bias) @ second.t() + other)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_an_adaptor_is_a_perceptron_with_residual_blocks(tmp_path, pre_norm):
    s = write_adaptor(tmp_path / "adaptor.safetensors", 32, pre_norm=pre_norm)
    x = torch.randn(7, 32)

    def norm(x, name):
        return F.gelu(F.layer_norm(x, x.shape[1:], s[f"{name}.weight"], s[f"{name}.bias"]))

    def linear(x, name):
        return x @ s[f"{name}.weight"].t() + s[f"{name}.bias"]

    y = linear(norm(x, "pre_norm.0") if pre_norm else x, "fc1")
    for block in ("blocks.0", "blocks.1"):
        y = y + linear(norm(y, f"{block}.0"), f"{block}.2")
    expected = linear(norm(y, "final.0"), "final.2")
    found = read_adaptor(tmp_path / "adaptor.safetensors", 32, WIDTH)(x)
    torch.testing.assert_close(found, expected)


def test_points_get_the_class_whose_text_is_nearest_in_the_teachers_space(runs, texts):  # noqa: F811
    folder = texts["clip"].parent
    write_projection(folder / "projection.safetensors", 32)
    model = lidistill.load(runs / "pretrain", "cpu")
    points, intensity = cloud()
    classes = with_text(model, NAMES, folder).predict(points, intensity)
    projection = read_projection(folder / "projection.safetensors", WIDTH, 32)
    mean = torch.from_numpy(model.teacher_mean).float()
    direction = F.normalize(projection(encode_texts(NAMES, texts["clip"])), dim=1)
    direction = F.normalize(direction * mean.norm() - mean, dim=1).detach()
    student = torch.from_numpy(model.project(points, intensity))
    expected = (F.normalize(student, dim=1) @ direction.t()).argmax(1).numpy()
    np.testing.assert_array_equal(classes, expected)


def test_an_adaptor_takes_the_students_output_into_the_texts_space(raw, texts):
    folder = texts["siglip"].parent
    write_adaptor(folder / "adaptor.safetensors", 32)
    model = lidistill.load(raw, "cpu")
    points, intensity = cloud()
    classes = with_text(model, NAMES, folder).predict(points, intensity)
    student = F.normalize(torch.from_numpy(model.project(points, intensity)), dim=1)
    adaptor = read_adaptor(folder / "adaptor.safetensors", 32, WIDTH)
    texts_KS = encode_texts(NAMES, texts["siglip"])
    with torch.no_grad():
        scores = F.normalize(adaptor(32**0.5 * student), dim=1) @ texts_KS.t()
    np.testing.assert_array_equal(classes, scores.argmax(1).numpy())


def test_an_adaptor_cannot_read_centred_features(runs, texts, tmp_path):  # noqa: F811
    (tmp_path / "text").symlink_to(texts["siglip"])
    write_adaptor(tmp_path / "adaptor.safetensors", 32)
    with pytest.raises(CheckpointError, match=r"target\.center_batches=0"):
        with_text(lidistill.load(runs / "pretrain", "cpu"), NAMES, tmp_path)


def test_the_command_names_classes(runs, texts, tmp_path, capsys):  # noqa: F811
    folder = texts["clip"].parent
    write_projection(folder / "projection.safetensors", 32)
    np.save(tmp_path / "scan.npy", np.column_stack(cloud()).astype(np.float32))
    arguments = (runs / "pretrain", tmp_path / "scan.npy", "--output", tmp_path / "out")
    status, _, err = run(capsys, "predict", *arguments, "--classes", "car, tree", "--text", folder)
    assert status == 0, err
    assert set(np.load(tmp_path / "out" / "scan.npy")) <= {0, 1}
    status, _, err = run(capsys, "predict", *arguments, "--classes", "car, tree", "--overwrite")
    assert status == 2
    assert "together with --text" in err


def test_what_does_not_fit_is_one_clear_line(runs, texts, tmp_path):  # noqa: F811
    model = lidistill.load(runs / "pretrain", "cpu")
    (tmp_path / "text").symlink_to(texts["clip"])
    with pytest.raises(WeightsNotFoundError, match="neither projection nor adaptor"):
        with_text(model, NAMES, tmp_path)
    write_projection(tmp_path / "projection.safetensors", 31)
    with pytest.raises(CheckpointError, match="is it this teacher's projection"):
        with_text(model, NAMES, tmp_path)
    (tmp_path / "text").unlink()
    with pytest.raises(WeightsNotFoundError, match="no text encoder"):
        with_text(model, NAMES, tmp_path)
    for ask in (with_text, lambda *given: text_direction(model, "car", given[2])):
        with pytest.raises(WeightsNotFoundError, match="nowhere is no folder; give"):
            ask(model, NAMES, tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="give a distillation"):
        with_text(lidistill.load(runs / "probe-backbone", "cpu"), NAMES, tmp_path)


@pytest.mark.parametrize("text", ["car", "car, car", "car,, tree", ""])
def test_two_different_names_are_needed(text):
    with pytest.raises(ConfigError, match="different names"):
        class_names_of(text)
