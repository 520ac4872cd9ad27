"""Does a network trained on photographs see a street in the simulator's images?

python benchmarks/simulated_images.py [--drives 4] [--image sheet.jpg] [--output result.json]

Features of EfficientNet-Lite2 (extra ``wheels``) at random pixels, against the class that the
simulator says each pixel shows. Two classifiers learn on drives of three districts and are tested
on a fourth: the nearest class mean, and a linear one by least squares. Both see the network's
features, or the colours of the pixel and of eight around it. Scores are balanced accuracies: the
mean over five classes of the share of their pixels that is found; chance is 0.2.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lidistill.figures.features import fit_pca, pca_colors
from lidistill.figures.sheet import Panel, sheet
from lidistill.sim.camera import Rendering, render
from lidistill.sim.classes import Kind
from lidistill.sim.raycast import RayWorld
from lidistill.sim.rigs import NUSCENES
from lidistill.sim.street import build_street
from lidistill.teachers import PyramidTeacherConfig, Teacher

CLASSES = {
    "road": (Kind.ROAD, Kind.LANE_LINE, Kind.STOP_LINE, Kind.OTHER_MARKING),
    "car": (Kind.CAR, Kind.PICKUP),
    "building": (Kind.BUILDING,),
    "vegetation": (Kind.VEGETATION, Kind.TRUNK),
    "person": (Kind.PERSON,),
}
TRAIN, TEST = ("rowhouses", "industrial", "suburb"), ("downtown",)
SIZE_HW = (448, 800)
PIXELS_PER_CLASS = 300  # of each image at most
RIDGE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Pixels of several images."""

    label: NDArray[np.int64]
    features: NDArray[np.float32]
    color: NDArray[np.float32]

    @staticmethod
    def join(parts: list["Pixels"]) -> "Pixels":
        """All of them, one after the other."""
        return Pixels(
            label=np.concatenate([part.label for part in parts]),
            features=np.concatenate([part.features for part in parts]),
            color=np.concatenate([part.color for part in parts]),
        )


def renderings(district: str, num_drives: int) -> Iterator[Rendering]:
    """Two moments of each drive, seen by all six cameras."""
    for drive in range(num_drives):
        street = build_street(district, seconds=8.0, seed=(drive, 77))
        fixed = RayWorld(street.static)
        rng = np.random.default_rng((drive, 78))
        for time_s in (1.0, 5.0):
            world = RayWorld(street.moving(time_s), base=fixed)
            T_street_body = street.T_street_ego(time_s) @ NUSCENES.T_ego_body
            for camera in NUSCENES.cameras:
                T_street_camera = T_street_body @ camera.T_body_camera
                yield render(
                    world, camera.resized(SIZE_HW), T_street_camera, sky=street.sky, rng=rng
                )


def observe(rendering: Rendering, teacher: Teacher, rng: np.random.Generator) -> Pixels:
    """Some pixels of each class, what the network says about them, and their colours."""
    ids = np.full(256, -1)
    for number, kinds in enumerate(CLASSES.values()):
        ids[list(kinds)] = number
    label = ids[rendering.label].ravel()
    chosen = [np.flatnonzero(label == number) for number in range(len(CLASSES))]
    index = np.concatenate([rng.permutation(found)[:PIXELS_PER_CLASS] for found in chosen])
    row, column = np.divmod(index, SIZE_HW[1])
    image = rendering.image
    around = [
        image[np.clip(row + dy, 0, SIZE_HW[0] - 1), np.clip(column + dx, 0, SIZE_HW[1] - 1)]
        for dy in (-8, 0, 8)
        for dx in (-8, 0, 8)
    ]
    return Pixels(
        label=label[index],
        features=read(image, teacher, np.stack([column, row], axis=1)),
        color=np.concatenate(around, axis=1).astype(np.float32) / np.float32(255),
    )


def read(
    image: NDArray[np.uint8], teacher: Teacher, uv: NDArray[np.integer]
) -> NDArray[np.float32]:
    """(P, C) features at (P, 2) pixels of one image."""
    maps = teacher.maps(torch.from_numpy(image).permute(2, 0, 1)[None])
    where = torch.from_numpy(uv.astype(np.float32))
    return teacher.read(maps, torch.zeros(len(uv), dtype=torch.int64), where, SIZE_HW).numpy()


def balanced_accuracy(found: NDArray[np.int64], label: NDArray[np.int64]) -> float:
    """Mean over the classes of the share of their pixels that is found."""
    return float(np.mean([(found[label == c] == c).mean() for c in range(len(CLASSES))]))


def nearest_mean(
    train: NDArray[np.float32], label: NDArray[np.int64], test: NDArray[np.float32]
) -> NDArray[np.int64]:
    """(P,) class of the nearest mean."""
    means = np.stack([train[label == c].mean(axis=0) for c in range(len(CLASSES))])
    return ((test[:, None] - means[None]) ** 2).sum(axis=2).argmin(axis=1)


def linear(
    train: NDArray[np.float32], label: NDArray[np.int64], test: NDArray[np.float32]
) -> NDArray[np.int64]:
    """(P,) class with the largest output of a least squares fit in which classes weigh the same."""
    weight = 1 / np.bincount(label)[label] / len(CLASSES)
    x = np.pad(train.astype(np.float64), ((0, 0), (0, 1)), constant_values=1)
    gram = x.T @ (weight[:, None] * x)
    ridge = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    solution = np.linalg.solve(gram + ridge, x.T @ (weight[:, None] * np.eye(len(CLASSES))[label]))
    return (np.pad(test, ((0, 0), (0, 1)), constant_values=1) @ solution).argmax(axis=1)


def draw(images: list[NDArray[np.uint8]], teacher: Teacher, path: Path) -> None:
    """Images beside the principal components of their features, the same for all."""
    height, width = SIZE_HW[0] // 4, SIZE_HW[1] // 4
    grid = np.stack(np.meshgrid(np.arange(width) * 4 + 2, np.arange(height) * 4 + 2), axis=-1)
    features = [read(image, teacher, grid.reshape(-1, 2)) for image in images]
    basis = fit_pca(np.concatenate(features))
    rows = []
    for image, feature in zip(images, features, strict=True):
        colors = pca_colors(feature, basis=basis).reshape(height, width, 3)
        shown = (Image.fromarray(image).resize((480, 268)) for image in (image, colors))
        titles = ("simulated image", "EfficientNet-Lite2, three principal components")
        rows.append(
            [Panel(image=np.asarray(p), title=t) for p, t in zip(shown, titles, strict=True)]
        )
    Image.fromarray(sheet(rows)).save(path, quality=70)


def main() -> None:
    """Measure, print, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drives", type=int, default=4, help="of each district")
    parser.add_argument("--image", type=Path)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    teacher = PyramidTeacherConfig().build()
    rng = np.random.default_rng(0)
    seen: dict[str, list[Pixels]] = {"train": [], "test": []}
    examples = []
    for split, districts in (("train", TRAIN), ("test", TEST)):
        for district in districts:
            fullest = (-1, np.zeros((*SIZE_HW, 3), dtype=np.uint8))
            for rendering in renderings(district, arguments.drives):
                pixels = observe(rendering, teacher, rng)
                seen[split].append(pixels)
                rarest = int(np.bincount(pixels.label, minlength=len(CLASSES)).min())
                fullest = max(fullest, (rarest, rendering.image), key=lambda pair: pair[0])
            examples.append(fullest[1])
    train, test = Pixels.join(seen["train"]), Pixels.join(seen["test"])
    result: dict[str, float] = {"train pixels": len(train.label), "test pixels": len(test.label)}
    for classify in (nearest_mean, linear):
        for source in ("features", "color"):
            found = classify(getattr(train, source), train.label, getattr(test, source))
            score = balanced_accuracy(found, test.label)
            result[f"{classify.__name__}, {source}"] = round(score, 4)
            if classify is linear:
                for c, name in enumerate(CLASSES):
                    share = float((found[test.label == c] == c).mean())
                    result[f"{source}: {name}"] = round(share, 4)
    print(json.dumps(result, indent=1))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if arguments.image:
        draw(examples, teacher, arguments.image)


if __name__ == "__main__":
    main()
