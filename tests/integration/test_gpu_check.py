import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.kernels import INTERPRETS

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "interpreted",
    [
        "0",
        pytest.param(
            "1",
            marks=pytest.mark.skipif(
                not INTERPRETS, reason="no Triton whose interpreter knows this NumPy"
            ),
        ),
    ],
)
def test_the_gpu_benchmark_runs_dry_to_its_end(interpreted, tmp_path):
    output = tmp_path / "check.json"
    subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "gpu_check.py", "--dry-run", "--output", output],
        env=os.environ | {"TRITON_INTERPRET": interpreted},
        check=True,
        capture_output=True,
    )
    record = json.loads(output.read_text())
    assert record["failures"] == []
    assert ("layers" in record) == (interpreted == "1")
    for part in ("student", "student_and_teacher", "student_and_teacher_fp16"):
        assert record["steps"]["WI-2-24"][part]["samples_per_s"] > 0
