"""Every backbone of the table, and one of the tests' own, through all that uses one."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
from fakes.batches import SMALL_GRID
from fakes.pointwise_backbone import PointwiseConfig
from fakes.runs import finetune_values, pretrain_values, probe_values, write_world

from lidistill.apps.estimate import estimate
from lidistill.apps.load_features import load
from lidistill.backbones import BACKBONES, Backbone
from lidistill.datasets.sensors import Sensor
from lidistill.deploy.export import export
from lidistill.distill.run import pretrain
from lidistill.errors import ConfigError
from lidistill.loading.collate import collate
from lidistill.recipes import apply_overrides
from lidistill.records import Batch, Frame
from lidistill.samples.channels import stack_channels
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.ground import height_over_ground
from lidistill.samples.labelled import scan_sample
from lidistill.segment.report import train_and_score
from lidistill.training.checkpoint import load_checkpoint

BOX = {
    "fov_min": (-32,) * 3,
    "fov_max": (32,) * 3,
    "grid_size": 0.25,
    "patch_size": 16,
    "norm_momentum": 0.3,
}
SMALL = {
    "litept": BOX
    | {"widths": (8, 8, 12), "depths": (1, 2, 2), "decoder_widths": (8, 12), "heads": (2,)},
    "ptv3": BOX
    | {
        "widths": (8, 8),
        "depths": (2, 1),
        "heads": (2, 1),
        "decoder_widths": (8,),
        "decoder_depths": (2,),
        "decoder_heads": (2,),
    },
    "waffleiron": {"width": 16, "depth": 4, "num_neighbors": 4, "grid": SMALL_GRID},
    "pointwise": {},
    "minkunet": {"depth": 18, "width": 4},
}
SAMPLING = SamplingConfig(voxel_size=0.1)


@pytest.fixture(autouse=True)
def table(monkeypatch):
    monkeypatch.setitem(BACKBONES, "pointwise", PointwiseConfig)


@pytest.fixture(params=sorted(SMALL))
def config(request):
    return BACKBONES[request.param](**SMALL[request.param])


@pytest.fixture
def backbone(config):
    torch.manual_seed(0)
    return config.build()


def scan(config, num_points, seed=0):
    """A sample of so many points, made by the network's own preparer."""
    rng = np.random.default_rng(seed)
    view = config.inputs().field_of_view
    low, high = np.array(view.low) * 0.9, np.array(view.high) * 0.9
    frame = Frame(
        frame_id=str(seed),
        sensor="nuscenes",
        points=rng.uniform(low, high, (num_points, 3)).astype(np.float32),
        intensity=rng.uniform(0, 60, num_points).astype(np.float32),
    )
    sample = scan_sample(frame, SAMPLING, config.inputs())
    assert len(sample) == num_points
    return sample


def batch_of(config, lengths) -> Batch:
    return collate([scan(config, length, seed) for seed, length in enumerate(lengths)])


def test_every_table_entry_has_a_small_configuration_here():
    assert set(SMALL) == set(BACKBONES)


@pytest.mark.parametrize("lengths", [(30,), (1,), (1, 40, 3)])
def test_each_point_gets_a_feature(config, backbone, lengths):
    out = backbone.eval()(batch_of(config, lengths))
    assert out.shape == (sum(lengths), backbone.num_channels)
    assert out.dtype == torch.float32
    assert out.isfinite().all()


def test_every_parameter_gets_a_gradient(config, backbone):
    out = backbone.train()(batch_of(config, (30, 20)))
    torch.manual_seed(1)
    (out * torch.randn_like(out)).sum().backward()
    missing = [name for name, p in backbone.named_parameters() if p.grad is None]
    assert not missing
    assert all(p.grad.isfinite().all() for p in backbone.parameters())


def test_scans_of_a_batch_are_independent(config, backbone):
    backbone.eval()
    lengths = (30, 1, 20)
    samples = [scan(config, length, seed) for seed, length in enumerate(lengths)]
    alone = torch.cat([backbone(collate([sample])) for sample in samples])
    torch.testing.assert_close(backbone(collate(samples)), alone, rtol=1e-4, atol=1e-5)


def test_the_form_for_inference_gives_the_same_features(config, backbone):
    batch = batch_of(config, (30, 20))
    backbone.train()(batch)
    expected = backbone.eval()(batch)
    folded = backbone.train().for_inference()
    assert folded.channels == backbone.channels == config.inputs().channels
    assert not folded.training
    assert backbone.training
    torch.testing.assert_close(folded(batch), expected.detach(), rtol=1e-4, atol=1e-4)


def test_every_parameter_has_a_layer(backbone):
    found = {backbone.layer_of(name) for name, _ in backbone.named_parameters()}
    assert found == set(range(backbone.num_layers + 1))


def test_an_unknown_parameter_has_no_layer(backbone):
    with pytest.raises(KeyError):
        backbone.layer_of("layers.0.spatial.missing")


def test_training_repeats_bit_for_bit(config, backbone):
    gradients = []
    for _ in range(2):
        backbone.zero_grad()
        torch.manual_seed(0)
        backbone.train()(batch_of(config, (30, 20))).square().mean().backward()
        gradients.append([p.grad.clone() for p in backbone.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def flat(inputs, before=""):
    """All that is inside, by its path; tensors as what they are and what they hold."""
    if dataclasses.is_dataclass(inputs):
        parts = {f.name: getattr(inputs, f.name) for f in dataclasses.fields(inputs)}
    elif isinstance(inputs, tuple):
        parts = dict(enumerate(inputs))
    else:
        held = (inputs.dtype, inputs.tolist()) if isinstance(inputs, torch.Tensor) else inputs
        return {before: held}
    return {k: v for name, part in parts.items() for k, v in flat(part, f"{before}.{name}").items()}


def test_a_preparer_survives_the_way_to_a_worker_and_the_device_makes_the_same(config):
    preparer = pickle.loads(pickle.dumps(config.inputs()))
    assert preparer == config.inputs()
    sample = scan(config, 60)
    here = flat(preparer.prepare(sample.coords.numpy(), sample.features.numpy()))
    there = flat(preparer.prepare_on_device(sample.coords, sample.features))
    assert here == there


def test_a_cost_grows_with_the_points_and_the_small_networks_lead_to_the_whole(config):
    one, two = config.cost(1000), config.cost(2000)
    assert two.inputs == 2 * one.inputs >= 2 * 1000 * 4 * len(config.channels)
    first, second, further = config.shallow()
    step = second.depth - first.depth
    assert first.depth + further * step == config.depth


CHOICES = [
    ("intensity", "x", "y", "z", "radius"),
    ("z",),
    ("radius", "z", "intensity", "y"),
    ("y", "x"),
    ("height", "x", "intensity_rank"),
]


@pytest.mark.parametrize("channels", CHOICES, ids="-".join)
@pytest.mark.parametrize("kind", sorted(SMALL))
def test_a_network_sees_the_channels_that_it_names_in_its_order(kind, channels):
    config = BACKBONES[kind](**(SMALL[kind] | {"channels": channels}))
    sample = scan(config, 50)
    rng = np.random.default_rng(0)
    view = config.inputs().field_of_view
    points = rng.uniform(np.array(view.low) * 0.9, np.array(view.high) * 0.9, (50, 3))
    points = points.astype(np.float32)
    mean, std = 18.742355, 22.04632  # of nuScenes
    intensity = (rng.uniform(0, 60, 50).astype(np.float32) - mean) / std
    radius = np.linalg.norm(points.astype(np.float64), axis=1)
    known = dict(zip("xyz", points.T, strict=True)) | {"intensity": intensity, "radius": radius}
    known["height"] = height_over_ground(points)
    known["intensity_rank"] = (intensity.argsort().argsort() + 0.5) / 50 * 12**0.5 - 3**0.5
    expected = np.stack([known[name] for name in channels], 1)[sample.source]
    np.testing.assert_allclose(sample.features, expected, rtol=1e-5, atol=1e-6)
    assert config.build()(collate([sample])).shape == (50, config.build().num_channels)


@pytest.mark.parametrize(
    "channels", [(), ("x", "x"), ("heights",)], ids=["none", "twice", "unknown"]
)
def test_channels_that_are_none_are_refused(channels):
    with pytest.raises(ValueError, match="channels"):
        BACKBONES["waffleiron"].model_validate({"channels": channels})


def test_intensity_is_not_needed_where_it_is_no_channel():
    points = np.ones((3, 4), np.float32)
    assert stack_channels(("radius", "x"), {}, points).tolist() == [[1, 1]] * 3
    config = BACKBONES["waffleiron"](**(SMALL["waffleiron"] | {"channels": ("x", "y", "z")}))
    frame = Frame(
        frame_id="0",
        sensor="without-statistics",
        points=np.random.default_rng(0).uniform(-5, 5, (40, 3)).astype(np.float32),
        intensity=np.zeros(40, np.float32),
    )
    assert scan_sample(frame, SAMPLING, config.inputs()).features.shape == (40, 3)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pointwise")
    write_world(folder)
    return folder


def recipe(values, *changes):
    return apply_overrides(values, changes, source="pointwise")


POINTWISE = ("backbone={kind: pointwise, depth: 3}",)
ANOTHER = {
    "pointwise": {"depth": 3},
    **{name: SMALL[name] | {"channels": ["z"]} for name in ("litept", "ptv3")},
}


@pytest.fixture(scope="module", params=sorted(ANOTHER))
def another(request):
    """A backbone that is not the first of the table, as a change to a recipe."""
    values = ANOTHER[request.param] | {"kind": request.param}
    return (f"backbone={json.dumps(values)}",)


@pytest.fixture(scope="module")
def distilled(world, another):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "pointwise", PointwiseConfig)
        folder = world / json.loads(another[0].removeprefix("backbone="))["kind"]
        pretrain(recipe(pretrain_values(world), *another, f"output={folder}"))
    return folder


def test_another_backbone_is_distilled_probed_and_fine_tuned(distilled, world):
    stored = load_checkpoint(distilled).recipe["backbone"]
    assert stored["kind"] == distilled.name
    given = ANOTHER[distilled.name]
    assert {key: stored[key] for key in given} == json.loads(json.dumps(given))
    for values in (probe_values(world), finetune_values(world) | {"network": {"drop_path": None}}):
        changes = f"checkpoint={distilled}", f"output={distilled}-{values['kind']}"
        result = train_and_score(recipe(values, *changes))
        assert result.evaluation.scores.overall_accuracy > 0.5


def test_another_backbone_gives_features_of_own_scans_without_intensity(distilled):
    model = load(distilled, device="cpu")
    assert not model.takes_intensity
    assert isinstance(model.sensor, Sensor)
    points = np.random.default_rng(0).uniform(-20, 20, (100, 3))
    features = model.features(points, None)
    assert features.shape == (100, 8)
    assert np.isfinite(features).all()
    np.testing.assert_array_equal(features, model.features(points, np.arange(100)))


def test_another_backbone_becomes_a_model_folder(distilled, tmp_path):
    points = np.random.default_rng(0).uniform(-20, 20, (100, 3))
    expected = load(distilled, device="cpu").features(points, None)
    folder = export(distilled, tmp_path / "model").folder
    np.testing.assert_array_equal(load(folder, device="cpu").features(points, None), expected)


def test_another_backbone_is_estimated(world, another):
    found = estimate(recipe(pretrain_values(world), *another), frames=10, device="cpu")
    assert (found.working_bytes == 0) == ("pointwise" in another[0])
    assert found.activation_bytes > 0


def test_another_backbone_learns_the_same_from_samples_made_on_the_device(
    distilled, world, another
):
    changes = (*another, "samples=device", f"output={distilled}-device")
    pretrain(recipe(pretrain_values(world), *changes))
    found = load_checkpoint(world / f"{distilled.name}-device").weights
    for name, weight in load_checkpoint(distilled).weights.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            ("backbone.kind=pointwis",),
            "backbone: unknown kind 'pointwis'; did you mean 'pointwise'",
        ),
        (("backbone.dept=3",), "unknown key 'backbone.dept'; did you mean 'depth'"),
        (("backbone.cell_size=3",), "unknown key 'backbone.cell_size'; known: activation, "),
        (("backbone={kind: pointwise, wdth: 3}",), "unknown key 'backbone.wdth'; did you mean"),
    ],
)
def test_a_backbone_that_is_none_is_one_clear_line(world, changes, reason):
    with pytest.raises(ConfigError, match=reason):
        recipe(pretrain_values(world), *changes)


def test_changes_that_the_stored_network_does_not_know_are_one_clear_line(distilled, world):
    values = probe_values(world) | {"network": {"grid": {}}}
    changes = f"output={world / 'refused'}", f"checkpoint={distilled}"
    with pytest.raises(ConfigError, match=rf"network.grid: .*of the kind '{distilled.name}'"):
        train_and_score(recipe(values, *changes))


def test_a_form_for_other_runtimes_computes_the_same_or_there_is_none(config, backbone):
    backbone.eval()
    if type(backbone).export_form is Backbone.export_form:
        with pytest.raises(ConfigError, match="--onnx"):
            backbone.export_form()
        return
    form, batch = backbone.export_form(), batch_of(config, (40,))
    feed = form.feed(batch)
    assert len(feed) == len(form.inputs)
    for name, axis in form.point_axes.items():
        assert feed[form.inputs.index(name)].shape[axis] == 40
    with torch.no_grad():
        torch.testing.assert_close(form.network(*feed), backbone(batch), atol=1e-5, rtol=1e-4)
    json.dumps(dict(form.settings))  # whoever has no lidistill reads them
