"""One call on a machine with a GPU: are the kernels right, how fast, how fast is a whole step?

    python benchmarks/gpu_check.py --output gpu_check.json --reference WaffleIron

Needs no data: points, images and weights are drawn. ``--reference`` is a checkout of
github.com/valeoai/WaffleIron; without it, only ours runs. Every kernel is compared with its
definition in plain PyTorch and timed against the bytes that it must move, or the multiplications
that it must do. ``--dry-run`` goes through everything on the CPU in tiny sizes, to find mistakes
before a GPU is at hand; with TRITON_INTERPRET=1 the kernels, too.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from gpu_cells import cell_kernels, street_plane, sum_kernels
from gpu_kernels import (
    LIMITS,
    Kernel,
    edge_inputs,
    gradients,
    layer_differences,
    make_setting,
    plain_edges,
    point_kernels,
    weight_kernels,
    worst,
)
from gpu_steps import DRY, GRID, PREPARER, Plan, drawn_frame, drawn_sample, measure, steps
from torch import Tensor

from lidistill.backbones.waffleiron.inputs import build_planes
from lidistill.backbones.waffleiron.plane import Plane
from lidistill.loading.collate import collate
from lidistill.records import Sample
from lidistill.samples.distillation import SamplingConfig, distillation_sample, sample_rng
from lidistill.samples.on_device import build_sample, raw_sample
from lidistill.training.checkpoint import versions


def rates(device: torch.device, repeats: int) -> dict[str, float]:
    """Measured bytes a second of a copy, and FLOP/s of a large bfloat16 product."""
    side = 8192 if device.type == "cuda" else 64
    source = torch.randn(side, side, device=device)
    target = torch.empty_like(source)
    low = source.to(torch.bfloat16)
    copy = measure(lambda: target.copy_(source), device, repeats)["fastest_ms"]
    product = measure(lambda: low @ low, device, repeats)["fastest_ms"]
    return {
        "bytes_per_s": 2 * source.numel() * 4 / copy * 1000,
        "bf16_flops_per_s": 2 * side**3 / product * 1000,
    }


def check_kernel(
    kernel: Kernel, device: torch.device, repeats: int, bytes_per_s: float
) -> dict[str, float]:
    """Difference to the definition, time of both, share of the memory's rate."""
    found, expected = (
        [result] if isinstance(result, Tensor) else list(result)
        for result in (kernel.run(), kernel.twin())
    )
    time, plain = (measure(one, device, repeats) for one in (kernel.run, kernel.twin))
    least = 1000 * kernel.bytes_moved / bytes_per_s
    return {
        "difference": worst(found, expected),
        "limit": max(LIMITS[one.dtype] for one in found),
        "share_of_memory_rate": least / time["median_ms"],
        "plain_median_ms": plain["median_ms"],
        **time,
    }


def filling(planes: list[Plane]) -> list[dict[str, float]]:
    """Points in a cell on average and at most, of every plane; the fullest bounds no program."""
    counts = [plane.fills_offsets.diff().double() for plane in planes]
    return [{"mean": float(count.mean()), "most": float(count.max())} for count in counts]


def check_layers(plan: Plan, device: torch.device, speed: dict[str, float]) -> dict[str, object]:
    """Every kernel of a layer on every plane that they differ on, and whole layers."""
    from lidistill.backbones.waffleiron.gpu.layer import TRITON  # noqa: PLC0415  Triton is optional

    batch = collate([drawn_sample(plan, seed) for seed in range(plan.scans)]).to(device)
    planes = build_planes(batch, GRID, len(GRID.planes), "mean")
    street = street_plane(plan.scans * plan.points, device)
    found: dict[str, object] = {"points_of_a_cell": filling([*planes, street])}
    for width in plan.widths:
        kernels: dict[str, object] = {}
        for number, plane in enumerate(planes[:2]):
            setting = make_setting(plane, width)
            chosen = sum_kernels(setting) + cell_kernels(setting)
            if number == 0:
                chosen += point_kernels(setting, torch.bfloat16)
                chosen += weight_kernels(setting, torch.bfloat16)
            for kernel in chosen:
                result = check_kernel(kernel, device, plan.repeats, speed["bytes_per_s"])
                kernels[f"{kernel.name}, plane {number}"] = result
        for kernel in sum_kernels(make_setting(street, width)):
            result = check_kernel(kernel, device, plan.repeats, speed["bytes_per_s"])
            kernels[f"{kernel.name}, street"] = result
        small = [drawn_sample(DRY, seed) for seed in range(3)]
        plane = build_planes(collate(small).to(device), GRID, 1, "mean")[0]
        differences = layer_differences(make_setting(plane, width), TRITON)
        found[f"width {width}"] = {"kernels": kernels, "layer_difference": differences}
    return found


def check_edges(plan: Plan, device: torch.device, speed: dict[str, float]) -> dict[str, object]:
    """The embedding's maximum over neighbours: differences, and share of the matmul rate."""
    from lidistill.backbones.waffleiron.gpu.edges import triton_edge_max  # noqa: PLC0415  Triton is optional

    found: dict[str, object] = {}
    for width in plan.widths:

        def fast(*tensors: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
            edges, affine, weight = tensors
            return triton_edge_max(edges, affine, weight, dtype)

        small = edge_inputs(DRY.points, width, device)
        difference = worst(gradients(fast, small), gradients(plain_edges, small))
        num_points = plan.scans * plan.points
        inputs = edge_inputs(num_points, width, device)

        def forward(inputs: list[Tensor] = inputs) -> Tensor:
            return fast(*inputs, dtype=torch.bfloat16)

        time = measure(forward, device, plan.repeats)
        flops = 2.0 * 16 * num_points * width**2
        share = 1000 * flops / time["median_ms"] / speed["bf16_flops_per_s"]
        found[f"width {width}"] = {
            "difference": difference,
            "limit": LIMITS[torch.float32],
            "share_of_matmul_rate": share,
            **time,
        }
    return found


def check_samples(plan: Plan, device: torch.device) -> dict[str, object]:
    """Samples made on the device: equal to those of the CPU, and the time of both."""
    sampling = SamplingConfig(max_points=plan.points, image_size_hw=plan.image_hw)
    frame = drawn_frame(plan.raw_points, 0)

    def on_cpu() -> Sample:
        return distillation_sample(
            frame, sampling, PREPARER, sample_rng(0, 0, 0), load_images=False
        )

    raw = raw_sample(frame, sampling, PREPARER, sample_rng(0, 0, 0), load_images=False)
    expected = distillation_sample(
        frame, sampling, PREPARER, sample_rng(0, 0, 0), load_images=False
    )

    def on_device() -> Sample:
        return build_sample(raw, sampling, PREPARER, device)

    found = on_device()

    def differing(name: str) -> float:
        ours, theirs = (
            getattr(one if name == "source" else one.inputs, name).cpu()
            for one in (found, expected)
        )
        return float((ours != theirs).double().mean()) if len(ours) == len(theirs) else 1.0

    return {
        "points": len(expected),
        "source": {"difference": differing("source"), "limit": 0.0},
        "cells": {"difference": differing("cells"), "limit": 0.0},
        # Neighbours on the same distance come in any order.
        "neighbors": {"difference": differing("neighbors"), "limit": 1e-3},
        "cpu": measure(on_cpu, torch.device("cpu"), plan.repeats),
        "device": measure(
            lambda: build_sample(raw, sampling, PREPARER, device), device, plan.repeats
        ),
    }


def failures(record: object, path: str = "") -> list[str]:
    """Names of all differences beyond their limit, anywhere in the record."""
    if not isinstance(record, dict):
        return []
    found = [name for key, value in record.items() for name in failures(value, f"{path}/{key}")]
    if "limit" in record and not record["difference"] <= record["limit"]:
        found.append(path)
    return found


def main() -> int:
    """Check, time, print and write; the exit status is 1 where something is not equal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--reference", type=Path, help="checkout of valeoai/WaffleIron")
    parser.add_argument("--repeats", type=int, help="of every timing")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes, on the CPU")
    arguments = parser.parse_args()
    if not (arguments.dry_run or torch.cuda.is_available()):
        raise SystemExit("PyTorch sees no GPU on this machine; --dry-run goes without.")
    device = torch.device("cpu" if arguments.dry_run else "cuda")
    plan = DRY if arguments.dry_run else Plan()
    if arguments.repeats is not None:
        plan = dataclasses.replace(plan, repeats=arguments.repeats)
    record = run_checks(plan, device, arguments.reference)
    text = json.dumps(record, indent=1)
    arguments.output.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if record["failures"] else 0


def run_checks(plan: Plan, device: torch.device, reference: Path | None) -> dict[str, object]:
    """Everything, in the order of a reader's questions."""
    speed = rates(device, plan.repeats)
    record: dict[str, object] = {
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "machine": platform.machine(),
        "versions": versions() | triton_version(),
        "plan": dataclasses.asdict(plan),
        "rates": speed,
    }
    checks: dict[str, Callable[[], dict[str, object]]] = {
        "layers": lambda: check_layers(plan, device, speed),
        "edge_max": lambda: check_edges(plan, device, speed),
        "samples": lambda: check_samples(plan, device),
        "steps": lambda: steps(plan, device, speed["bf16_flops_per_s"], reference),
    }
    if not (device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"):
        del checks["layers"], checks["edge_max"]
    for name, check in checks.items():
        print(name, flush=True, file=sys.stderr)
        record[name] = check()
    return record | {"failures": failures(record)}


def triton_version() -> dict[str, str]:
    """Triton's version, where it is installed."""
    if importlib.util.find_spec("triton") is None:
        return {}
    return {"triton": importlib.import_module("triton").__version__}


if __name__ == "__main__":
    sys.exit(main())
