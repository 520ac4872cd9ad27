r"""Samples per second of a whole distillation step: with and without workers and teacher cache.

    python benchmarks/pretrain_step.py --recipe pretrain/pandaset-002 --output pretrain_step.json \
        data.sets.0.root=DATA/pandaset

What is measured is ``lidistill pretrain`` itself: data, teacher, student, optimiser. A step lasts
from one forward pass to the next.
"""

import argparse
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch
from measure import spread, write_record
from torch import Tensor

from lidistill.distill import run as distill
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.step import Distiller
from lidistill.recipes import load_recipe
from lidistill.records import Batch

STAMPS: list[float] = []
"""When each forward pass began."""


def stamp_forward() -> None:
    """Have every forward pass of a distillation leave its time."""
    forward = Distiller.forward

    def stamped(self: Distiller, batch: Batch) -> dict[str, Tensor]:
        STAMPS.append(time.perf_counter())
        return forward(self, batch)

    setattr(Distiller, "forward", stamped)  # noqa: B010  of another module


def step_seconds(recipe: PretrainRecipe, *, skipped: int) -> list[float]:
    """Wall seconds of every step of a run but the first ones."""
    STAMPS.clear()
    distill.pretrain(recipe)
    return [later - before for before, later in pairwise(STAMPS[skipped:])]


def main() -> None:
    """Run every combination and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="pretrain/pandaset-002")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("pretrain_step.json"))
    parser.add_argument("overrides", nargs="*", help="key=value for the recipe")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    stamp_forward()
    cases: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "teacher"
        for cached in (False, True):
            for workers in arguments.workers:
                changes = (
                    f"output={folder}/{cached}-{workers}",
                    f"teacher_cache={cache if cached else 'null'}",
                    f"data.workers={workers}",
                    f"train.steps={arguments.steps}",
                    "schedule.warmup_steps=1",
                )
                overrides = (*arguments.overrides, *changes)
                recipe = load_recipe(arguments.recipe, overrides, kind=PretrainRecipe)
                if cached and not cache.exists():
                    fill = recipe.model_copy(update={"output": Path(folder) / "fill"})
                    distill.pretrain(fill)  # so that every image is in the cache
                seconds = step_seconds(recipe, skipped=arguments.steps // 3)
                rate = spread([recipe.train.batch_size / one for one in seconds])
                case = {"teacher_cached": cached, "workers": workers, "samples_per_s": rate}
                print(case, flush=True)
                cases.append(case | {"step_s": spread(seconds), "steps": len(seconds)})
    write_record(arguments.output, {"recipe": arguments.recipe, "cases": cases})


if __name__ == "__main__":
    main()
