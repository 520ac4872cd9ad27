"""Where Triton kernels can run: on a GPU, or on the CPU in Triton's interpreter."""

import importlib.util
import os
from importlib.metadata import version

import pytest
import torch


def _numbers(package):
    major, minor = version(package).split(".")[:2]
    return int(major), int(minor)


HAS_TRITON = importlib.util.find_spec("triton") is not None
INTERPRETS = HAS_TRITON and (_numbers("triton") >= (3, 9) or _numbers("numpy") < (2, 4))
"""Whether Triton's interpreter works: that of 3.6 cannot loop over a range in NumPy 2.4."""
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"

pytestmark = [
    pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed"),
    pytest.mark.skipif(
        not (INTERPRETED or torch.cuda.is_available()), reason="needs a GPU or TRITON_INTERPRET=1"
    ),
]
if not INTERPRETED:
    pytestmark.append(pytest.mark.gpu)
