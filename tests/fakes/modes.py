"""The modes of PyTorch that a caller may be in, and the numbers of threads it may have."""

import contextlib

import pytest
import torch

MODES = {
    "plain": contextlib.nullcontext,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "fp16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "bf16": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}
"""Contexts by their names."""

every_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(name="threads", params=[1, 2, 16])
def with_threads(request):
    """One thread, two, and more than there are cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
