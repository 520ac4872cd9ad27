"""What onnxruntime makes of a graph beside the network it was made from: differences, times.

Shape letters: N points of a scan, M points of its sample, C channels, D classes.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from lidistill.backbones import Backbone
from lidistill.errors import CheckpointError, require
from lidistill.loading.collate import collate
from lidistill.records import Batch, Sample

MAX_DIFFERENCE: Final = 1e-4
"""Of features in float32, relative to the largest feature of a scan where that is above 1."""
AGREEMENT: Final = {torch.float32: 0.999, torch.float16: 0.995}
"""Least share of points with the same largest output, by number format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A graph beside its network on one scan."""

    num_points: int
    difference: float
    """Largest difference of a feature, over the largest feature where that is above 1."""
    agreement: float
    """Share of points whose largest output is the same; of features where there is no head."""
    network_s: float
    """Median time of the network in PyTorch, as evaluation runs it, seconds."""
    graph_s: float
    """Median time of onnxruntime, seconds."""


def compare_on(
    file: Path,
    backbone: Backbone,
    head: nn.Module | None,
    samples: Sequence[Sample],
    *,
    repeats: int = 1,
) -> tuple[Comparison, ...]:
    """Run a graph and its network on scans, on the CPU.

    Args:
        file: The graph.
        backbone: The network it was made from, with its weights.
        head: What follows it.
        samples: One for each scan, of different lengths.
        repeats: Times that each is run for the median; the first run is not counted.
    """
    runtime = require("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    form, network = backbone.export_form(), backbone.for_inference()
    head = nn.Identity() if head is None else head.eval()
    found = []
    for sample in samples:
        batch = collate([sample])
        values = (tensor.numpy() for tensor in form.feed(batch))
        feed = dict(zip(form.inputs, values, strict=True))
        expected, network_s = _timed(partial(_outputs, network, head, batch), repeats)
        outputs, graph_s = _timed(partial(session.run, None, feed), repeats)
        scale = max(1.0, float(np.abs(expected[0]).max()))
        same = outputs[-1].argmax(1) == expected[-1].argmax(1)
        found.append(
            Comparison(
                num_points=len(sample),
                difference=float(np.abs(outputs[0] - expected[0]).max()) / scale,
                agreement=float(same.mean()),
                network_s=network_s,
                graph_s=graph_s,
            )
        )
    return tuple(found)


def check_agreement(found: Sequence[Comparison], dtype: torch.dtype) -> None:
    """See to it that a graph computes what its network computes.

    Raises:
        CheckpointError: If it does not on one of the scans.
    """
    for one in found:
        exact = dtype != torch.float32 or one.difference <= MAX_DIFFERENCE
        if exact and one.agreement >= AGREEMENT[dtype]:
            continue
        whole = dtype == torch.float32
        most = f"at most {MAX_DIFFERENCE:.0e} and " if whole else ""
        advice = "export without --onnx, and report this" if whole else "export without --half"
        msg = (
            f"onnxruntime's features ({str(dtype).removeprefix('torch.')}) differ by "
            f"{one.difference:.1e} on {one.num_points} points, with {one.agreement:.2%} of the "
            f"largest outputs alike; expected {most}at least {AGREEMENT[dtype]:.1%}. Nothing was "
            f"written: {advice}."
        )
        raise CheckpointError(msg)


@torch.no_grad()
def _outputs(network: Backbone, head: nn.Module, batch: Batch) -> list[Any]:
    features = network(batch).float()
    return [features.numpy(), head(features).numpy()]


def _timed(run: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """What a call returns, and the median time of those after the first."""
    result, times = run(), []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return result, median(times)
