import json
import logging

import pytest

from lidistill.training.progress import ProgressBar, track
from lidistill.training.run_files import read_log
from lidistill.training.tracking import JsonLinesTracker, TensorBoardTracker, Trackers


def test_a_resumed_log_drops_what_came_after_the_checkpoint(tmp_path):
    path = tmp_path / "log.jsonl"
    tracker = JsonLinesTracker(path)
    for step in (1, 2, 3):
        tracker.log(step, {"loss": float(step)})
    tracker.close()
    resumed = JsonLinesTracker(path, resume_step=1)
    resumed.log(2, {"loss": 20.0})
    resumed.close()
    assert read_log(path) == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 20.0}]


def test_a_last_line_that_was_cut_off_is_left_out_and_said(tmp_path, caplog):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 1.0}\n{"step": 2, "lo')
    with caplog.at_level(logging.WARNING):
        assert read_log(path) == [{"step": 1, "loss": 1.0}]
    assert "cut off" in caplog.text


def test_the_log_is_strict_json_whatever_a_gradient_is(tmp_path):
    path = tmp_path / "log.jsonl"
    tracker = JsonLinesTracker(path)
    tracker.log(1, {"loss": 2.0, "grad_norm": float("nan")})
    tracker.log(2, {"loss": 1.0, "grad_norm": float("-inf")})
    tracker.close()
    lines = path.read_text().splitlines()
    found = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert found == [
        {"step": 1, "loss": 2.0, "grad_norm": None},
        {"step": 2, "loss": 1.0, "grad_norm": None},
    ]
    JsonLinesTracker(path, resume_step=1).close()
    assert read_log(path) == found[:1]


def test_several_trackers_get_the_same_numbers(tmp_path):
    both = Trackers(JsonLinesTracker(tmp_path / "log.jsonl"), TensorBoardTracker(tmp_path / "tb"))
    both.log(1, {"loss": 2.0})
    both.close()
    assert read_log(tmp_path / "log.jsonl") == [{"step": 1, "loss": 2.0}]
    assert list((tmp_path / "tb").glob("events.*"))


def test_track_passes_every_item_on():
    assert list(track("abc", "letters", total=3)) == ["a", "b", "c"]


def test_progress_is_logged_where_there_is_no_terminal(caplog, monkeypatch):
    monkeypatch.setattr("lidistill.training.progress._LOG_SECONDS", 0.0)
    with caplog.at_level(logging.INFO), ProgressBar("training", total=2) as bar:
        bar.advance("loss 1.0")
    assert "training 1/2 loss 1.0" in caplog.text
