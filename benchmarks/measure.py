"""What the benchmarks share: time and memory of a call, and a record that says where it ran."""

import ctypes
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from lidistill.training.checkpoint import versions

T = TypeVar("T")


def timed(call: Callable[[], object]) -> dict[str, float]:
    """Wall seconds and CPU seconds of a call; the latter of all threads of the process."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def with_peak_memory(call: Callable[[], T]) -> tuple[T, float]:
    """What a call returns, and the bytes that the process needed on top while it ran."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)  # what was left behind before
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5", encoding="ascii")  # the peak starts anew
    before = _status("VmRSS")
    result = call()
    return result, max(_status("VmHWM") - before, 0.0)


def _status(key: str) -> float:
    """A line of the kernel's record on this process, bytes."""
    file = Path("/proc/self/status")
    if not file.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    lines = dict(line.split(":", 1) for line in file.read_text(encoding="ascii").splitlines())
    return float(lines[key].split()[0]) * 1024


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest of some measurements."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Median of every quantity over some runs."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def write_record(output: Path, results: dict[str, object]) -> None:
    """Write results with the versions and the machine they come from."""
    machine = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
    }
    record = results | {"versions": versions(), "machine": machine}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _processor() -> str:
    table = Path("/proc/cpuinfo")
    if table.exists():
        for line in table.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
