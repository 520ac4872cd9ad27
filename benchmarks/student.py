"""The student against the authors' code, in one process and by turns: time, memory, equality.

    python benchmarks/student.py --scan 000000.bin --reference WaffleIron --output student.json

``--scan`` is a KITTI scan; its first 20,000 voxels around a point are taken. ``--reference`` is a
checkout of github.com/valeoai/WaffleIron (which ScaLR runs on); without it, only ours runs.

The reference has what its authors give it in their own evaluation, ``compress()`` and inference
mode, and the best of several settings (see ``settings_of``): all are tried on six layers, and the
one that takes the fewest CPU seconds then takes turns with ours. One thread, CPU seconds: teams of
threads that wait for work count as work.
"""

import argparse
import contextlib
import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from measure import medians, spread, timed, with_peak_memory, write_record
from numpy.typing import NDArray
from products import product_rates
from torch import Tensor, nn

from lidistill.backbones import WaffleIron, WaffleIronConfig
from lidistill.backbones.base import own_inputs
from lidistill.backbones.published_names import NamedWeights
from lidistill.backbones.waffleiron.inputs import (
    WaffleInputs,
    cell_indices,
    nearest_neighbors,
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


Setting: TypeAlias = Callable[[], AbstractContextManager[object]]
"""Makes a context to call a network in."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A network with one way to call it; returns (M, C) features."""

    name: str
    net: nn.Module
    features: Callable[[], Tensor]
    settings: Sequence[Setting] = ()


def autocast() -> AbstractContextManager[object]:
    """Products in bfloat16."""
    return torch.autocast("cpu", torch.bfloat16)


def without_onednn() -> AbstractContextManager[object]:
    """PyTorch's own convolutions, products by MKL."""
    flags: AbstractContextManager[object] = torch.backends.mkldnn.flags(enabled=False)
    return flags


def ours(net: WaffleIron, batch: Batch, mode: str, precision: str) -> Contender:
    """This package: the folded form forward, the trainable one for a step."""
    if mode == "forward":
        folded = net.for_inference(DTYPES[precision])
        return Contender(name="lidistill", net=folded, features=lambda: folded(batch))
    settings = () if precision == "f32" else (autocast,)
    return Contender(name="lidistill", net=net, features=lambda: net(batch), settings=settings)


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

    inputs = own_inputs(batch, WaffleInputs)
    features, cells = channels_first(batch.features), channels_first(inputs.cells)
    neighbors = channels_first(inputs.neighbors - batch.offsets[batch.scan_index(), None])
    valid = torch.ones(num_scans, features.shape[2], device=device)

    def call() -> Tensor:
        dtype = segmenter.embed.final.weight.dtype
        found: Tensor = segmenter(features.to(dtype), cells, valid.to(dtype), neighbors)
        return found.transpose(1, 2).flatten(0, 1)

    return Contender(name="reference", net=segmenter, features=call)


def settings_of(
    folder: Path, net: WaffleIron, batch: Batch, mode: str, precision: str
) -> list[Contender]:
    """The reference in every setting that may be its fastest.

    In float32 convolutions by oneDNN or not (in bfloat16 they are five times slower without); in
    bfloat16 under autocast, or forward with all weights and features in it. Forward, everything
    affine that its own ``compress`` folds is folded.
    """

    def built() -> Contender:
        contender = reference(folder, net, batch)
        if mode == "forward":
            with warnings.catch_warnings():  # says for each layer that its LayerNorm stays
                warnings.simplefilter("ignore")
                contender.net.eval()
                contender.net.get_submodule("").compress()  # type: ignore[operator]
        return contender

    network = built()
    named = partial(Contender, net=network.net, features=network.features)
    low: tuple[Setting, ...] = () if precision == "f32" else (autocast,)
    found = [named(name="oneDNN", settings=low)]
    if not low:
        found.append(named(name="without oneDNN", settings=(without_onednn,)))
    elif mode == "forward":
        whole = built()
        whole.net.bfloat16()
        found.append(Contender(name="all bfloat16", net=whole.net, features=whole.features))
    return found


def once(contender: Contender, mode: str) -> Tensor:
    """One forward pass, or a forward and a backward pass."""
    contender.net.train(mode == "step")
    contender.net.zero_grad(set_to_none=True)
    with ExitStack() as contexts:
        gradients = torch.inference_mode() if mode == "forward" else contextlib.nullcontext()
        contexts.enter_context(gradients)
        for setting in contender.settings:
            contexts.enter_context(setting())
        out = contender.features()
    if mode == "step":
        out.float().square().mean().backward()
    return out.detach().float()


def measure(contender: Contender, mode: str) -> dict[str, float]:
    """Wall seconds and CPU seconds of one pass."""
    return timed(lambda: once(contender, mode))


def warm_up(contender: Contender, mode: str) -> tuple[Tensor, float]:
    """Output of a pass, and the memory that it needs on top, bytes."""
    contender.net.zero_grad(set_to_none=True)
    return with_peak_memory(lambda: once(contender, mode))


def fastest(settings: list[Contender], mode: str) -> tuple[str, dict[str, float]]:
    """Name of the setting with the fewest CPU seconds in its second pass, and those of all."""
    both = {setting.name: [measure(setting, mode) for _ in range(2)] for setting in settings}
    seconds = {name: runs[1]["cpu_s"] for name, runs in both.items()}
    return min(seconds, key=lambda name: seconds[name]), seconds


def matmul_flops(num_points: int, config: WaffleIronConfig, mode: str) -> float:
    """FLOPs of all (C, C) products; the backward pass of a product is two."""
    products = 2 * config.depth + NEIGHBORS + 2
    factor = 3 if mode == "step" else 1
    return 2.0 * num_points * config.width**2 * products * factor


def compare(contenders: list[Contender], mode: str, repeats: int) -> dict[str, object]:
    """Warm up, then take turns; medians, ranges and all single values, ours first."""
    runs: list[list[dict[str, float]]] = [[] for _ in contenders]
    once(contenders[0], mode)  # compiles, where nothing is on disk yet
    first = [warm_up(contender, mode) for contender in contenders]
    for _ in range(repeats):
        for contender, values in zip(contenders, runs, strict=True):
            values.append(measure(contender, mode))
    result: dict[str, object] = {}
    for contender, values, (_, memory) in zip(contenders, runs, first, strict=True):
        cpu = spread([run["cpu_s"] for run in values])
        found = {**medians(values), "memory": memory, "cpu_range": cpu, "runs": values}
        result[contender.name] = found
    if len(contenders) == 2:
        pairs = zip(*runs, strict=True)
        ratio = spread([theirs["cpu_s"] / mine["cpu_s"] for mine, theirs in pairs])
        difference = (first[0][0] - first[1][0]).norm() / first[1][0].norm()
        result["reference_over_lidistill"] = {**ratio, "difference": float(difference)}
    return result


def run_case(
    batch: Batch, width: int, mode: str, precision: str, arguments: argparse.Namespace
) -> dict[str, object]:
    """All that is measured of one width, pass and number format."""
    torch.manual_seed(0)
    net = WaffleIronConfig(width=width, depth=arguments.depth).build()
    contenders = [ours(net, batch, mode, precision)]
    case: dict[str, object] = {"width": width, "pass": mode, "precision": precision}
    if arguments.reference is not None:
        settings = partial(settings_of, arguments.reference, mode=mode, precision=precision)
        shallow = WaffleIronConfig(width=width, depth=min(arguments.depth, 6)).build()
        best, case["settings_cpu_s"] = fastest(settings(shallow, batch), mode)
        contenders += [named for named in settings(net, batch) if named.name == best]
    rates = product_rates(width, DTYPES[precision])
    result = compare(contenders, mode, arguments.repeats)
    mine = result["lidistill"]
    flops = matmul_flops(len(batch.features), net.config, mode)
    cpu = mine["cpu_s"] if isinstance(mine, dict) else float("nan")
    share = flops / max(rates.values()) / cpu
    print(case, {name: f"{rate / 1e9:.0f}" for name, rate in rates.items()}, f"share {share:.2f}")
    for name, found in result.items():
        print("   ", name, {k: v for k, v in dict(found).items() if k != "runs"}, flush=True)  # type: ignore[call-overload]
    return case | {"product_rates": rates, "share_of_best_rate": share} | result


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
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    batch = read_batch(arguments.scan, arguments.points)
    cases = [
        run_case(batch, width, mode, precision, arguments)
        for width in arguments.widths
        for mode in arguments.passes
        for precision in arguments.precisions
    ]
    occupied = [
        len(own_inputs(batch, WaffleInputs).cells[:, i].unique()) for i in range(len(GRID.planes))
    ]
    results = {"cases": cases, "points": len(batch.features), "occupied_cells": occupied}
    write_record(arguments.output, results | {"depth": arguments.depth})


if __name__ == "__main__":
    main()
