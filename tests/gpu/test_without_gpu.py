"""What can be proven of the kernels where there is no GPU: their values, and that they compile."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.kernels import HAS_TRITON, INTERPRETS

HERE = Path(__file__).parent

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed"),
]


def run(*command, **variables):
    done = subprocess.run(
        [sys.executable, *command],
        env=os.environ | variables,
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.skipif("TRITON_INTERPRET" in os.environ, reason="is what this test starts")
@pytest.mark.skipif(not INTERPRETS, reason="no Triton whose interpreter knows this NumPy")
def test_all_kernels_pass_in_the_interpreter():
    files = [str(file) for file in sorted(HERE.glob("test_*.py")) if file != Path(__file__)]
    output = run("-m", "pytest", "-q", *files, TRITON_INTERPRET="1")
    assert "passed" in output
    assert "skipped" not in output


def test_all_kernels_compile_for_a_gpu_that_is_not_there(tmp_path):
    program = "from fakes.compile_kernels import main; main()"
    folders = os.pathsep.join([str(HERE.parent), *sys.path])
    output = run(
        "-c", program, PYTHONPATH=folders, TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path)
    )
    assert int(output.split()[0]) >= 20
