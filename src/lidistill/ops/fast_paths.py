"""Which fast path runs where: compiled loops on the CPU, Triton on GPUs, else the definition.

Shape letters: M points, K neighbours, F input channels, C channels.
"""

import importlib.util
import logging
from functools import cache

import torch
from torch import Tensor

from lidistill.ops.fused_layer import COMPILED, Passes

logger = logging.getLogger(__name__)


@cache
def triton_installed() -> bool:
    """Whether Triton can be imported; said once where a GPU would need it."""
    found = importlib.util.find_spec("triton") is not None
    if not found:
        logger.warning(
            "Triton is not installed, so the student runs without its fast GPU path; it comes with "
            "PyTorch for CUDA on Linux (pip install triton)."
        )
    return found


def passes_for(tokens: Tensor) -> Passes | None:
    """Passes of a fused layer for these points (M, C); None where only the definition runs."""
    if tokens.dtype != torch.float32:
        return None
    if tokens.device.type == "cpu":
        return COMPILED
    if tokens.device.type == "cuda" and triton_installed():
        from lidistill.ops.gpu.layer import TRITON  # noqa: PLC0415  Triton is optional

        return TRITON
    return None


def product_dtype(device: str) -> torch.dtype | None:
    """Number format that autocast wants products in; None where no fast path has it."""
    if not torch.is_autocast_enabled(device):
        return torch.float32
    dtype = torch.get_autocast_dtype(device)
    return dtype if dtype == torch.bfloat16 else None
