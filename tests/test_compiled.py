import subprocess
import sys

import pytest

from lidistill.compiled import SWITCH, compiling
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
