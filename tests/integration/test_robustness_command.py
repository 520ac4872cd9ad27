import json
import subprocess

import numpy as np
import pytest
from fakes.command import run
from fakes.runs import pretrain_values, probe_values, write_world
from faults.ranks import environment, torchrun

from lidistill.apps.robustness import mean_iou_by_condition
from lidistill.recipes import apply_overrides
from lidistill.robustness.scan import KINDS, SEVERITIES
from lidistill.robustness.shifts import SHIFT_NAMES
from lidistill.segment.report import evaluate_run, train_and_score
from lidistill.training.checkpoint import load_checkpoint

CONDITIONS = ["clean", *(f"{kind}/{severity}" for kind in KINDS for severity in SEVERITIES)]


@pytest.fixture(scope="module")
def probes(tmp_path_factory):
    """Two probes of the input channels."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    outputs = []
    for name in ("short", "long"):
        output = folder / name
        changes = (
            "features=input", f"name={name}", f"output={output}", "backbone.kind=waffleiron",
            f"train.steps={5 if name == 'short' else 40}",
        )  # fmt: skip
        train_and_score(apply_overrides(with_network(folder), changes, source="tiny"))
        outputs.append(output)
    return outputs


def with_network(folder):
    """A probe that needs no distillation before it."""
    values = probe_values(folder)
    del values["checkpoint"]
    return values | {"backbone": pretrain_values(folder)["backbone"]}


def test_all_conditions_are_scored_and_compared(probes, tmp_path, capsys):
    short, long = probes
    common = ("--output", tmp_path, "--shifts", "--baseline", short)
    status, out, err = run(capsys, "robustness", long, *common)
    assert status == 0, err
    assert "mCE over short" in " ".join(out.split())
    record = json.loads((tmp_path / "robustness.json").read_text())
    scores = record["runs"]["long"]
    assert list(scores["mean_iou"]) == [*CONDITIONS, *SHIFT_NAMES]
    assert scores["num_frames"] == 4
    assert scores["benchmark"] is None
    # The mean over severities, and both numbers from it.
    by_kind = {k: np.mean([scores["mean_iou"][f"{k}/{s}"] for s in SEVERITIES]) for k in KINDS}
    assert scores["by_corruption"] == pytest.approx(by_kind, abs=1e-3)
    assert scores["RR"]["fog"] == pytest.approx(100 * by_kind["fog"] / scores["clean"], abs=1e-2)
    base = record["runs"]["short"]["by_corruption"]
    error = 100 * (100 - by_kind["snow"]) / (100 - base["snow"])
    assert scores["against"]["short"]["CE"]["snow"] == pytest.approx(error, abs=1e-2)
    assert record["runs"]["short"]["against"]["short"]["mCE"] == pytest.approx(100)
    assert "| mIoU % | long | short |" in (tmp_path / "robustness.md").read_text()
    for name in ("robustness.png", "examples.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_condition_is_what_evaluate_gives_on_corrupted_frames(probes, tmp_path, capsys):
    _, long = probes
    assert run(capsys, "robustness", long, "--output", tmp_path)[0] == 0
    record = json.loads((tmp_path / "robustness.json").read_text())
    checkpoint = load_checkpoint(long)
    for name, change in (
        ("clean", "null"),
        ("crosstalk/heavy", "{kind: crosstalk, severity: heavy}"),
        ("motion_blur/light", "{kind: motion_blur, severity: light}"),
    ):
        recipe = apply_overrides(
            checkpoint.recipe,
            (f"evaluation.corruption={change}", f"output={tmp_path / 'again'}"),
            source="run",
        )
        expected = evaluate_run(recipe, checkpoint).evaluation.confusion
        np.testing.assert_array_equal(record["confusion"]["long"][name], expected)


def test_a_second_call_counts_only_what_is_left(probes, tmp_path, capsys):
    _, long = probes
    assert run(capsys, "robustness", long, "--output", tmp_path)[0] == 0
    whole = json.loads((tmp_path / "robustness.json").read_text())["confusion"]
    [part] = (tmp_path / "counts").glob("*/*.npz")
    before = part.read_bytes()
    assert run(capsys, "robustness", long, "--output", tmp_path)[0] == 0
    assert [*(tmp_path / "counts").glob("*/*.npz")] == [part]
    assert part.read_bytes() == before
    assert json.loads((tmp_path / "robustness.json").read_text())["confusion"] == whole
    # Other seeds are other sets; a damaged file is named.
    assert run(capsys, "robustness", long, "--output", tmp_path, "--seed", "1")[0] == 0
    assert len([*(tmp_path / "counts").glob("*/*.npz")]) == 2
    part.write_bytes(before[:100])
    status, _, err = run(capsys, "robustness", long, "--output", tmp_path)
    assert status == 2
    assert "delete it, and count anew" in " ".join(err.split())


@pytest.mark.slow
def test_two_processes_count_as_one_does(probes, tmp_path, capsys):
    _, long = probes
    assert run(capsys, "robustness", long, "--output", tmp_path / "one")[0] == 0
    command = torchrun(["robustness", str(long), "--output", str(tmp_path / "two")], ranks=2)
    done = subprocess.run(command, env=environment("robust"), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    one, two = (
        json.loads((tmp_path / name / "robustness.json").read_text())["confusion"]
        for name in ("one", "two")
    )
    assert one == two
    assert len([*(tmp_path / "two" / "counts").glob("*/*.npz")]) == 2


def test_bad_calls_end_in_one_line(probes, tmp_path, capsys):
    _, long = probes
    fog = "evaluation.corruption={kind: fog}"
    for words, reason in (
        ((), "needs runs"),
        ((long, long), "each once"),
        ((long, fog), "evaluation.corruption=null"),
        ((long, "evaluation.corruption={kind: rain}"), "kind"),
    ):
        status, _, err = run(capsys, "robustness", *words, "--output", tmp_path)
        assert status == 2
        assert reason in " ".join(err.split())


def test_a_class_that_a_corruption_hides_stays_in_the_mean():
    clean = [[8, 2, 0], [0, 10, 0], [0, 0, 0]]
    hidden = [[0, 0, 0], [0, 5, 0], [0, 0, 0]]
    found = mean_iou_by_condition(np.array([clean, hidden]))
    np.testing.assert_allclose(found, [(0.8 + 10 / 12) / 2, 0.5])
