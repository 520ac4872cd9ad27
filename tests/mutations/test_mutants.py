"""Damaged and hostile files of every data set; ``every_mutant.py`` is the long form."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from mutations.mutants import LIGHT, TARGETS, Reading, judge, mutate, read

NUM_KINDS = 6


@pytest.fixture(scope="module", params=TARGETS)
def miniature(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A kind of file, the folder of a sound miniature, and what is read of it."""
    name = request.param
    root = tmp_path_factory.mktemp("sound") / "set"
    TARGETS[name].write(root)
    return name, read(TARGETS[name], root)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_mutants_end_in_a_clear_error_or_change_nothing_that_could_be_told(
    miniature: tuple[str, Reading], tmp_path: Path
) -> None:
    name, sound = miniature
    target = TARGETS[name]
    kinds = sorted(LIGHT[name] - ({"unreadable"} if os.geteuid() == 0 else set()))
    chosen = random.Random(name).sample(kinds, NUM_KINDS)
    faults = {}
    for number, kind in enumerate(chosen):
        root = tmp_path / f"{number}"
        target.write(root)
        path = mutate(target, kind, root, seed=number)
        outcome, detail = judge(target, kind, root, path, sound)
        if outcome.endswith("!") or (tmp_path / f"{number}-outside" / "executed").exists():
            faults[kind] = f"{outcome} {detail}"
    assert not faults


def test_the_judge_finds_a_change_that_no_sensor_can_have_written(tmp_path: Path) -> None:
    target = TARGETS["nuscenes scan"]
    target.write(tmp_path / "set")
    sound = read(target, tmp_path / "set")
    path = next((tmp_path / "set").glob(target.files))
    points = np.fromfile(path, "<f4")
    points[0] += 1
    points.tofile(path)
    assert judge(target, "NaN", tmp_path / "set", path, sound) == ("plausible", "")
    assert judge(target, "truncated", tmp_path / "set", path, sound)[0] == "changed!"
    path.unlink()
    assert judge(target, "missing", tmp_path / "set", path, sound)[0] == "names frame"
