"""``make demo`` and ``make test`` with a Python that only writes down what it is asked for."""

import os
import re
import shutil
import subprocess

import pytest
from golden_cases import ROOT

STUB = """#!/bin/sh
[ "$1" = -c ] && exit {status}
echo "python $*" >> "{log}"
[ "$2" = venv ] || exit 0
mkdir -p "$3/bin"
echo 'export PATH="{tools}:$PATH"' > "$3/bin/activate"
"""
LIDISTILL = '#!/bin/sh\necho "lidistill $*" >> "{log}"\n'


@pytest.fixture
def checkout(tmp_path):
    for name in ("Makefile", "README.md", "pyproject.toml", ".ci"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    return tmp_path


def stub(folder, name, text, **values):
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    program = tools / name
    program.write_text(text.format(log=folder / "log", tools=tools, **values), encoding="utf-8")
    program.chmod(0o755)
    return program


def make(folder, *arguments):
    """Exit status of make in a folder, and what was started; the log begins anew."""
    python = next((folder / "tools").glob("python"))
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["make", *arguments, f"PYTHON={python}"],
        cwd=folder,
        env=kept,
        check=False,
        capture_output=True,
        text=True,
    )
    log = folder / "log"
    started = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return done.returncode, started


def torch_of(started):
    return [line.partition("install ")[2] for line in started if "install torch" in line]


def test_the_environment_is_made_once_and_again_for_another_pytorch(checkout):
    stub(checkout, "python", STUB, status=0)
    stub(checkout, "lidistill", LIDISTILL)
    status, started = make(checkout, "demo")
    assert status == 0
    assert started[0] == "python -m venv .venv"
    assert started[1] == "python -m pip install --upgrade pip>=25.1"
    assert torch_of(started) == ["torch==2.13.0"]
    assert started[-1] == "lidistill demo"
    assert make(checkout, "demo") == (0, ["lidistill demo"])
    assert torch_of(make(checkout, "demo", "TORCH=torch==2.8.0")[1]) == ["torch==2.8.0"]
    assert make(checkout, "demo") == (0, ["lidistill demo"])  # with the PyTorch that is there
    (test,) = make(checkout, "test")[1]
    assert test.startswith("python -m pytest")
    assert make(checkout, "gpu-check")[1] == ["python benchmarks/gpu_check.py"]
    os.utime(checkout / "pyproject.toml", (2**32, 2**32))
    assert torch_of(make(checkout, "demo")[1]) == ["torch==2.8.0"]


def test_an_old_python_makes_nothing(checkout):
    stub(checkout, "python", STUB, status=1)
    status, started = make(checkout, "test")
    assert status != 0
    assert started == []
    assert not (checkout / ".venv").exists()


def test_the_readme_begins_with_both_commands_and_keeps_the_lines_of_pip():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ (.*)$", readme, flags=re.M)
    assert commands[:2] == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    _, recipe = makefile.split("$(made): pyproject.toml\n")  # of the environment
    made = re.findall(r"pip install (?:--\w.*)$", recipe, flags=re.M)
    assert len(made) == 3
    for line in made:
        assert line in "\n".join(commands), line


def test_ci_stops_where_the_readme_has_no_test_command(checkout):
    readme = checkout / "README.md"
    readme.write_text(readme.read_text(encoding="utf-8").replace("$ make test", "$ pytest"))
    done = subprocess.run(
        ["bash", ".ci/run"], cwd=checkout, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "has no test command" in done.stderr
    assert not (checkout / ".venv").exists()
