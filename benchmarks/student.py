"""The student against the authors' code, in one process and by turns: time, memory, equality.

    python benchmarks/student.py --scan 000000.bin --reference WaffleIron --output student.json

``--scan`` is a KITTI scan; its first 20,000 voxels around a point are taken. ``--reference`` is a
checkout of github.com/valeoai/WaffleIron (which ScaLR runs on); without it, only ours runs. Give
PyTorch two threads or more: with one, the reference's grouped convolutions take a path of their
own that is many times slower.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measure import medians, timed, with_peak_memory, write_record
from numpy.typing import NDArray
from torch import Tensor, nn

from lidistill.backbones import WaffleIron, WaffleIronConfig
from lidistill.backbones.published_names import NamedWeights
from lidistill.backbones.waffleiron.inputs import (
    WaffleInputs,
    cell_indices,
    nearest_neighbors,
    waffle_inputs,
)
from lidistill.backbones.waffleiron.published import to_official
from lidistill.records import Batch
from lidistill.samples.augmentation import crop_mask
from lidistill.samples.voxels import voxel_first

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
GRID = WaffleIronConfig().grid
NEIGHBORS = 16


def read_points(scan: Path) -> NDArray[np.float32]:
    """(N, 4) one point of every voxel of a KITTI scan."""
    points = np.fromfile(scan, dtype=np.float32).reshape(-1, 4)
    return points[voxel_first(points[:, :3], 0.1)]


def read_batch(scan: Path, num_points: int) -> Batch:
    """Points of a KITTI scan as the students see them."""
    points = read_points(scan)
    distance = np.linalg.norm(points[:, :3] - points[len(points) // 2, :3], axis=1)
    points = points[np.sort(np.argsort(distance, kind="stable")[:num_points])]
    return batch_of([points[crop_mask(points[:, :3], GRID.field_of_view)]])


def batch_of(scans: list[NDArray[np.float32]]) -> Batch:
    """Scans (N, 4) of coordinates and intensity, inside the field of view, as a packed batch."""
    starts = np.cumsum([0, *map(len, scans)])
    near = [nearest_neighbors(scan[:, :3], NEIGHBORS) for scan in scans]
    points = np.concatenate(scans)
    radius = np.linalg.norm(points[:, :3], axis=1, keepdims=True)
    features = np.hstack([points[:, 3:], points[:, :3], radius]).astype(np.float32)
    neighbors = np.concatenate([n + start for n, start in zip(near, starts, strict=False)])
    return Batch(
        offsets=torch.from_numpy(starts),
        features=torch.from_numpy(features),
        inputs=WaffleInputs(
            neighbors=torch.from_numpy(neighbors),
            cells=torch.from_numpy(cell_indices(points[:, :3], GRID)),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A network with one way to call it; returns (M, C) features."""

    name: str
    net: nn.Module
    features: Callable[[], Tensor]


def ours(net: WaffleIron, batch: Batch, mode: str, precision: str) -> Contender:
    """This package: the folded form forward, the trainable one for a step."""
    if mode == "forward":
        folded = net.for_inference(DTYPES[precision])
        return Contender(name="lidistill", net=folded, features=lambda: folded(batch))
    return Contender(name="lidistill", net=net, features=lambda: net(batch))


def reference(folder: Path, net: WaffleIron, batch: Batch) -> Contender:
    """The authors' network with our weights, on a batch of equally long scans."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    segmenter = importlib.import_module("waffleiron").Segmenter(
        len(net.config.channels),
        net.config.width,
        1,
        net.config.depth,
        [list(size) for size in GRID.planes],
        layer_norm=True,
    )
    weights = to_official(NamedWeights(backbone=net.state_dict(), head={}))
    lacking = segmenter.load_state_dict(weights, strict=False)
    if lacking.unexpected_keys or any("classif" not in key for key in lacking.missing_keys):
        raise SystemExit(f"the reference has other weights than expected: {lacking}")
    segmenter.classif = nn.Identity()
    num_scans, device = batch.num_scans, batch.features.device
    segmenter.to(device)

    def channels_first(rows: Tensor) -> Tensor:
        return rows.unflatten(0, (num_scans, -1)).transpose(1, 2).contiguous()

    inputs = waffle_inputs(batch)
    features, cells = channels_first(batch.features), channels_first(inputs.cells)
    neighbors = channels_first(inputs.neighbors - batch.offsets[batch.scan_index(), None])
    valid = torch.ones(num_scans, features.shape[2], device=device)

    def call() -> Tensor:
        found: Tensor = segmenter(features, cells, valid, neighbors)
        return found.transpose(1, 2).flatten(0, 1)

    return Contender(name="reference", net=segmenter, features=call)


def once(contender: Contender, mode: str, precision: str) -> Tensor:
    """One forward pass, or a forward and a backward pass."""
    contender.net.train(mode == "step")
    contender.net.zero_grad(set_to_none=True)
    low = precision == "bf16"
    with torch.set_grad_enabled(mode == "step"), torch.autocast("cpu", enabled=low):
        out = contender.features()
    if mode == "step":
        out.float().square().mean().backward()
    return out.detach().float()


def measure(contender: Contender, mode: str, precision: str) -> dict[str, float]:
    """Wall seconds and CPU seconds of one pass."""
    return timed(lambda: once(contender, mode, precision))


def warm_up(contender: Contender, mode: str, precision: str) -> tuple[Tensor, float]:
    """Output of a pass, and the memory that it needs on top, bytes."""
    contender.net.zero_grad(set_to_none=True)
    return with_peak_memory(lambda: once(contender, mode, precision))


def matmul_rate(width: int, precision: str) -> float:
    """Best measured rate of a product of the students' shape, FLOP/s."""
    x = torch.randn(20_480, width).to(DTYPES[precision])
    weight = torch.randn(width, width).to(DTYPES[precision])
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        x @ weight
        seconds.append(time.perf_counter() - start)
    return 2 * x.numel() * width / min(seconds)


def matmul_flops(num_points: int, config: WaffleIronConfig, mode: str) -> float:
    """FLOPs of all (C, C) products; the backward pass of a product is two."""
    products = 2 * config.depth + NEIGHBORS + 2
    factor = 3 if mode == "step" else 1
    return 2.0 * num_points * config.width**2 * products * factor


def compare(
    contenders: list[Contender], mode: str, precision: str, repeats: int
) -> dict[str, dict[str, object]]:
    """Warm up, then take turns; medians and all single values."""
    runs: dict[str, list[dict[str, float]]] = {c.name: [] for c in contenders}
    once(contenders[0], mode, precision)  # compiles, where nothing is on disk yet
    first = [warm_up(contender, mode, precision) for contender in contenders]
    for _ in range(repeats):
        for contender in contenders:
            runs[contender.name].append(measure(contender, mode, precision))
    result: dict[str, dict[str, object]] = {}
    summaries: list[dict[str, float]] = []
    for (name, values), (_, memory) in zip(runs.items(), first, strict=True):
        summaries.append(medians(values) | {"memory": memory})
        result[name] = {**summaries[-1], "runs": values}
    if len(summaries) == 2:
        ratio = {key: summaries[1][key] / summaries[0][key] for key in summaries[0]}
        difference = (first[0][0] - first[1][0]).norm() / first[1][0].norm()
        result["reference_over_lidistill"] = {**ratio, "output_difference": float(difference)}
    return result


def run_case(
    batch: Batch, width: int, mode: str, precision: str, arguments: argparse.Namespace
) -> dict[str, object]:
    """All that is measured of one width, pass and number format."""
    torch.manual_seed(0)
    net = WaffleIronConfig(width=width, depth=arguments.depth).build()
    contenders = [ours(net, batch, mode, precision)]
    if arguments.reference is not None:
        contenders.append(reference(arguments.reference, net, batch))
    case: dict[str, object] = {"width": width, "pass": mode, "precision": precision}
    result = compare(contenders, mode, precision, arguments.repeats)
    rate = matmul_rate(width, precision)
    line = {key: float(str(result["lidistill"][key])) for key in ("wall_s", "cpu_s", "memory")}
    share = matmul_flops(len(batch.features), net.config, mode) / rate / line["wall_s"]
    print(case, line, result.get("reference_over_lidistill", {}), f"share {share:.2f}", flush=True)
    return case | {"matmul_rate": rate, "share_of_matmul_rate": share} | result


def main() -> None:
    """Measure what is asked for and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scan", type=Path, required=True, help="a KITTI .bin file")
    parser.add_argument("--reference", type=Path, help="checkout of valeoai/WaffleIron")
    parser.add_argument("--output", type=Path, default=Path("student.json"))
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--widths", type=int, nargs="+", default=[256, 384, 768])
    parser.add_argument("--depth", type=int, default=48)
    parser.add_argument("--passes", nargs="+", choices=["forward", "step"], default=["forward"])
    parser.add_argument("--precisions", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    batch = read_batch(arguments.scan, arguments.points)
    cases = [
        run_case(batch, width, mode, precision, arguments)
        for width in arguments.widths
        for mode in arguments.passes
        for precision in arguments.precisions
    ]
    occupied = [len(waffle_inputs(batch).cells[:, i].unique()) for i in range(len(GRID.planes))]
    results = {"cases": cases, "points": len(batch.features), "occupied_cells": occupied}
    write_record(arguments.output, results | {"depth": arguments.depth})


if __name__ == "__main__":
    main()
