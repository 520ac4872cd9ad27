"""Runs that an older version wrote load, go on and score as under that version itself.

``former/runs.zip`` holds runs that the commands of commit ec7a8c8 wrote, in its own keys
(``data.sampling.num_neighbors``, ``grid``, ``drop_path``), on the miniatures of ``fakes.runs`` of
that time; ``former/numbers.json`` what ``go_on`` gave under it. ``former/make.py`` made both.
"""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fakes.runs import write_street, write_vit

import lidistill
from lidistill.cli import main

FORMER = Path(__file__).with_name("former")
STEPS = {"pretrain": 4, "probe-backbone": 5, "finetune-backbone": 5}


def command(*arguments):
    main([str(argument) for argument in arguments])  # would raise SystemExit


def scan():
    rng = np.random.default_rng(5)
    points = rng.uniform([-30, -30, -3], [30, 30, 3], (200, 3)).astype(np.float32)
    return points, rng.uniform(0, 60, 200).astype(np.float32)


def go_on():
    """Numbers of the runs in the working folder: as they are, and after some more steps."""
    numbers = {}
    for run in ("pretrain", "finetune-backbone"):
        found = lidistill.load(run, "cpu").features(*scan())
        numbers[f"features of {run}"] = found[::20].astype(float).tolist()
    for run in ("probe-backbone", "finetune-backbone"):
        command("evaluate", run)
        numbers[f"scores of {run}"] = scores(Path(run, "evaluation"))
    for run, steps in STEPS.items():
        command(run.split("-")[0], f"{run}.yaml", f"train.steps={steps}")
        log = Path(run, "log.jsonl").read_text().splitlines()
        numbers[f"losses of {run}"] = [json.loads(line)["loss"] for line in log]
        if run != "pretrain":
            numbers[f"scores of {run}, longer"] = scores(Path(run))
    return numbers


def scores(folder):
    found = json.loads((folder / "results.json").read_text())
    return {key: found[key] for key in ("data_fingerprint", "all_points", "confusion")}


@pytest.fixture
def recorded():
    return json.loads((FORMER / "numbers.json").read_text())


def test_runs_of_an_older_version_go_on_and_score_the_same(tmp_path, monkeypatch, recorded):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(FORMER / "runs.zip") as packed:
        packed.extractall(tmp_path)
    write_street(Path("set"))
    write_vit(Path("vit"))
    found = go_on()
    assert found.keys() == recorded.keys()
    for name, expected in recorded.items():
        if name.startswith("scores"):
            assert found[name] == expected, name
        else:
            # Other processors add in another order; on the one that recorded, all bits are equal.
            np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)
