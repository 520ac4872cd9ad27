"""Probes and scores on a network that computes as it does where it does not learn."""

import json
import logging

import numpy as np
import pytest
import torch
from fakes.runs import pretrain_values, probe_values, write_world

from lidistill.backbones import checked
from lidistill.backbones.checked import CheckedNetwork
from lidistill.backbones.waffleiron.model import WaffleIron
from lidistill.distill.run import pretrain
from lidistill.recipes import apply_overrides
from lidistill.samples.labelled import scan_sample
from lidistill.segment import inference
from lidistill.segment.encoders import BackboneEncoder
from lidistill.segment.report import evaluate_run, restored, train_and_score
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.run_files import read_log


def make(values, *overrides):
    return apply_overrides(values, overrides, source="tiny")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inference")
    write_world(folder)
    pretrain(make(pretrain_values(folder)))
    return folder


def probe(world, name, *overrides):
    output = world / name
    recipe = make(
        probe_values(world),
        "cache_features=true",
        "sampling.augmentation.kind=none",
        f"output={output}",
        *overrides,
    )
    return recipe, train_and_score(recipe), [row["loss"] for row in read_log(output / "log.jsonl")]


@pytest.fixture(scope="module")
def exact(world):
    """A probe with what the recipe says by itself."""
    return probe(world, "exact")


@pytest.fixture
def few_are_enough(monkeypatch):
    """Small scans, and few of them, are enough to look at; the machine is fast in 16 bits."""
    monkeypatch.setattr(inference, "fast_in_bf16", lambda _: True)
    monkeypatch.setattr(inference, "FEWEST_SCANS", 1)
    monkeypatch.setattr(checked, "ENOUGH", 100)


def said(output):
    return json.loads((output / "results.json").read_text("utf-8"))["inference"]


def test_a_probe_on_features_of_16_bits_learns_nearly_the_same(world, exact):
    recipe, result, losses = probe(world, "low", "inference=bf16")
    np.testing.assert_allclose(losses, exact[2], rtol=0.05)
    total = exact[1].evaluation.confusion.sum()
    moved = np.abs(result.evaluation.confusion - exact[1].evaluation.confusion).sum() / 2
    assert moved <= 0.05 * total
    assert losses != exact[2]
    assert said(recipe.output) == {"precision": "bf16"}
    assert said(exact[0].output) == {"precision": "fp32"}


def test_scores_are_those_of_the_network_as_it_was_trained(exact):
    """What is folded differs by rounding alone, and the caller's autocast reaches neither."""
    recipe, _, _ = exact
    segmentation = restored(recipe, load_checkpoint(recipe.output))
    scored = recipe.evaluation.build()
    folded = segmentation.for_scores("fp32", scored, recipe.sampling)
    frame = scored[0]
    sample = scan_sample(frame, recipe.sampling, segmentation.preparer)
    found, wanted = (one.class_scores(frame, sample)[0] for one in (folded, segmentation))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(folded.class_scores(frame, sample)[0], found)
        assert torch.equal(segmentation.class_scores(frame, sample)[0], wanted)


@pytest.mark.parametrize(("allowed", "taken"), [(-1, "fp32"), (0, "bf16")])
def test_auto_scores_in_what_the_first_frames_allow_and_says_so(
    exact, few_are_enough, monkeypatch, caplog, tmp_path, allowed, taken
):
    monkeypatch.setattr(checked.Difference, "most_at_first", property(lambda _: allowed))
    monkeypatch.setattr(checked, "_drawn", lambda _: False)
    recipe, before, _ = exact
    auto = recipe.model_copy(update={"output": tmp_path, "inference": "auto"})
    with caplog.at_level(logging.INFO):
        found = evaluate_run(auto, load_checkpoint(recipe.output)).evaluation
    assert found.confusion.sum() == before.evaluation.confusion.sum()
    record = said(tmp_path)
    assert record == {
        "precision": taken,
        "points_changed_at_first": 0,
        "points_seen_at_first": record["points_seen_at_first"],
        "scans_in_fp32_after_a_check": 0,
    }
    line = f"products in {taken}: bf16 gives 0 of the first {record['points_seen_at_first']} points"
    assert caplog.text.count(line) == 1

    segmentation, scored = restored(recipe, load_checkpoint(recipe.output)), auto.evaluation.build()
    frame = scored[0]
    sample = scan_sample(frame, recipe.sampling, segmentation.preparer)
    scores = {
        precision: segmentation.for_scores(precision, scored, recipe.sampling)
        .class_scores(frame, sample)[0]
        for precision in ("auto", "fp32", "bf16")
    }  # fmt: skip
    assert not torch.equal(scores["fp32"], scores["bf16"])
    assert torch.equal(scores["auto"], scores[taken])


def test_auto_is_exact_where_nothing_else_pays(exact, monkeypatch, caplog):
    recipe, _, _ = exact
    segmentation = restored(recipe, load_checkpoint(recipe.output))
    frames = recipe.evaluation.build()
    with caplog.at_level(logging.INFO):
        for fast in (True, False):
            monkeypatch.setattr(inference, "fast_in_bf16", lambda _, fast=fast: fast)
            encoder = segmentation.for_scores("auto", frames, recipe.sampling).encoder
            assert isinstance(encoder, BackboneEncoder)
            assert isinstance(encoder.backbone, CheckedNetwork) == fast
            assert inference.precision_taken(encoder)["precision"] == "fp32"
        monkeypatch.setattr(WaffleIron, "has_16_bits", False)
        encoder = segmentation.for_scores("bf16", frames, recipe.sampling).encoder
    assert inference.precision_taken(encoder) == {"precision": "fp32"}
    for reason in ("pays from 10 scans on", "not faster in bf16", "WaffleIron has no other form"):
        assert caplog.text.count(reason) == 1


def test_only_a_network_of_points_has_another_form(world):
    raw = make(probe_values(world, "input"), "train.steps=1", f"output={world / 'raw'}")
    train_and_score(raw)
    plain = restored(raw, load_checkpoint(raw.output))
    frames = raw.evaluation.build()
    assert plain.for_scores("bf16", frames, raw.sampling).encoder is plain.encoder
    assert said(raw.output) == {}
