"""In which arithmetic a run's teacher computes, where the recipe leaves it to the device."""

from typing import TypeVar, cast

import torch

from lidistill.config import Precision
from lidistill.teachers.named import NamedTeacherConfig
from lidistill.teachers.pyramid import PyramidTeacherConfig

C = TypeVar("C", bound=NamedTeacherConfig | PyramidTeacherConfig)


def for_run(config: C, device: torch.device, precision: Precision) -> C:
    """A teacher's settings with ``precision: auto`` decided.

    On a processor a teacher is exact, and so it is beside a run of 32 bits. On a GPU, where
    products in 32 bits take several times as long, it follows a run of 16 bits; in bf16 also where
    that is fp16, which overflows without being noticed in a network that does not train.

    Args:
        config: As the recipe has it; one that says which precision stays as it is.
        device: Where the run computes.
        precision: Of the run.
    """
    if config.precision != "auto":
        return config
    low = precision != "fp32" and device.type == "cuda" and _has_bf16()
    return cast("C", config.model_copy(update={"precision": "bf16" if low else "fp32"}))


def _has_bf16() -> bool:
    """Whether the GPU multiplies in bf16 itself; older ones than Ampere only imitate it."""
    return torch.cuda.is_bf16_supported(including_emulation=False)
