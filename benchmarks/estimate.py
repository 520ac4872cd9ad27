"""What ``lidistill estimate`` predicts against what a training step takes on this processor.

python benchmarks/estimate.py --width 64 128 256 --depth 6 12 --points 5000
"""

import argparse
import ctypes
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from lidistill.apps import estimate
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.step import build_distiller
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.recipes import load_recipe
from lidistill.teachers import ChannelGroup

_CHANNELS = 384
_GROUPS = {UNNAMED_TEACHER: (ChannelGroup(num_channels=_CHANNELS),)}


def main() -> None:
    """One forked process for every size, so that each has a peak of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--depth", type=int, nargs="+", default=[6, 12])
    parser.add_argument("--points", type=int, default=5000)
    parser.add_argument("--output", type=Path, default=Path("runs/estimate.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for width in options.width:
        for depth in options.depth:
            recipe = _recipe(width, depth, options.points)
            predicted, measured = (_apart(part, recipe) for part in (_predict, _measure))
            rows.append({"width": width, "depth": depth} | predicted | measured)
            print(rows[-1], flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _apart(
    part: Callable[[PretrainRecipe], dict[str, float]], recipe: PretrainRecipe
) -> dict[str, float]:
    """The result of a forked process, whose peak of memory is its own."""
    receive, send = os.pipe()
    if os.fork() == 0:
        os.write(send, json.dumps(part(recipe)).encode())
        os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        result: dict[str, float] = json.loads(pipe.read())
    os.wait()
    return result


def _recipe(width: int, depth: int, points: int) -> PretrainRecipe:
    changes = {"backbone.width": width, "backbone.depth": depth, "data.sampling.max_points": points}
    overrides = tuple(f"{key}={value}" for key, value in changes.items())
    recipe = load_recipe("pretrain/debug", overrides, kind=PretrainRecipe)
    if not isinstance(recipe, PretrainRecipe):
        raise TypeError(recipe)
    return recipe


def _predict(recipe: PretrainRecipe) -> dict[str, float]:
    cost = estimate.predict_student(recipe, _GROUPS, torch.device("cpu"))
    parameters = sum(p.numel() for p in build_distiller(recipe, _GROUPS).parameters())
    needed = cost.saved + recipe.backbone.cost(1).working + 16 * parameters
    return {"predicted_mib": needed / 2**20, "predicted_s": cost.seconds}


def _measure(recipe: PretrainRecipe) -> dict[str, float]:
    device = torch.device("cpu")
    points = recipe.data.sampling.max_points
    item = estimate.made_up(recipe.backbone.inputs(), points, {UNNAMED_TEACHER: _CHANNELS}, device)
    _warm_up(device)
    before = _forget_the_peak()
    student = build_distiller(recipe, _GROUPS).train()
    optimizer = recipe.optimizer.build(student)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        estimate.backward(student, item, recipe, device)
        seconds.append(time.perf_counter() - began)
        optimizer.step()
        optimizer.zero_grad()
    return {"measured_mib": _status("VmHWM") - before, "measured_s": statistics.median(seconds)}


def _forget_the_peak() -> float:
    """MiB in memory now, after what is free was given back; the peak counts from here (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(name: str) -> float:
    """A line of this process's status, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    values = dict(line.split(":", maxsplit=1) for line in lines)
    return int(values[name].split()[0]) / 1024


def _warm_up(device: torch.device) -> None:
    """A step of a tiny network, so that what the libraries keep for themselves is not counted."""
    tiny = _recipe(8, 3, 500)
    item = estimate.made_up(tiny.backbone.inputs(), 500, {UNNAMED_TEACHER: _CHANNELS}, device)
    student = build_distiller(tiny, _GROUPS).train()
    estimate.backward(student, item, tiny, device)
    tiny.optimizer.build(student).step()


if __name__ == "__main__":
    main()
