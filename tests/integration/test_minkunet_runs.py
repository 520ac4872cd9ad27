"""A MinkUNet through all that uses a backbone."""

import numpy as np
import pytest
import torch
from fakes.runs import finetune_values, pretrain_values, probe_values, write_world

from lidistill.apps.estimate import estimate
from lidistill.apps.load_features import load
from lidistill.backbones import MinkUNetConfig
from lidistill.distill.run import pretrain
from lidistill.errors import ConfigError
from lidistill.recipes import apply_overrides
from lidistill.segment.report import train_and_score
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.optimizer import OptimizerConfig

NETWORK = ("backbone={kind: minkunet, depth: 18, width: 4, stages: A, channels: [z, intensity]}",)


def recipe(values, *changes):
    return apply_overrides(values, changes, source="minkunet")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("minkunet")
    write_world(folder)
    pretrain(recipe(pretrain_values(folder), *NETWORK))
    return folder


def test_it_is_distilled_probed_and_fine_tuned(world):
    assert load_checkpoint(world / "pretrain").recipe["backbone"]["kind"] == "minkunet"
    for values in (probe_values(world), finetune_values(world) | {"network": {"drop_path": None}}):
        result = train_and_score(recipe(values))
        assert result.evaluation.scores.overall_accuracy > 0.5


def test_it_learns_the_same_from_samples_made_on_the_device(world):
    changes = (*NETWORK, "samples=device", f"output={world / 'device'}")
    pretrain(recipe(pretrain_values(world), *changes))
    runs = [load_checkpoint(world / name).weights for name in ("pretrain", "device")]
    for name, weight in runs[0].items():
        torch.testing.assert_close(runs[1][name], weight, rtol=1e-3, atol=1e-4)


def test_it_gives_features_of_own_scans(world, caplog):
    model = load(world / "pretrain", device="cpu")
    caplog.set_level("INFO")
    model.warm_up()
    assert not caplog.messages  # an invented scan is nothing to be said anything about
    points = np.random.default_rng(0).uniform(-20, 20, (100, 3))
    features = model.features(points, np.arange(100))
    assert features.shape == (100, 12)
    assert np.isfinite(features).all()


def test_it_is_estimated(world):
    found = estimate(recipe(pretrain_values(world), *NETWORK), frames=10, device="cpu")
    assert found.activation_bytes > 0
    assert found.step_seconds > 0


def test_learning_rates_decay_from_block_to_block():
    net = MinkUNetConfig(depth=34, width=2).build()
    layers = [
        ("stem.conv.kernel", 0),
        ("stages.0.move.conv.kernel", 1),
        ("stages.0.blocks.1.second.norm.bias", 2),
        ("stages.1.move.norm.weight", 3),
        ("stages.3.blocks.5.first.conv.kernel", 15),
        ("stages.7.blocks.1.second.conv.kernel", 23),
    ]
    assert net.num_layers == 23
    assert all(net.layer_of(name) == layer for name, layer in layers)
    groups = OptimizerConfig(layer_decay=0.9).build(net).param_groups
    assert len({group["lr_scale"] for group in groups}) == 24


def test_why_it_cannot_become_onnx_is_one_clear_line():
    net = MinkUNetConfig(depth=14, width=2).build()
    with pytest.raises(ConfigError, match=r"MinkUNet reads lists of cells.*leave --onnx out"):
        net.export_form()
