"""Large to small: a distilled network teaches another one at the same points, without a camera."""

import numpy as np
import pytest
import torch
from fakes.command import run
from fakes.folder import write_folder
from fakes.runs import pretrain_values, probe_values, write_world

from lidistill.apps.pretrain import run_pretrain
from lidistill.distill.lidar_teacher import LidarTeacherConfig
from lidistill.distill.run import build_run, pretrain, training_batches
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.errors import CheckpointError, ConfigError
from lidistill.recipes import apply_overrides
from lidistill.samples.teacher_inputs import teacher_inputs
from lidistill.segment.report import train_and_score
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.run_files import read_log

LARGE = ("backbone.width=16", "train.steps=2")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A drive and a distilled network of 16 channels, which sees 16 m instead of 32."""
    folder = tmp_path_factory.mktemp("large")
    write_world(folder)
    grid = (
        "backbone.grid={fov_min: [-16,-16,-8], fov_max: [16,16,8], planes: [[16,16],[16,8],[16,8]]}"
    )
    values = pretrain_values(folder) | {"output": str(folder / "large")}
    pretrain(apply_overrides(values, (*LARGE, grid), source="tiny"))
    return folder


def small(folder, *overrides, **teacher):
    values = pretrain_values(folder) | {
        "teacher": {"kind": "lidistill", "run": str(folder / "large")} | teacher
    }
    return apply_overrides(values, overrides, source="tiny")


@pytest.mark.parametrize("samples", ["workers", "device"])
def test_targets_are_the_large_networks_features_of_the_same_points(world, samples):
    run = build_run(small(world, f"samples={samples}"))
    [batch] = next(training_batches(run)(0, 1))
    assert (batch.pairs, batch.images, batch.image_paths) == (None, None, ())
    seen = run.batch_teachers[UNNAMED_TEACHER](batch)
    points = teacher_inputs(batch).networks[UNNAMED_TEACHER]
    assert 0 < len(seen.point) < len(batch.features) == seen.num_counted  # it sees less far
    assert bool((batch.coords[seen.point].abs() < torch.tensor([16.0, 16.0, 8.0])).all())
    network = LidarTeacherConfig(run=world / "large").build()
    weights = load_checkpoint(world / "large").weights
    state = {f"backbone.{name}": value for name, value in _plain(world).state_dict().items()}
    assert all(torch.equal(state[name], weights[name]) for name in state)
    with torch.no_grad():
        expected = _plain(world)(points.batch())
    torch.testing.assert_close(seen.features, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(network.features(points), expected, atol=1e-4, rtol=1e-4)


def _plain(world):
    """The large network in evaluation mode, built from its own recipe."""
    checkpoint = load_checkpoint(world / "large")
    backbone = apply_overrides(checkpoint.recipe, (), source="large").backbone.build()
    weights = checkpoint.weights
    prefix = "backbone."
    backbone.load_state_dict(
        {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
    )
    return backbone.eval()


def test_a_small_network_learns_from_a_large_one_and_the_large_one_stays(world, tmp_path):
    before = (load_checkpoint(world / "large").path / "weights.safetensors").read_bytes()
    longer = ("train.steps=40", "optimizer.lr=0.01", "train.checkpoint_every=40")
    path = pretrain(small(world, f"output={tmp_path / 'run'}", *longer))
    records = read_log(tmp_path / "run" / "log.jsonl")
    first, last = (np.mean([r["cosine"] for r in part]) for part in (records[:5], records[-5:]))
    assert last > first + 0.1
    made = load_checkpoint(path)
    assert made.weights["head.linear.weight"].shape == (16, 8)
    assert made.meta["teacher"].startswith("lidistill waffleiron weights=")
    assert not any(name.startswith("teacher") for name in made.weights)
    assert (load_checkpoint(world / "large").path / "weights.safetensors").read_bytes() == before


def test_recordings_without_a_camera_will_do(world, tmp_path):
    write_folder(tmp_path / "own")
    for file in (tmp_path / "own").rglob("*.jpg"):
        file.unlink()
    sets = [{"kind": "folder", "root": str(tmp_path / "own"), "images": "none"}]
    values = pretrain_values(world) | {
        "teacher": {"kind": "lidistill", "run": str(world / "large")},
        "output": str(tmp_path / "run"),
        "figures": {"enabled": True},
    }
    values["data"] |= {"sets": sets}
    result = run_pretrain(apply_overrides(values, ("train.steps=2",), source="tiny"))
    assert [file.name for file in result.figures] == ["loss.png"]
    images = values | {"teacher": {"kind": "vit", "model": str(world / "vit")}}
    with pytest.raises(ConfigError, match="distillation learns from images"):
        pretrain(apply_overrides(images, ("train.steps=2",), source="tiny"))


def test_a_network_and_a_vision_transformer_teach_together(world, tmp_path):
    two = {
        "lidar": {"kind": "lidistill", "run": str(world / "large")},
        "vit": {"kind": "vit", "model": str(world / "vit")},
    }
    values = pretrain_values(world) | {"teacher": two, "output": str(tmp_path / "run")}
    path = pretrain(apply_overrides(values, ("train.steps=4",), source="tiny"))
    weights = load_checkpoint(path).weights
    assert weights["heads.lidar.linear.weight"].shape == (16, 8)
    assert weights["heads.vit.linear.weight"].shape == (32, 8)
    last = read_log(tmp_path / "run" / "log.jsonl")[-1]
    units = [1 / last[f"spread_{name}"] for name in two]
    losses = [last[f"loss_{name}"] for name in two]
    expected = sum(u * x for u, x in zip(units, losses, strict=True)) / sum(units)
    assert last["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_probes_network_can_teach_too(world, tmp_path):
    changes = (f"checkpoint={world / 'large'}", f"output={tmp_path / 'probe'}", "train.steps=2")
    train_and_score(apply_overrides(probe_values(world), changes, source="tiny"))
    probe, large = (
        LidarTeacherConfig(run=path).build() for path in (tmp_path / "probe", world / "large")
    )
    points = teacher_inputs(next(training_batches(build_run(small(world)))(0, 1))[0]).networks[
        UNNAMED_TEACHER
    ]
    torch.testing.assert_close(probe.features(points), large.features(points))


def test_what_has_no_network_cannot_teach(world, tmp_path, capsys):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        build_run(small(world, run=str(tmp_path)))
    values = probe_values(world, "input") | {"checkpoint": str(world / "large")}
    changes = (f"output={tmp_path / 'probe'}", "train.steps=2")
    train_and_score(apply_overrides(values, changes, source="tiny"))
    with pytest.raises(CheckpointError, match="holds no backbone"):
        build_run(small(world, run=str(tmp_path / "probe")))
    status, _, error = run(
        capsys, "pretrain", "pretrain/debug", "teacher.kind=lidistill", "teacher.run=nowhere",
        f"data.sets.0.root={world / 'set'}", f"data.sets.1.root={world / 'set'}",
    )  # fmt: skip
    assert status == 2
    assert error.strip().splitlines()[-1].startswith("error: no checkpoint")
    assert "nowhere" in error


def test_the_teacher_of_a_small_network_is_probed_as_the_run_it_is(world, tmp_path):
    path = pretrain(small(world, f"output={tmp_path / 'run'}", "train.steps=1"))
    values = probe_values(world, "teacher") | {"checkpoint": str(path)}
    with pytest.raises(ConfigError, match=r"is the network of .*large; probe that run itself"):
        train_and_score(apply_overrides(values, (), source="tiny"))
    values = probe_values(world) | {"checkpoint": str(path), "output": str(tmp_path / "probe")}
    train_and_score(apply_overrides(values, ("train.steps=2",), source="tiny"))
