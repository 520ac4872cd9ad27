"""Classes from example images alone, beside a linear probe of the same distillation.

Crops are cut from the images of the frames that the probe learns from: windows in which most points
have one class. So the labels say where a crop is, as a hand with a mouse would; no point of a scan
and no label of one is learned from. Both are scored on the probe's own evaluation frames.

    python benchmarks/open_vocabulary.py RUN PROBE --crops FOLDER [--shots 10] [key=value ...]
"""

import argparse
import json
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lidistill.apps.features import FeatureModel
from lidistill.apps.load_features import load
from lidistill.apps.open_vocabulary import with_examples
from lidistill.images.files import read_image
from lidistill.loading.collate import collate
from lidistill.recipes import apply_overrides
from lidistill.records import CameraView, Frame, Sample
from lidistill.samples.pairing import pair_view
from lidistill.segment.evaluate import Evaluation, evaluate
from lidistill.segment.recipe import ProbeRecipe
from lidistill.training.checkpoint import load_checkpoint

_SIDES: Final = (48, 80, 128)  # pixels of windows
_WINDOWS: Final = 60  # looked at in each image and size
_PURITY: Final = 0.85  # share of a window's points that have its class
_LEAST: Final = 8  # points


def main() -> None:
    """Cut crops, classify, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("probe", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--crops", type=Path, required=True)
    parser.add_argument("--shots", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sensor")
    arguments = parser.parse_args()
    stored = load_checkpoint(arguments.probe)
    recipe = apply_overrides(stored.recipe, tuple(arguments.overrides), source="probe")
    assert isinstance(recipe, ProbeRecipe)  # noqa: S101  as the command says
    names = tuple(stored.meta["label_names"])
    found = cut_crops(recipe, names, arguments.crops, arguments.shots, arguments.seed)
    model = load(arguments.run, "cpu", sensor=arguments.sensor)
    model = with_examples(model, arguments.run, arguments.crops)
    scored = recipe.evaluation.build()
    ids = torch.tensor([names.index(name) for name in model.class_names])

    def predict(frame: Frame, sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
        del frame
        return ids[_classes(model, sample)], torch.ones(len(sample), dtype=torch.bool)

    evaluation = evaluate(predict, scored, recipe.sampling, model.preparer)
    probe = json.loads((arguments.probe / "results.json").read_text())
    print_result(evaluation, probe, found)


@torch.no_grad()
def _classes(model: FeatureModel, sample: Sample) -> torch.Tensor:
    assert model.head is not None  # noqa: S101  made above
    return model.head(model.network(collate([sample])).float()).argmax(1)


def cut_crops(
    recipe: ProbeRecipe, names: tuple[str, ...], folder: Path, shots: int, seed: int
) -> dict[str, int]:
    """Write at most so many crops of each class; how many there are of each."""
    rng = np.random.default_rng(seed)
    dataset = recipe.data.build()
    count = dict.fromkeys(names, 0)
    order = [(i, v) for i in range(len(dataset)) for v in range(len(dataset[i].views))]
    for place in rng.permutation(len(order)):
        index, number = order[place]
        frame = dataset[index]
        view = frame.views[number]
        taken: set[int] = set()  # one crop of a class from one image
        for class_id, box in _windows(frame, view, rng):
            name = names[class_id]
            if count[name] < shots and class_id not in taken:
                top, left, side = box
                image = read_image(view.image_path)[top : top + side, left : left + side]
                (folder / name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(folder / name / f"{count[name]:03d}.png")
                count[name] += 1
                taken.add(class_id)
        if min(count.values()) >= shots:
            break
    return count


def _windows(
    frame: Frame, view: CameraView, rng: np.random.Generator
) -> list[tuple[int, tuple[int, int, int]]]:
    """Class and place (row, column, side) of windows that show one class, in a random order."""
    pairs = pair_view(frame.points, view, view.size_hw)
    assert frame.labels is not None  # noqa: S101  the recipe asks for them
    labels, uv = frame.labels[pairs.index], pairs.uv
    height, width = view.size_hw
    found = []
    for side in _SIDES:
        for _ in range(_WINDOWS):
            top, left = int(rng.integers(0, height - side)), int(rng.integers(0, width - side))
            corner = np.array([left, top])
            inside = ((uv >= corner) & (uv < corner + side)).all(1)
            class_id, purity, num = _majority(labels[inside])
            if purity >= _PURITY and num >= _LEAST:
                found.append((class_id, (top, left, side)))
    order = rng.permutation(len(found))
    return [found[i] for i in order]


def _majority(labels: NDArray[np.uint8]) -> tuple[int, float, int]:
    """The most frequent class but 255, its share of all points, and their number."""
    count = np.bincount(labels, minlength=256)
    best = int(count[:255].argmax())
    return best, float(count[best] / max(1, len(labels))), len(labels)


def print_result(evaluation: Evaluation, probe: dict[str, object], crops: dict[str, int]) -> None:
    """One line a class and the means, of the examples and of the probe."""
    whole = probe["all_points"]
    assert isinstance(whole, dict)  # noqa: S101  as evaluation writes it
    scores = evaluation.scores
    print(f"{'class':28} crops  examples  probe")
    for i, name in enumerate(evaluation.class_names):
        own, other = 100 * scores.iou[i], whole["iou"][i]
        if np.isnan(own) and other is None:
            continue
        shown = "-" if other is None else f"{other:.1f}"
        print(f"{name:28} {crops[name]:5d}  {own:8.1f}  {shown:>5}")
    print(f"mIoU of classes in the truth        {100 * scores.mean_iou_of_truth:8.1f}  "
          f"{whole['mean_iou_of_truth']:5.1f}")  # fmt: skip
    print(f"accuracy                            {100 * scores.overall_accuracy:8.1f}  "
          f"{whole['overall_accuracy']:5.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
