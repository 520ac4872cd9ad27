"""Large float32 products on the CPU, by whichever of two libraries is faster on this machine.

``torch.mm`` asks MKL (another library on other systems), which leaves the 512-bit units of some AMD
processors idle; oneDNN, which PyTorch has for its 16-bit products, does not. A trial at first use
decides for each size, and a user's cache keeps what it found, so that later runs of a machine round
the same way. See decision 0016.
"""

import hashlib
import json
import logging
import os
import time
from functools import cache
from pathlib import Path
from statistics import median
from typing import Final, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from lidistill.atomic_write import one_at_a_time, replace_text
from lidistill.backbones.waffleiron.cpu.threads import run_alone
from lidistill.errors import ConfigError, DatasetNotFoundError, FileFormatError
from lidistill.reading.files import read_json
from lidistill.user_cache import user_cache

logger = logging.getLogger(__name__)

Library: TypeAlias = Literal["torch", "onednn"]
"""What ``torch.mm`` asks, or oneDNN."""

SWITCH: Final = "LIDISTILL_PRODUCTS"
"""Environment variable: ``torch``, ``onednn``, or ``auto``, the default: what a trial finds."""

_GAIN: Final = 1.15
"""How much faster oneDNN must be: more than measurements on a busy machine differ by."""
_FEWEST: Final = 32  # channels; smaller products are no part of any real network's time
_ROWS: Final = 512  # of a trial
_TURNS: Final = 9
_PATIENCE: Final = 10.0  # seconds that a process waits for another one's trial


class Product:
    """``x @ weight.T`` for many points.

    Args:
        weight: (C, C) float32, bfloat16 or float16.
        library: Of a float32 product; None: ``fastest``.
    """

    def __init__(self, weight: Tensor, library: Library | None = None) -> None:
        self._weight_t, self._packed = weight.t(), None
        if weight.dtype == torch.float32 and (library or fastest(len(weight))) == "onednn":
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS)

    def __call__(self, x: Tensor, out: Tensor) -> None:
        """Write the product with points (M, C) to ``out`` (M, C)."""
        if self._packed is None:
            torch.mm(x, self._weight_t, out=out)
        else:
            out.copy_(torch.ops.mkldnn._linear_pointwise(x, self._packed, None, "none", [], ""))


def fastest(channels: int) -> Library:
    """The library for products of points with a square matrix.

    Raises:
        ConfigError: If the switch is set to anything else than it can be.
    """
    wanted = os.environ.get(SWITCH, "auto")
    if wanted == "auto":
        return "torch" if channels < _FEWEST else _kept_choice(channels)
    try:
        return _library(wanted)
    except ValueError as error:
        msg = (
            f"{SWITCH} is {wanted!r}, expected auto (the library that is faster on this machine, "
            "the default), torch (that of torch.mm) or onednn; unset it, or set one of these."
        )
        raise ConfigError(msg) from error


@cache
def _kept_choice(channels: int) -> Library:
    """What an earlier process of this machine chose, or what a trial finds, which is then kept."""
    try:
        folder = user_cache()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"products-{_machine()}.json"
        found = _stored(path)
        if channels not in found:
            with one_at_a_time(path.with_suffix(".lock"), patience=_PATIENCE):
                found = _stored(path)  # another process may have found it meanwhile
                if channels not in found:
                    found[channels] = run_alone(lambda: _trial(channels))
                    replace_text(path, json.dumps(found))
        return found[channels]
    except OSError as error:
        logger.info("which library is faster cannot be kept (%s); each process tries it.", error)
        return run_alone(lambda: _trial(channels))


@cache
def _machine() -> str:
    """What a choice depends on: the processor and PyTorch."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU part")
    processor = sorted({line for line in lines if line.startswith(names)})
    about = [torch.__version__, torch.backends.cpu.get_cpu_capability(), *os.uname()[::4]]
    return hashlib.sha256("\n".join([*about, *processor]).encode()).hexdigest()[:16]


def _stored(path: Path) -> dict[int, Library]:
    """Choices by channels; none if the file is not there or damaged."""
    try:
        content = read_json(path)
        return {int(name): _library(value) for name, value in content.items()}
    except DatasetNotFoundError:
        return {}
    except (FileFormatError, AttributeError, ValueError):
        logger.info("%s is damaged; making a new one.", path)
        return {}


def _library(value: object) -> Library:
    if value == "onednn":
        return "onednn"
    if value == "torch":
        return "torch"
    raise ValueError(value)


def _trial(channels: int) -> Library:
    """oneDNN, if it is clearly faster and its error at most twice that of ``torch.mm``."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(_ROWS, channels, generator=random)
    weight = torch.randn(channels, channels, generator=random)
    out = torch.empty_like(x)
    truth = x.double() @ weight.double().t()
    try:
        ways: dict[Library, Product] = {way: Product(weight, way) for way in get_args(Library)}
        seconds: dict[Library, list[float]] = {way: [] for way in ways}
        errors: dict[Library, float] = {}
        for _ in range(_TURNS):
            for way, product in ways.items():
                start = time.thread_time()
                product(x, out)
                seconds[way].append(time.thread_time() - start)
                errors[way] = float((out.double() - truth).norm())
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        logger.info("oneDNN makes no float32 products here: %s", error)
        return "torch"
    gain = median(seconds["torch"]) / max(median(seconds["onednn"]), 1e-9)
    if gain < _GAIN or errors["onednn"] > 2 * errors["torch"]:
        return "torch"
    logger.info("oneDNN makes products of %d channels %.1f times as fast", channels, gain)
    return "onednn"
