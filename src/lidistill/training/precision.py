"""Where a run computes, and in which number format."""

import logging
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeAlias, get_args, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from lidistill.config import Precision
from lidistill.errors import ConfigError
from lidistill.reading.names import shown

FeatureType: TypeAlias = Literal["float16", "float32"]
"""Number format of features in a file."""

logger = logging.getLogger(__name__)

_CPUS_OF_32_BITS = ("NO AVX", "DEFAULT", "AVX2")
_BF16 = ("avx512_bf16", "amx_bf16")
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str = "auto") -> torch.device:
    """The device of this process: ``auto`` takes the GPU of the local rank where there is one.

    ``cuda`` takes it, too, and is an error where there is none.

    Raises:
        ConfigError: If a GPU is asked for and there is none, if several processes would share one,
            or if the name means nothing.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        msg = f"device={name!r} was asked for, but PyTorch sees no GPU; use device=auto or cpu."
        raise ConfigError(msg)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        msg = f"device={name!r} is none that PyTorch knows; use auto, cpu, cuda or cuda:1."
        raise ConfigError(msg) from error
    return _own_gpu(device) if device.type == "cuda" else device


def _own_gpu(device: torch.device) -> torch.device:
    """The GPU of this process among those of its machine."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.index is not None and processes > 1:
        msg = f"{processes} processes cannot share device={device}; use device=cuda, one GPU each."
        raise ConfigError(msg)
    index = int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device.index
    if index >= torch.cuda.device_count():
        msg = (
            f"this process needs GPU {index}, and there are {torch.cuda.device_count()} on this "
            "machine; start at most one process for each, or use device=cpu."
        )
        raise ConfigError(msg)
    return torch.device("cuda", index)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """Context in which matrix products run in 16 bits; the residual stream stays in 32.

    On a CPU, where PyTorch has no fast products in fp16, those of fp16 run in 32 bits, too.
    """
    dtype = _AUTOCAST.get(precision, torch.bfloat16)
    low = precision == "bf16" or (precision == "fp16" and device.type != "cpu")
    return torch.autocast(device.type, dtype=dtype, enabled=low)


def fast_in_bf16(device: torch.device) -> bool:
    """Whether a device multiplies in bf16 itself, and so faster than in 32 bits."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    abilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and any(abilities.get(name) for name in _BF16)


def warn_if_slow(device: torch.device, precision: Precision, *, key: str) -> None:
    """Say so if 16 bits cost more than 32: PyTorch has no fast products for them on such a CPU.

    Args:
        device: Where it computes.
        precision: Of the matrix products.
        key: What the user sets it with.
    """
    kind = torch.backends.cpu.get_cpu_capability()
    if device.type == "cpu" and precision == "fp16":
        logger.warning(
            "%s=fp16 computes products in fp32 on a CPU, where PyTorch has no fast fp16; %s=fp32 "
            "says so, and bf16 is faster on processors that have it",
            key,
            key,
        )
    elif device.type == "cpu" and precision != "fp32" and kind in _CPUS_OF_32_BITS:
        logger.warning(
            "%s=%s is several times slower than fp32 on this CPU (%s, no 16-bit products); "
            "%s=fp32 is better here",
            key,
            precision,
            kind,
            key,
        )


@runtime_checkable
class TakesPath(Protocol):
    """A network that can be computed in several ways."""

    def path_taken(self, device: torch.device) -> str:
        """Which way it goes there under the caller's autocast, and why; one line."""
        ...


def log_paths(parts: Iterable[object], device: torch.device, precision: Precision) -> None:
    """Say which path each part of a run takes: a slow one shall not be taken in silence."""
    with autocast(device, precision):
        for part in parts:
            if isinstance(part, TakesPath):
                logger.info("%s", part.path_taken(device))


def make_scaler(device: torch.device, precision: Precision) -> torch.amp.GradScaler:
    """Loss scaler, which does nothing unless the precision is fp16."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def as_type(features: NDArray[np.float32], dtype: FeatureType) -> NDArray[np.floating]:
    """Features in the type of their file.

    Args:
        features: Any shape.
        dtype: A name, or NumPy's type of that name.

    Raises:
        ConfigError: If it is another type, or a feature is too large for it.
    """
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", str(dtype))
    if name not in get_args(FeatureType):
        msg = f"features are float32 or float16, found the type {shown(name)}; take one of the two."
        raise ConfigError(msg)
    if name == "float32":
        return features
    with np.errstate(over="ignore"):
        half = features.astype(np.float16)
    if np.isinf(half).any():
        largest = float(np.nanmax(np.abs(features)))
        msg = f"a feature of {largest:g} does not fit into float16; give --dtype float32."
        raise ConfigError(msg)
    return half
