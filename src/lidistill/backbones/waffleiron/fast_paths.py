"""Which fast path runs where: compiled loops on the CPU, Triton on GPUs, else the definition.

``LIDISTILL_COMPILE=0`` leaves the definition everywhere; see ``compiled``.

Shape letters: M points, K neighbours, F input channels, C channels.
"""

import contextlib
import importlib.util
import logging
from contextlib import AbstractContextManager
from functools import cache

import torch
from torch import Tensor

from lidistill.backbones.waffleiron.cpu.fused_layer import COMPILED, Passes
from lidistill.backbones.waffleiron.cpu.products import fastest
from lidistill.backbones.waffleiron.gpu.proof import LAYER, Family, trusted
from lidistill.compiled import SWITCH, compiling

logger = logging.getLogger(__name__)

FORMATS = frozenset({torch.float32, torch.bfloat16, torch.float16})
"""Of products in fast paths."""


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


def kernels_run(family: Family, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a family of Triton kernels runs on a GPU: installed, and proven there."""
    return triton_installed() and trusted(family, device, dtype)


def passes_for(tokens: Tensor, dtype: torch.dtype = torch.float32) -> Passes | None:
    """Passes of a fused layer, or None where only the definition runs.

    Args:
        tokens: (M, C) points.
        dtype: Number format of the products.
    """
    if tokens.dtype != torch.float32 or not compiling():
        return None
    if tokens.device.type == "cpu":
        return COMPILED
    if tokens.device.type == "cuda" and kernels_run(LAYER, tokens.device, dtype):
        from lidistill.backbones.waffleiron.gpu.layer import TRITON  # noqa: PLC0415  Triton is optional

        return TRITON
    return None


def product_format(device: str, wanted: torch.dtype) -> torch.dtype:
    """Number format in which a kind of device makes products, where a certain one is wanted.

    On the CPU float16 becomes float32: PyTorch's own float16 product of 2048 x 256 by 256 x 256
    takes 89 ms there, in float32 2.7 ms, in bfloat16 1.2 ms (AMD EPYC with AVX-512).
    """
    return torch.float32 if device == "cpu" and wanted == torch.float16 else wanted


def fast_products(device: str) -> AbstractContextManager[None]:
    """Context in which PyTorch's own products keep to ``product_format`` under autocast."""
    if not torch.is_autocast_enabled(device):
        return contextlib.nullcontext()
    wanted = torch.get_autocast_dtype(device)
    if product_format(device, wanted) == wanted:
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)


def product_dtype(device: str) -> torch.dtype | None:
    """Number format that fast paths make products in under the caller's autocast; None: in none."""
    if not torch.is_autocast_enabled(device):
        return torch.float32
    dtype = product_format(device, torch.get_autocast_dtype(device))
    return dtype if dtype in FORMATS else None


def path_name(device: torch.device, dtype: torch.dtype | None, channels: int) -> str:
    """What runs the fast paths on a device, in words, with format and library of the products."""
    fast = dtype is not None and passes_for(torch.empty(0, device=device), dtype) is not None
    if not compiling():
        return f"the definition in PyTorch, since {SWITCH}=0"
    if not fast:
        return (
            "the definition in PyTorch, since no fast path is for this device or format, or works"
        )
    kind = "compiled loops" if device.type == "cpu" else "Triton kernels"
    by = ""
    if device.type == "cpu" and dtype == torch.float32 and fastest(channels) == "onednn":
        by = " by oneDNN"
    return f"{kind}, products in {str(dtype).removeprefix('torch.')}{by}"
