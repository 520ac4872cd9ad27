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


@pytest.mark.parametrize(
    ("overrides", "data"),
    [
        (("evaluation.sets.0.root=moved", "1.evaluation.sets.0.root=moved"), " moved"),
        (("seed=1", "evaluation.sets.0.root=my data"), " 'my data'"),
        (("0.evaluation.sets.0.root=a", "1.evaluation.sets.0.root=b"), ""),
    ],
)
def test_data_that_lie_elsewhere_are_named(overrides, data, monkeypatch, capsys):
    monkeypatch.setattr(offer_view, "load_checkpoint", lambda _: SimpleNamespace(recipe={}))
    offer_view.offer_view([Path("a")], overrides)
    assert capsys.readouterr().out.split("look", 1)[1].strip() == f"lidistill view a{data}"
