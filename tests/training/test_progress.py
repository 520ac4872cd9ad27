"""What a bar shows on terminals of different widths."""

import io
import logging
import re

import pytest
from rich.console import Console

from lidistill.training import progress
from lidistill.training.progress import ProgressBar

TEXT = "loss 0.8217  cosine 0.6623  lr 0.001234  pairs_per_s 1.234e+05"


@pytest.mark.parametrize("width", [60, 80, 160])
def test_step_and_time_left_are_shown_whatever_the_width(monkeypatch, width):
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(progress, "Console", lambda **_: console)
    with ProgressBar("training", total=25_000, done=0) as bar:
        bar.to(1_234, TEXT)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).splitlines()
    last = [line for line in lines if "training" in line][-1]
    assert len(last) <= width
    assert "1234/25000" in last
    assert re.search(r"\d+:\d\d:\d\d left|-:--:-- left", last)
    assert "loss 0.8217" in last
    assert (TEXT in last) == (width == 160)


@pytest.mark.parametrize(("text", "said"), [("", "scans 2/4, 0 s left"), (TEXT, f"4 {TEXT}, 0")])
def test_a_log_line_has_a_text_where_there_is_one(monkeypatch, caplog, text, said):
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.0)
    with caplog.at_level(logging.INFO), ProgressBar("scans", total=4, done=1) as bar:
        bar.advance(text)
    assert said in caplog.text
