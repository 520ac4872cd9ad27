"""Students of different kinds on one scan, in one process and by turns: seconds and parameters.

    python benchmarks/students.py --scan 000000.bin --points 20000 --output students.json

``--scan`` is a KITTI scan; its voxels nearest to one of them are taken. A network is a ``kind`` and
changes to it: ``--students waffleiron,width=128,depth=12 minkunet,depth=18,width=16``; or that of
a distillation's recipe: ``pretrain/litept``.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from measure import medians, timed, write_record

from lidistill.backbones import BACKBONES, Backbone, BackboneSettings
from lidistill.loading.collate import collate
from lidistill.recipes import load_recipe
from lidistill.records import Batch, Frame
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import scan_sample

STUDENTS = (
    "waffleiron,width=128,depth=12",
    "minkunet,depth=18,width=16,stages=A",
    "waffleiron,width=256,depth=48",
    "minkunet,depth=34,width=32",
)


def settings_of(text: str) -> BackboneSettings:
    """The configuration that an argument names."""
    if "/" in text:
        backbone: BackboneSettings | None = load_recipe(text).backbone
        if backbone is None:
            raise SystemExit(f"the recipe {text} names no network; give one of pretrain/")
        return backbone
    kind, *changes = text.split(",")
    values = dict(change.split("=", 1) for change in changes)
    return BACKBONES[kind].model_validate({key: yaml.safe_load(v) for key, v in values.items()})


def frame_of(scan: Path, num_points: int) -> Frame:
    """The points of a KITTI scan that lie nearest to one of them."""
    points = np.fromfile(scan, dtype=np.float32).reshape(-1, 4)
    distance = np.linalg.norm(points[:, :3] - points[len(points) // 2, :3], axis=1)
    points = points[np.sort(np.argsort(distance, kind="stable")[:num_points])]
    return Frame(
        frame_id=scan.stem,
        sensor="semantic_kitti",
        points=np.ascontiguousarray(points[:, :3]),
        intensity=np.ascontiguousarray(points[:, 3]),
    )


def forward(network: Backbone, batch: Batch, *, low: bool) -> None:
    """A pass of the form for inference."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=low):
        network(batch)


def step(network: Backbone, batch: Batch, *, low: bool) -> None:
    """A forward and a backward pass."""
    network.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        features = network.train()(batch)
    features.float().square().mean().backward()


def main() -> None:
    """Measure what the arguments name and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scan", type=Path, required=True)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--students", nargs="+", default=STUDENTS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("runs/students.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    frame, sampling = frame_of(arguments.scan, arguments.points), SamplingConfig(voxel_size=0.1)
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    rows: dict[str, dict[str, object]] = {}
    for text in arguments.students:
        config = settings_of(text)
        sample = scan_sample(frame, sampling, config.inputs())
        coords, features = sample.coords.numpy(), sample.features.numpy()
        batch, network, preparer = collate([sample]), config.build(), config.inputs()
        calls[text, "prepare"] = partial(preparer.prepare, coords, features)
        for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
            folded, low = network.for_inference(dtype), name == "bf16"
            calls[text, f"forward {name}"] = partial(forward, folded, batch, low=low)
            calls[text, f"step {name}"] = partial(step, network, batch, low=low)
        rows[text] = {
            "points": len(sample),
            "parameters": sum(p.numel() for p in network.parameters()),
        }
    runs: dict[tuple[str, str], list[dict[str, float]]] = {key: [] for key in calls}
    for _ in range(1 + arguments.repeats):  # the first turn warms up
        for key, call in calls.items():
            runs[key].append(timed(call))
    for (text, name), values in runs.items():
        rows[text][name] = found = medians(values[1:])
        print(f"{text:40} {name:13} {found['wall_s']:8.3f} s, CPU {found['cpu_s']:8.3f} s")
    write_record(arguments.output, {"students": rows})


if __name__ == "__main__":
    main()
