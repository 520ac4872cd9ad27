"""What a page of ten frames weighs that `lidistill view --export` writes, and how long it takes.

    python benchmarks/viewer_export.py RUN FOLDER --points 35000 --output look.html

FOLDER is the root of a data set with images; frames are thinned out to so many points.
"""

import argparse
import re
import time
from pathlib import Path

import numpy as np

from lidistill import load
from lidistill.datasets import FrameDataset
from lidistill.datasets.dataset_wrapper import DatasetWrapper
from lidistill.records import Frame
from lidistill.training.checkpoint import load_checkpoint
from lidistill.viewer.build import EXPORT_WIDTH, Network, build_content
from lidistill.viewer.export import export
from lidistill.viewer.sources import choose_frames, open_source
from lidistill.viewer.teacher_images import teacher_of


class Thinned(DatasetWrapper):
    """Frames of a data set with so many of their points, evenly chosen."""

    def __init__(self, dataset: FrameDataset, num_points: int) -> None:
        super().__init__(dataset)
        self._num_points = num_points

    def __getitem__(self, index: int) -> Frame:
        frame = self._dataset[index]
        last = len(frame.points) - 1
        kept = np.unique(np.linspace(0, last, self._num_points).round().astype(int))
        return Frame(
            frame_id=frame.frame_id,
            sensor=frame.sensor,
            points=frame.points[kept],
            intensity=None if frame.intensity is None else frame.intensity[kept],
            labels=None if frame.labels is None else frame.labels[kept],
            views=frame.views,
            intensity_statistics=frame.intensity_statistics,
        )


def main() -> None:
    """Write a page and say what it weighs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--points", type=int, default=35_000)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--sensor", default=None)
    parser.add_argument("--output", type=Path, default=Path("runs/viewer-export.html"))
    given = parser.parse_args()
    source = open_source([given.folder], sensor=given.sensor)
    dataset = Thinned(source.dataset, given.points)
    network = Network(
        name="network",
        model=load(given.run, "cpu", sensor=source.sensor_name),
        teacher=teacher_of(load_checkpoint(given.run), "cpu"),
    )
    begin = time.perf_counter()
    content = build_content(
        dataset,
        choose_frames(dataset, most=given.frames),
        [network],
        title="benchmark",
        image_width=EXPORT_WIDTH,
    )
    computed = time.perf_counter()
    file = export(content, given.output, overwrite=True)
    written = time.perf_counter()
    text = file.read_text(encoding="utf-8")
    sizes: dict[str, int] = {}
    for kind, data in re.findall('data-name="([a-z]+)[^"]*">([^<]*)<', text):
        sizes[kind] = sizes.get(kind, 0) + len(data)
    counts = [told["num_points"] for told in content.frames.told]
    images = sum(len(told["images"]) for told in content.frames.told)
    print(f"{len(counts)} frames of {min(counts):,} to {max(counts):,} points, {images} images")
    print(f"read, features, bases: {computed - begin:.1f} s; written: {written - computed:.1f} s")
    print(f"{file.stat().st_size / 1e6:.1f} MB: page {(len(text) - sum(sizes.values())) / 1e6:.2f}")
    for kind, size in sizes.items():
        print(f"  {kind:<12} {size / 1e6:6.2f} MB")


if __name__ == "__main__":
    main()
