"""Help, lists and mistyped options answer without the libraries that take seconds to load."""

import json
import subprocess
import sys

import pytest

from lidistill.cli import COMMANDS

HEAVY = ("torch", "numba", "scipy", "transformers", "matplotlib")
ASK = f"""
import contextlib, io, json, sys
from lidistill.cli import main
loaded = {{}}
for words in json.loads(sys.argv[1]):
    status, text = 0, io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            main(words)
        except SystemExit as end:
            status = end.code or 0
    found = [name for name in {HEAVY} if name in sys.modules]
    loaded[" ".join(words)] = [status, len(text.getvalue()), found]
print(json.dumps(loaded))
"""


def asked(*commands):
    """Status, length of the answer and heavy modules after each of some commands."""
    words = [sys.executable, "-c", ASK, json.dumps(commands)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def test_no_help_loads_a_heavy_library():
    answers = asked(*[[*name.split(), "--help"] for name in COMMANDS])
    assert len(answers) == len(COMMANDS)
    for name, (status, length, heavy) in answers.items():
        assert (status, heavy) == (0, []), name
        assert length > 200, name


def test_recipes_are_listed_and_printed_without_a_heavy_library():
    answers = asked(["recipes"], ["recipes", "--json"], ["recipes", "finetune/scalr/nuscenes"])
    assert [(status, heavy) for status, _, heavy in answers.values()] == [(0, [])] * 3
    assert all(length > 500 for _, length, _ in answers.values())


@pytest.mark.parametrize("words", [["features", "--outptu", "x"], ["view", "--max-frames", "a"]])
def test_a_mistyped_option_is_told_without_a_heavy_library(words):
    ((status, length, heavy),) = asked(words).values()
    assert (status, heavy) == (2, [])
    assert length > 20


def test_models_of_recipes_come_when_they_are_asked_for():
    code = (
        "import sys, lidistill.recipes as r; before = 'torch' in sys.modules; "
        "r.load_recipe('pretrain/debug'); print(before, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]
