import importlib
import subprocess
import sys

import pytest

from lidistill.compiled import SWITCH, compiling, is_kept
from lidistill.errors import ConfigError


@pytest.mark.parametrize(("value", "expected"), [(None, True), ("1", True), ("0", False)])
def test_loops_are_compiled_unless_the_switch_says_no(value, expected, monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)
    if value is not None:
        monkeypatch.setenv(SWITCH, value)
    assert compiling() is expected


@pytest.mark.parametrize("value", ["", "yes", "2"])
def test_any_other_value_of_the_switch_is_refused(value, monkeypatch):
    monkeypatch.setenv(SWITCH, value)
    with pytest.raises(ConfigError, match=f"^{SWITCH} is '{value}', expected 1 .* or 0"):
        compiling()


def test_a_loop_is_kept_once_it_has_been_called(tmp_path, monkeypatch):
    lines = "from lidistill.compiled import compiled\n@compiled\ndef half(x):\n    return x / 2\n"
    (tmp_path / "loop_of_a_test.py").write_text(lines)
    monkeypatch.syspath_prepend(tmp_path)
    half = importlib.import_module("loop_of_a_test").half
    assert not is_kept(half)
    assert half(3.0) == 1.5
    assert is_kept(half)


@pytest.mark.parametrize("arguments", [["--help"], ["data", "--help"]])
def test_help_does_not_load_the_compiler(arguments):
    code = f"""
import sys
from lidistill.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
print("numba" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "False"
