"""Where the reference vectors and the real data lie, and how their cases are found."""

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import pytest
from safetensors import safe_open
from torch import Tensor

ROOT = Path(__file__).parents[1]
GOLDEN = Path(os.environ.get("LIDISTILL_GOLDEN", ROOT / "../shared/golden"))
DATA = Path(os.environ.get("LIDISTILL_DATA", ROOT / "../shared/data"))

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA}")


def golden_files(*patterns: str) -> list[object]:
    """Parameters of a test: every reference file that fits a pattern, or one skipped case."""
    if not GOLDEN.is_dir():
        skip = pytest.mark.skip(reason=f"no reference vectors at {GOLDEN}")
        return [pytest.param(GOLDEN, marks=skip, id="no-reference-vectors")]
    files = sorted({file for pattern in patterns for file in GOLDEN.glob(pattern)})
    return [pytest.param(file, id=file.stem) for file in files]


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    """All tensors of a safetensors file, and the ``meta`` of its header."""
    with safe_open(str(file), framework="pt") as content:
        meta = json.loads((content.metadata() or {}).get("meta", "{}"))
        return {name: content.get_tensor(name) for name in content.keys()}, meta  # noqa: SIM118


def load_module(file: Path) -> ModuleType:
    """A recipe for weights, which lies beside the vectors as Python."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
