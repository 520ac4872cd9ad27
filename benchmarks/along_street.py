"""How a run's score falls with the distance from its labels, along one drive.

    python benchmarks/along_street.py RUN evaluation.sets.0.root=DATA/pandaset --frames 0-54

A run that has learned classes is scored on all frames; each block of frames gets the mean IoU over
the classes in its truth, and the IoU of each class.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from measure import write_record
from numpy.typing import NDArray

from lidistill.recipes import apply_overrides
from lidistill.segment.evaluate import evaluate
from lidistill.segment.metrics import scores
from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe
from lidistill.segment.report import restored
from lidistill.training.checkpoint import load_checkpoint


def by_frame(run: Path, overrides: list[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Classes, and (frames, C, C) confusion matrices of a run."""
    loaded = load_checkpoint(run)
    recipe = apply_overrides(loaded.recipe, tuple(overrides), source=str(run))
    if not isinstance(recipe, ProbeRecipe | FinetuneRecipe):
        raise SystemExit(f"{run} has learned no classes")
    frames = recipe.evaluation.build()
    trained = restored(recipe, loaded).for_scores("fp32", frames, recipe.sampling)
    found = evaluate(trained.predict, frames, recipe.sampling, trained.preparer)
    if found.unit != "frame":
        raise SystemExit(f"{run} is scored on several drives, expected one")
    return list(found.class_names), found.confusion_by_unit


def block_scores(names: list[str], confusion: NDArray[np.int64]) -> dict[str, object]:
    """Percent: mean IoU over the classes in the truth, and each of them."""
    found = scores(confusion)
    classes = {
        name: round(100 * float(iou), 1)
        for name, iou, points in zip(names, found.iou, confusion.sum(1), strict=True)
        if points
    }
    return {"mean_iou_of_truth": round(100 * found.mean_iou_of_truth, 1), "classes": classes}


def main() -> None:
    """Print a line for each block, and write all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--frames", default="0-54", help="of the drive, as recipes say it")
    parser.add_argument("--block", type=int, default=6, help="frames in each block")
    parser.add_argument("--output", type=Path, default=Path("along-street.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    overrides = [*options.overrides, f"evaluation.sets.0.frames={options.frames}"]
    names, confusion = by_frame(options.run, overrides)
    blocks: dict[str, object] = {}
    for start in range(0, len(confusion), options.block):
        part = confusion[start : start + options.block]
        name = f"{start}-{start + len(part) - 1}"
        blocks[name] = block_scores(names, part.sum(0))
        print(name, blocks[name], flush=True)
    write_record(options.output, {"blocks": blocks})


if __name__ == "__main__":
    main()
