import dataclasses
import logging
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from fakes.folder import write_folder, write_yaml
from fakes.modes import MODES, every_mode, with_threads  # noqa: F401  a fixture
from fakes.runs import finetune_values, pretrain_values, probe_values, write_world

import lidistill
from lidistill.backbones import checked
from lidistill.datasets.sensors import SENSORS
from lidistill.distill.run import pretrain
from lidistill.errors import CheckpointError, ConfigError, FileFormatError, UnknownNameError
from lidistill.loading.input_statistics import input_statistics
from lidistill.recipes import apply_overrides
from lidistill.samples.labelled import scan_sample
from lidistill.segment import inference
from lidistill.segment.encoders import BackboneEncoder
from lidistill.segment.report import restored, train_and_score
from lidistill.training.checkpoint import load_checkpoint, save_checkpoint
from lidistill.training.fitting import backbone_weights, load_weights


def make(values, *overrides):
    return apply_overrides(values, overrides, source="tiny")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    write_world(folder)
    pretrain(make(pretrain_values(folder)))
    train_and_score(make(probe_values(folder)))
    train_and_score(make(finetune_values(folder), "train.steps=2"))
    train_and_score(make(probe_values(folder, "input"), "train.steps=1"))
    return folder


@pytest.fixture(scope="module")
def frame(world):
    return make(pretrain_values(world)).data.build()[0]


def copy_run(run, target, *, recipe=(), **changes):
    """The newest checkpoint of a run under changes to its recipe, its meta and its weights."""
    stored = load_checkpoint(run)
    weights = stored.weights | changes.pop("weights", {})
    meta = {key: value for key, value in (stored.meta | changes).items() if value is not None}
    values = apply_overrides(stored.recipe, recipe, source="copy").model_dump(mode="json")
    save_checkpoint(
        target / "checkpoints", step=1, weights=weights, training={}, recipe=values, meta=meta
    )
    return target


def statistics(found):
    sensor = getattr(found, "sensor", found)
    return sensor.name, sensor.intensity_mean, sensor.intensity_std


def encoded(world, frame, run="pretrain"):
    """The evaluation path: a sample of the frame, and its features by the network itself."""
    checkpoint = load_checkpoint(world / run)
    recipe = make(pretrain_values(world))
    backbone = recipe.backbone.build()
    load_weights(backbone, backbone_weights(checkpoint), source=checkpoint.path)
    sample = scan_sample(frame, recipe.data.sampling, recipe.backbone.inputs())
    return BackboneEncoder(backbone)(frame, sample).features, sample, checkpoint


def test_features_are_those_of_the_evaluation_path(world, frame):
    model = lidistill.load(world / "pretrain", device="cpu")
    found = model.features(frame.points, frame.intensity)
    expected, sample, _ = encoded(world, frame)
    assert found.dtype == np.float32
    assert found.shape == (900, 8) == (900, model.num_channels)
    np.testing.assert_allclose(found, expected[sample.inverse].numpy(), rtol=1e-4, atol=1e-5)
    assert statistics(model) == statistics(SENSORS["pandar64"])
    assert model.class_names == ()


def test_the_intensity_counts_in_the_scale_that_is_named(world, frame):
    points, intensity = frame.points, frame.intensity
    plain = lidistill.load(world / "pretrain", device="cpu").features(points, intensity)
    other = {"intensity_mean": 2 * 18.23640649, "intensity_std": 2 * 25.86983417}
    doubled = lidistill.load(world / "pretrain", device="cpu", **other)
    np.testing.assert_allclose(doubled.features(points, 2 * intensity), plain, rtol=1e-4, atol=1e-5)
    assert np.abs(doubled.features(points, intensity) - plain).max() > 1e-2
    assert doubled.sensor.name == "own"
    geometric = doubled.features(points, None)
    mean = np.full(len(points), other["intensity_mean"])
    np.testing.assert_allclose(geometric, doubled.features(points, mean), rtol=1e-4, atol=1e-5)


def test_bf16_is_near_to_fp32(world, frame):
    exact, low = (
        lidistill.load(world / "pretrain", "cpu", precision=p).features(
            frame.points, frame.intensity
        )
        for p in ("fp32", "bf16")
    )
    assert 0 < np.abs(exact - low).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize("most", [-1, 10_000])
def test_auto_decides_by_what_it_is_asked_first_and_for_each_use_alone(
    world, frame, most, monkeypatch, caplog
):
    monkeypatch.setattr(inference, "fast_in_bf16", lambda _: True)
    monkeypatch.setattr(checked, "ENOUGH", 1_000)
    monkeypatch.setattr(checked, "_drawn", lambda _: False)
    monkeypatch.setattr(checked.Difference, "most_at_first", property(lambda _: most))
    scan = frame.points, frame.intensity
    auto, exact, low = (
        lidistill.load(world / "finetune-backbone", "cpu", precision=precision)
        for precision in ("auto", "fp32", "bf16")
    )
    auto.warm_up()  # which decides nothing
    prepared = auto.prepare(*scan)
    needed = -(-1_000 // len(prepared.sample))
    expected, taken = (m.classify(*scan)[1] for m in (exact, exact if most < 0 else low))
    with caplog.at_level(logging.INFO):
        for _ in range(needed):
            np.testing.assert_array_equal(auto.classify(prepared, None)[1], expected)
        np.testing.assert_array_equal(auto.classify(prepared, None)[1], taken)
        # Nothing was decided about features yet.
        np.testing.assert_array_equal(auto.features(*scan), exact.features(*scan))
    assert not np.array_equal(exact.features(*scan), low.features(*scan))
    assert caplog.text.count("points another class") == 1
    assert auto.encode(*scan).values.shape == (len(prepared.sample), auto.num_channels)


def test_the_head_leads_to_the_space_of_the_teacher(world, frame):
    model = lidistill.load(world / "pretrain", "cpu")
    features, sample, checkpoint = encoded(world, frame)
    weight, bias = (checkpoint.weights[f"head.linear.{name}"] for name in ("weight", "bias"))
    expected = (features @ weight.T + bias)[sample.inverse].numpy()
    found = model.project(frame.points, frame.intensity)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.teacher_mean, checkpoint.weights["center.mean"].numpy())
    assert len(model.teacher_mean) == found.shape[1]


def test_several_heads_are_put_together_at_equal_lengths(world, frame, tmp_path):
    stored = load_checkpoint(world / "pretrain")
    parts = {}
    for number in range(11):  # heads.10 comes after heads.9, not after heads.1
        parts[f"head.heads.{number}.linear.weight"] = torch.full((number + 1, 8), 0.1)
        parts[f"head.heads.{number}.linear.bias"] = torch.full((number + 1,), number + 1.0)
    kept = {k: v for k, v in stored.weights.items() if not k.startswith("head.")} | parts
    recipe = stored.recipe | {"head": {"kind": "linear", "per_layer": True}}
    run = tmp_path / "checkpoints"
    save_checkpoint(run, step=1, weights=kept, training={}, recipe=recipe, meta=stored.meta)
    found = lidistill.load(tmp_path, "cpu").project(frame.points, frame.intensity)
    split = np.split(found, np.cumsum(np.arange(1, 11)), axis=1)
    assert [part.shape[1] for part in split] == list(range(1, 12))
    for part in split:
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, rtol=1e-5)


def test_types_are_names_or_numpys_own_and_no_others(world, frame):
    model = lidistill.load(world / "pretrain", "cpu")
    for dtype in (np.float32, np.dtype("float32"), np.float16):
        found = model.features(frame.points, frame.intensity, dtype=dtype)
        assert found.dtype == dtype
    for dtype in ("float64", np.float64, "bfloat16"):
        with pytest.raises(ConfigError, match=r"float32 or float16, found the type '.*float"):
            model.project(frame.points, frame.intensity, dtype=dtype)


def test_features_of_any_type_and_order_go_through_the_head(world, frame):
    model = lidistill.load(world / "pretrain", "cpu")
    values = model.encode(frame.points, frame.intensity).values
    expected = model.after_head(values)
    np.testing.assert_array_equal(model.after_head(values.astype(np.float64)), expected)
    np.testing.assert_array_equal(model.after_head(values[::-1])[::-1], expected)
    half = model.after_head(values.astype(np.float16))
    np.testing.assert_allclose(half, expected, rtol=0.1, atol=0.02)


def test_a_scan_prepared_by_another_model_is_refused(world, frame):
    model = lidistill.load(world / "pretrain", "cpu")
    scan = model.prepare(frame.points, frame.intensity)
    again = lidistill.load(world / "probe-backbone", "cpu")
    assert again.encode(scan, None).row.shape == scan.row.shape  # with the same inputs
    other = lidistill.load(world / "pretrain", "cpu", intensity_mean=5.0, intensity_std=3.0)
    with pytest.raises(ConfigError, match="prepared by a model of another lidar"):
        other.features(scan, None)


@pytest.mark.parametrize("run", ["probe-backbone", "finetune-backbone"])
def test_classes_are_those_that_evaluate_scores(world, frame, run):
    model = lidistill.load(world / run, "cpu")
    found = model.predict(frame.points, frame.intensity)
    checkpoint = load_checkpoint(world / run)
    recipe = make(checkpoint.recipe)
    network = restored(recipe, checkpoint)
    sample = scan_sample(frame, recipe.sampling, network.preparer)
    expected, _ = network.predict(frame, sample)
    assert found.dtype == np.uint8
    assert (found == expected[sample.inverse].numpy()).mean() > 0.999
    assert model.class_names == tuple(checkpoint.meta["label_names"])
    assert model.features(frame.points, frame.intensity).shape == (900, 8)


def test_the_probe_tells_a_road_from_a_building(world, frame):
    model = lidistill.load(world / "probe-backbone", "cpu")
    found = model.predict(frame.points, frame.intensity)
    assert len(set(found.tolist())) > 1
    assert (found == frame.labels).mean() > 0.8


def test_points_outside_or_not_finite_have_no_feature_and_no_class(world, frame):
    points, intensity = frame.points.copy(), frame.intensity.copy()
    points[3], points[5, 1], points[7, 2], intensity[9] = 1000, np.nan, np.inf, np.nan
    points[11] = 31.99, 0, 0  # inside, and far from all others
    points[13] = 0  # no echo
    lost = [3, 5, 7, 9, 13]
    rest = np.setdiff1d(np.arange(len(points)), lost)
    model = lidistill.load(world / "probe-backbone", "cpu")
    found = model.features(points, intensity)
    assert np.isnan(found[lost]).all()
    assert np.isfinite(found[rest]).all()
    alone = model.features(points[rest], intensity[rest])
    np.testing.assert_allclose(found[rest], alone, rtol=1e-4, atol=1e-5)
    classes = model.predict(points, intensity)
    assert (classes[lost] == 255).all()
    assert (classes[rest] < 17).all()


def test_one_point_kilometres_away_changes_no_other(world, frame, caplog):
    """Voxels are counted from the scan's minimum: beside -1e8 m, 32 bits tell 8 m apart."""
    model = lidistill.load(world / "probe-backbone", "cpu")
    expected = model.features(frame.points, frame.intensity)
    points = np.concatenate([frame.points, [[-1e8, 0, 0], [0, 0, 1e30]]])
    intensity = np.append(frame.intensity, [1, 1])
    for _ in range(2):
        found = model.features(points, intensity)
        np.testing.assert_array_equal(found[:-2], expected)
        assert np.isnan(found[-2:]).all()
    said = [text for text in caplog.messages if "farther than 10000 m" in text]
    assert len(said) == 1
    assert said[0].startswith(f"2 of {len(points)} points")


def test_an_empty_scan_has_no_rows(world):
    empty = np.zeros((0, 3)), np.zeros(0)
    assert lidistill.load(world / "pretrain", "cpu").features(*empty).shape == (0, 8)
    assert lidistill.load(world / "pretrain", "cpu").project(*empty).shape[0] == 0
    assert lidistill.load(world / "probe-backbone", "cpu").predict(*empty).shape == (0,)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (np.full((4, 3), 500.0), r"4 points .*\(4 are finite"),
        (np.full((4, 3), 5e5), r"4 points .*\(4 are finite"),
        (np.full((4, 3), np.nan), "0 are"),
        (np.zeros((4, 3)), "0 are"),
    ],
)
def test_a_scan_without_a_point_in_sight_is_an_error(world, points, expected):
    model = lidistill.load(world / "pretrain", "cpu")
    with pytest.raises(FileFormatError, match=expected):
        model.features(points, np.ones(4))


def test_arrays_of_other_shapes_are_refused(world):
    model = lidistill.load(world / "pretrain", "cpu")
    with pytest.raises(ValueError, match=r"points has shape \(5, 4\)"):
        model.features(np.zeros((5, 4)), np.zeros(5))
    with pytest.raises(ValueError, match=r"intensity has shape \(4,\)"):
        model.features(np.zeros((5, 3)), np.zeros(4))


def test_any_array_will_do_and_stays_as_it_is(world, frame):
    model = lidistill.load(world / "pretrain", "cpu")
    expected = model.features(frame.points, frame.intensity)
    points, intensity = frame.points.astype(np.float64), frame.intensity.astype(np.uint8)
    before = points.copy()
    np.testing.assert_array_equal(model.features(points, intensity), expected)
    np.testing.assert_array_equal(model.features(torch.from_numpy(points), intensity), expected)
    np.testing.assert_array_equal(points, before)


def test_of_several_sensors_one_must_be_named(world, tmp_path):
    meta = input_statistics(two_sensors(world).data)
    run = copy_run(world / "pretrain", tmp_path, **meta)
    with pytest.raises(ConfigError, match=r"pandar64, pandargt.*say which one") as stop:
        lidistill.load(run, "cpu")
    assert "\n" not in str(stop.value)
    named = lidistill.load(run, "cpu", sensor="pandargt")
    assert statistics(named) == statistics(SENSORS["pandargt"])
    own = lidistill.load(run, "cpu", intensity_mean=1, intensity_std=2)
    assert statistics(own) == ("own", 1, 2)


def two_sensors(world):
    values = pretrain_values(world)
    (one,) = values["data"]["sets"]
    values["data"]["sets"] = [one, one | {"sensor": "pandargt"}]
    return make(values)


def test_a_sensor_that_was_not_trained_on_can_be_named(world):
    model = lidistill.load(world / "pretrain", "cpu", sensor="nuscenes")
    assert model.sensor == SENSORS["nuscenes"]
    with pytest.raises(UnknownNameError, match="did you mean 'pandar64'"):
        lidistill.load(world / "pretrain", "cpu", sensor="pandar46")


def own_sets(root, **changes):
    config = {"kind": "folder", "root": str(root), **changes}
    return make(pretrain_values(root), f"data.sets=[{config}]").data


def test_a_checkpoint_knows_the_statistics_of_a_lidar_of_ones_own(world, tmp_path):
    data = own_sets(write_folder(tmp_path / "own"))
    meta = input_statistics(data)
    assert meta["intensity"] == [{"sensor": "own", "mean": 127.0, "std": 74.0}]
    run = copy_run(world / "pretrain", tmp_path / "run", **meta)
    assert lidistill.load(run, "cpu").sensor.intensity_std == 74


def test_an_old_checkpoint_finds_them_where_it_was_trained(world, tmp_path):
    root = write_folder(tmp_path / "own")
    recipe = (f"data.sets=[{{kind: folder, root: {root}}}]",)
    run = copy_run(
        world / "pretrain", tmp_path / "run", recipe=recipe, sensors=["own"], intensity=None
    )
    assert lidistill.load(run, "cpu").sensor.intensity_mean == 127
    (root / "statistics.yaml").unlink()
    with pytest.raises(ConfigError, match=r"0 statistics.*'own'.*intensity_mean"):
        lidistill.load(run, "cpu")


def test_two_lidars_of_one_name_must_be_told_apart_by_numbers(world, tmp_path):
    first, second = write_folder(tmp_path / "a"), write_folder(tmp_path / "b")
    write_yaml(second / "statistics.yaml", {"intensity_mean": 3.0, "intensity_std": 4.0})
    sets = f"data.sets=[{{kind: folder, root: {first}}},{{kind: folder, root: {second}}}]"
    meta = input_statistics(make(pretrain_values(world), sets).data)
    run = copy_run(world / "pretrain", tmp_path / "run", **meta)
    with pytest.raises(ConfigError, match="2 statistics"):
        lidistill.load(run, "cpu")
    with pytest.raises(ConfigError, match="2 statistics"):
        lidistill.load(run, "cpu", sensor="own")


def test_a_network_trained_without_intensity_ignores_it(world, frame, tmp_path):
    root = write_folder(tmp_path / "own")
    write_yaml(root / "calibration.yaml", {"intensity": "none"})
    meta = input_statistics(own_sets(root))
    assert meta["intensity"] == [{"sensor": "own", "mean": 0.0, "std": None}]
    model = lidistill.load(copy_run(world / "pretrain", tmp_path / "run", **meta), "cpu")
    assert not model.takes_intensity
    np.testing.assert_array_equal(
        model.features(frame.points, frame.intensity), model.features(frame.points, None)
    )


def test_counting_voxels_needs_no_pose(world, frame, tmp_path):
    recipe = ("data.sampling.voxel_frame=world",)
    run = copy_run(world / "pretrain", tmp_path / "run", recipe=recipe)
    assert lidistill.load(run, "cpu").features(frame.points, frame.intensity).shape == (900, 8)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"intensity_mean": 1.0}, "belong together"),
        ({"intensity_mean": 1.0, "intensity_std": 0.0}, "second positive"),
        ({"intensity_mean": float("nan"), "intensity_std": 1.0}, "finite"),
        ({"precision": "fp8"}, "fp8"),
        ({"device": "gpu"}, "gpu"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(world, arguments, expected):
    with pytest.raises(ConfigError, match=expected):
        lidistill.load(world / "pretrain", **({"device": "cpu"} | arguments))


def test_runs_that_lack_what_is_asked_for_say_so(world, frame, tmp_path):
    scan = frame.points, frame.intensity
    with pytest.raises(CheckpointError, match="features=input"):
        lidistill.load(world / "probe-input", "cpu")
    with pytest.raises(CheckpointError, match="learned no classes"):
        lidistill.load(world / "pretrain", "cpu").predict(*scan)
    with pytest.raises(CheckpointError, match="no head into the teacher's space"):
        lidistill.load(world / "probe-backbone", "cpu").project(*scan)
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        lidistill.load(tmp_path / "nothing", "cpu")


def test_neither_teacher_nor_data_are_needed(world, frame, tmp_path):
    moved = ("data.sets.0.root=/nowhere", "teacher.model=/nowhere/at/all")
    run = copy_run(world / "pretrain", tmp_path / "run", recipe=moved)
    assert lidistill.load(run, "cpu").project(frame.points, frame.intensity).shape[0] == 900


def test_the_model_is_frozen(world):
    model = lidistill.load(world / "pretrain", "cpu")
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.num_channels = 3
    assert "pandar64" in repr(model)
    assert len(repr(model)) < 2000


def test_importing_the_package_imports_no_network():
    code = "import sys, lidistill; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "load" in lidistill.__all__
    with pytest.raises(AttributeError, match="has no attribute 'features_of'"):
        lidistill.features_of  # noqa: B018


def test_half_precision_is_taken_before_there_is_a_row_for_every_point(world):
    """A million points at one place are one voxel; in single precision they took 600 MiB."""
    points = np.tile(np.array([[5.0, 3.0, -1.0]], np.float32), (300_000, 1))
    model = lidistill.load(world / "pretrain", "cpu")
    tracemalloc.start()
    found = model.features(points, None, dtype="float16")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.dtype == np.float16
    assert found.shape == (300_000, 8)
    np.testing.assert_array_equal(found, model.features(points, None).astype(np.float16))
    assert peak < 120 * len(points)


@pytest.fixture(scope="module")
def expected(world, frame):
    return outputs(world, frame)


def outputs(world, frame):
    """What every entry point says about a scan, the largest first."""
    points, intensity = np.tile(frame.points, (3, 1)), np.tile(frame.intensity, 3)
    points[:, 2] += np.linspace(0, 1, len(points))  # voxels of their own
    distilled, classes = (
        lidistill.load(world / run, sensor="pandar64") for run in ("pretrain", "finetune-backbone")
    )
    return (
        distilled.features(points, intensity),
        distilled.project(points, intensity),
        classes.predict(points, intensity),
    )


@every_mode
@pytest.mark.usefixtures("threads")
def test_every_entry_point_says_the_same_in_every_mode_of_its_caller(world, frame, expected, mode):
    with MODES[mode]():
        found = outputs(world, frame)
    np.testing.assert_array_equal(found[2], expected[2])
    for one, other in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
