"""Where a run computes, and in which number format."""

import os
from contextlib import AbstractContextManager
from typing import Literal, TypeAlias

import torch

from lidistill.errors import ConfigError

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str = "auto") -> torch.device:
    """The device of this process: ``auto`` takes the GPU of the local rank where there is one.

    Raises:
        ConfigError: If a GPU is asked for and there is none, or the name means nothing.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if name.startswith("cuda") and not torch.cuda.is_available():
        msg = f"device={name!r} was asked for, but PyTorch sees no GPU; use device=auto or cpu."
        raise ConfigError(msg)
    try:
        return torch.device(name)
    except RuntimeError as error:
        msg = f"device={name!r} is none that PyTorch knows; use auto, cpu, cuda or cuda:1."
        raise ConfigError(msg) from error


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """Context in which matrix products run in 16 bits; the residual stream stays in 32."""
    dtype = _AUTOCAST.get(precision, torch.bfloat16)
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32")


def make_scaler(device: torch.device, precision: Precision) -> torch.amp.GradScaler:
    """Loss scaler, which does nothing unless the precision is fp16."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")
