"""The command with which a report ends, by which of its runs can be looked at."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from lidistill.cli import offer_view

FEATURES = {"a": "backbone", "b": "random", "teacher": "teacher", "input": "input"}


@pytest.mark.parametrize(
    ("runs", "offered"),
    [
        (["a", "teacher", "b"], "lidistill view a b --most-different"),
        (["teacher", "a"], "lidistill view a"),
        (["teacher", "input"], ""),
        ([], ""),
    ],
)
def test_two_runs_are_side_by_side_and_one_is_alone(runs, offered, monkeypatch, capsys):
    def load(run):
        return SimpleNamespace(recipe={"features": FEATURES[run.name]})

    monkeypatch.setattr(offer_view, "load_checkpoint", load)
    offer_view.offer_view([Path(run) for run in runs])
    assert capsys.readouterr().out.removeprefix("look").strip() == offered
