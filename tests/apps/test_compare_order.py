import pytest
from fakes.command import run


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (("finetune.train.stepz=3",), "train.stepz"),
        (("finetune.data.sets.0.root=/no/such",), "there is no folder /no/such"),
    ],
)
def test_what_is_wrong_with_the_last_run_is_said_before_the_first(
    tmp_path, capsys, monkeypatch, changes, line
):
    begun = []
    monkeypatch.setattr("lidistill.apps.compare.run_pretrain", begun.append)
    places = ("pretrain.data.sets.0", "probe.data.sets.0", "probe.evaluation.sets.0")
    there = [f"{place}.root={tmp_path}" for place in (*places, "finetune.evaluation.sets.0")]
    status, _, err = run(capsys, "compare", *there, *changes, "--output", tmp_path / "out")
    assert status == 2
    assert line in err
    assert not begun
