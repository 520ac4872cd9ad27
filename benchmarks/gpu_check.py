"""One call on a machine with a GPU: is it equal to the CPU, how fast, how much memory?

    python benchmarks/gpu_check.py --output gpu_check.json

Needs no data: points on a street-like surface are drawn. Prints and writes JSON.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from lidistill.backbones import WaffleIronConfig
from lidistill.config import GridConfig
from lidistill.engine.checkpoint import versions
from lidistill.heads import LinearHeadConfig
from lidistill.ops.cells import cell_indices
from lidistill.ops.neighbors import nearest_neighbors
from lidistill.structures import Batch, Pairs, Sample, collate
from lidistill.tasks.distill import Distiller, DistillItem
from lidistill.tasks.matching import Matching
from lidistill.teachers import ChannelGroup

TEACHER_CHANNELS = 1024


def scan(num_points: int, seed: int) -> Sample:
    """A sample of points in a sector of +-40 degrees, as one camera sees them."""
    rng = np.random.default_rng(seed)
    distance = 3 + 50 * rng.random(num_points) ** 2
    angle = rng.uniform(-0.7, 0.7, num_points)
    height = np.where(rng.random(num_points) < 0.5, -1.7, rng.uniform(-1.7, 3, num_points))
    coords = np.stack([distance * np.cos(angle), distance * np.sin(angle), height], axis=1)
    coords = coords.astype(np.float32)
    radius = np.linalg.norm(coords, axis=1, keepdims=True)
    channels = np.hstack([rng.normal(size=(num_points, 1)), coords, radius]).astype(np.float32)
    everything = torch.arange(num_points)
    return Sample(
        frame_id=f"drawn-{seed}",
        coords=torch.from_numpy(coords),
        features=torch.from_numpy(channels),
        neighbors=torch.from_numpy(nearest_neighbors(coords, 16)),
        cells=torch.from_numpy(cell_indices(coords, GridConfig())),
        source=everything,
        pairs=Pairs(
            point=everything, view=torch.zeros_like(everything), uv=torch.zeros(num_points, 2)
        ),
    )


def build(width: int, depth: int) -> Distiller:
    """A student of the paper's form, the same for every call."""
    torch.manual_seed(0)
    backbone = WaffleIronConfig(width=width, depth=depth).build()
    head = LinearHeadConfig().build(width, TEACHER_CHANNELS)
    matching = Matching(groups=(ChannelGroup(num_channels=TEACHER_CHANNELS),))
    return Distiller(backbone, head, None, matching=matching)


def item_of(batch: Batch, device: torch.device) -> DistillItem:
    """The batch with drawn teacher features."""
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(len(batch.features), TEACHER_CHANNELS, generator=generator)
    return DistillItem(batch=batch.to(device), target=target.to(device))


def equality(device: torch.device) -> dict[str, float]:
    """Largest relative difference of outputs and gradients between CPU and GPU, float32."""
    found: dict[str, float] = {}
    batch = collate([scan(3000, 0), scan(800, 1)])
    results = []
    for place in (torch.device("cpu"), device):
        module = build(64, 6).to(place)
        loss = module(item_of(batch, place))["loss"]
        loss.backward()
        gradients = {n: p.grad.cpu() for n, p in module.named_parameters() if p.grad is not None}
        results.append((float(loss), gradients))
    (cpu_loss, cpu), (gpu_loss, gpu) = results
    found["loss"] = abs(cpu_loss - gpu_loss) / cpu_loss
    norms = {n: float((cpu[n] - gpu[n]).norm() / cpu[n].norm().clamp(min=1e-6)) for n in cpu}
    found["gradients_worst"] = max(norms.values())
    found["gradients_median"] = statistics.median(norms.values())
    return found


def step_time(device: torch.device, *, width: int, depth: int, repeats: int) -> dict[str, float]:
    """Milliseconds and memory of a training step: batch 8, 7,500 points each, bf16."""
    batch = collate([scan(7500, seed) for seed in range(8)])
    module = build(width, depth).to(device)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    item = item_of(batch, device)
    torch.cuda.reset_peak_memory_stats(device)
    times = []
    for _ in range(3 + repeats):
        torch.cuda.synchronize(device)
        started = time.perf_counter()
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = module(item)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize(device)
        times.append(1000 * (time.perf_counter() - started))
    kept = sorted(times[3:])
    return {
        "median_ms": statistics.median(kept),
        "fastest_ms": kept[0],
        "slowest_ms": kept[-1],
        "peak_gib": torch.cuda.max_memory_allocated(device) / 2**30,
    }


def main() -> None:
    """Check, time, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--repeats", type=int, default=10)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no GPU on this machine; there is nothing to check.")
    device = torch.device("cuda")
    record = {
        "gpu": torch.cuda.get_device_name(device),
        "machine": platform.machine(),
        "versions": versions(),
        "difference_to_cpu": equality(device),
        "step": {
            f"WI-48-{width}": step_time(device, width=width, depth=48, repeats=arguments.repeats)
            for width in (256, 768)
        },
    }
    text = json.dumps(record, indent=1)
    arguments.output.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
