"""How long a frame takes from disk to the sample that is distilled, part by part, on one core.

Reads frames of whatever data sets lie under a folder, several times, and gives the median CPU time
of warm reads, which other programs on the machine do not disturb:

    python benchmarks/reading.py ../shared/data --output runs/reading
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from measure import write_record

from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.waffleiron.inputs import nearest_neighbors
from lidistill.datasets import DatasetConfig, FrameDataset
from lidistill.datasets.kitti.raw import KittiRawConfig
from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.datasets.own.dataset import FolderConfig
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.errors import DatasetNotFoundError
from lidistill.images.files import read_image, resize
from lidistill.loading.worker import keep_freed_memory
from lidistill.reading.files import read_file
from lidistill.records import Frame
from lidistill.samples.distillation import (
    SamplingConfig,
    distillation_sample,
    draw,
    sample_rng,
)
from lidistill.samples.pairing import pair_view, unoccluded
from lidistill.samples.preparer import Preparer

_Labels = Literal["optional", "none"]
_CONFIGS: dict[str, Callable[[Path, _Labels], DatasetConfig]] = {
    "pandaset": lambda root, labels: PandaSetConfig(root=root, split="all", labels=labels),
    "nuscenes": lambda root, labels: NuScenesConfig(
        root=root, version="v1.0-mini", split="all", missing="skip", labels=labels
    ),
    "semantic_kitti": lambda root, labels: SemanticKittiConfig(
        root=root, split="all", missing="skip", images="required", labels=labels
    ),
    "kitti_raw": lambda root, labels: KittiRawConfig(root=root, labels=labels),
    "own": lambda root, labels: FolderConfig(root=root, labels=labels),
}
"""Every data set by its folder; a new one adds a line."""


def main() -> None:
    """Measure, print the table, write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path, help="folder with pandaset, nuscenes, semantic_kitti")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--output", type=Path, help="folder for reading.md and reading.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as the data workers do
    found = {}
    for name, config in _CONFIGS.items():
        try:
            labelled = config(options.root / name, "optional").build()
            unlabelled = config(options.root / name, "none").build()
        except DatasetNotFoundError as error:
            print(f"{name}: left out ({error})")
            continue
        found[name] = dict(_parts(labelled, unlabelled, repeats=options.repeats))
    text = _table(found)
    print(text)
    if options.output is not None:
        record: dict[str, object] = {"repeats": options.repeats, "milliseconds": found}
        write_record(options.output / "reading.json", record)
        (options.output / "reading.md").write_text(text)


def _parts(
    labelled: FrameDataset, unlabelled: FrameDataset, *, repeats: int
) -> Iterator[tuple[str, tuple[float, float]]]:
    """Name, median and spread in CPU milliseconds of every part of reading the first frame."""

    def timed(action: Callable[[], object]) -> tuple[float, float]:
        action()
        seconds = []
        for _ in range(repeats):
            start = time.process_time()
            action()
            seconds.append(1000 * (time.process_time() - start))
        low, _, high = statistics.quantiles(seconds, n=4)
        return statistics.median(seconds), high - low

    frame = labelled[0]
    config, network = SamplingConfig(), WaffleIronConfig()
    preparer = network.inputs()
    sample = distillation_sample(frame, config, preparer, sample_rng(0, 0, 0))
    path = sample.image_paths[0]
    view = next(view for view in frame.views if view.image_path == path)
    image = torch.from_numpy(read_image(path)).permute(2, 0, 1)
    draws = draw(frame, config, sample_rng(0, 0, 0))
    kept = frame.points[config.voxels(frame, draws.permutation)]
    cached = dataclasses.replace(frame, views=(view,))
    yield "frame: all files", timed(lambda: labelled[0])
    yield "frame: without labels", timed(lambda: unlabelled[0])
    yield "image: file", timed(lambda: read_file(path))
    yield "image: file and decode", timed(lambda: read_image(path))
    yield "image: resize", timed(lambda: resize(image, config.image_size_hw, antialias=False))
    yield "sample: draws", timed(lambda: draw(frame, config, sample_rng(0, 0, 0)))
    yield "sample: voxels", timed(lambda: config.voxels(frame, draws.permutation))
    pairs = pair_view(kept, view, config.image_size_hw)
    yield "sample: pairs", timed(lambda: pair_view(kept, view, config.image_size_hw))
    yield "sample: occluded pairs", timed(lambda: unoccluded(pairs, kept, view))
    coords = sample.coords.numpy()
    yield "sample: neighbours", timed(lambda: nearest_neighbors(coords, network.num_neighbors))
    bare = partial(_sample, cached, config, preparer, load_images=False)
    yield "sample: without image", timed(bare)
    yield "sample: in all", timed(partial(_sample, cached, config, preparer, load_images=True))


def _sample(
    frame: Frame, config: SamplingConfig, preparer: Preparer, *, load_images: bool
) -> object:
    return distillation_sample(
        frame, config, preparer, sample_rng(0, 0, 0), load_images=load_images
    )


def _table(found: dict[str, dict[str, tuple[float, float]]]) -> str:
    lines = [f"| CPU ms, median (quartiles' range) | {' | '.join(found)} |"]
    lines.append("|---" * (len(found) + 1) + "|")
    for part in next(iter(found.values()), {}):
        cells = [f"{found[name][part][0]:.1f} ({found[name][part][1]:.1f})" for name in found]
        lines.append(f"| {part} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
