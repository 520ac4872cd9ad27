import pytest
from fakes.runs import finetune_values, pretrain_values, probe_values, write_world
from pydantic import ValidationError

from lidistill.distill.run import pretrain
from lidistill.errors import ConfigError
from lidistill.recipes import apply_overrides
from lidistill.segment.report import train_and_score
from lidistill.training.run_files import read_log

ALWAYS = "data.corruption={probability: 1.0, kinds: [beam_missing, crosstalk, fog]}"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    return folder


def distilled(world, name, *overrides):
    """Losses of a distillation of two steps."""
    output = world / name
    changes = (f"output={output}", "train.steps=2", "schedule.warmup_steps=1", *overrides)
    pretrain(apply_overrides(pretrain_values(world), changes, source="tiny"))
    return [record["loss"] for record in read_log(output / "log.jsonl")]


def test_distillation_learns_from_corrupted_frames_wherever_samples_are_made(world):
    plain = distilled(world, "plain")
    corrupted = distilled(world, "corrupted", ALWAYS)
    assert corrupted != plain
    assert distilled(world, "again", ALWAYS) == corrupted
    assert distilled(world, "workers", ALWAYS, "data.workers=2") == corrupted
    on_device = distilled(world, "device", ALWAYS, "samples=device")
    assert on_device == pytest.approx(corrupted, rel=1e-5)


def test_distillation_learns_from_a_wrong_calibration(world):
    plain = distilled(world, "exact")
    assert distilled(world, "wrong", "data.miscalibration={angle_deg: 2, offset_m: 0.1}") != plain
    assert distilled(world, "right", "data.miscalibration={angle_deg: 0}") == pytest.approx(plain)


def test_fine_tuning_learns_from_corrupted_frames(world):
    def losses(name, *overrides):
        own = ("features=random", "checkpoint=null", f"output={world / name}", "train.steps=2")
        values = finetune_values(world) | {"backbone": pretrain_values(world)["backbone"]}
        train_and_score(apply_overrides(values, (*own, *overrides), source="tiny"))
        return [record["loss"] for record in read_log(world / name / "log.jsonl")]

    assert losses("clean-labels") != losses("corrupted-labels", ALWAYS)


def test_what_cannot_be_augmented_says_so(world):
    for overrides in (("features=input",), ("cache_features=true",)):
        with pytest.raises((ConfigError, ValidationError), match=r"data\.corruption"):
            apply_overrides(probe_values(world), (*overrides, ALWAYS), source="tiny")
