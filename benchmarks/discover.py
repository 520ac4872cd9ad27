"""Time and recall of objects that are found without labels, on frames whose objects are known.

    python benchmarks/discover.py ../shared/data/semantic_kitti ../shared/data/pandaset

An object of the truth with at least 50 points is found where the discovered one that shares most
points with it has an IoU above one half, over all its points, those on the ground too; points whose
true class is unknown are left out.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.base import SensorFrames
from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.instances.boxes import shipped_boxes
from lidistill.instances.find import InstanceFinder
from lidistill.instances.objects import find_objects
from lidistill.labels import IGNORE
from lidistill.records import Frame

_ENOUGH = 50


def read(root: Path) -> SensorFrames:
    """The labelled frames of a copy of SemanticKITTI or PandaSet."""
    config = SemanticKittiConfig if SemanticKittiConfig.detect(root) else PandaSetConfig
    values = {"root": root, "split": "all", "labels": "required", "images": "none"}
    return config.model_validate(values | {"missing": "skip", "instances": True}).build()


def matches(frame: Frame, label: NDArray[np.int32], things: tuple[int, ...]) -> list[bool]:
    """Whether each object of the truth is found."""
    assert frame.labels is not None  # noqa: S101  required
    assert frame.segments is not None  # noqa: S101  asked for
    known = frame.labels != IGNORE
    sizes = np.bincount(label[known])
    found = []
    for number in things:
        own = frame.labels == number
        for segment in np.unique(frame.segments[own]):
            inside = own & (frame.segments == segment)
            if inside.sum() < _ENOUGH:
                continue
            shared = np.bincount(label[inside], minlength=len(sizes))
            shared[0] = 0
            best = int(shared.argmax())
            union = sizes[best] + inside.sum() - shared[best]
            found.append(bool(shared[best] > 0.5 * union))
    return found


def main() -> None:
    """Print one line a frame and the sum of each data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("roots", type=Path, nargs="+")
    for root in parser.parse_args().roots:
        dataset = read(root)
        names = dataset.label_map.class_names
        things = InstanceFinder(shipped_boxes("auto", names), names).things
        total: list[bool] = []
        for index, frame_id in enumerate(dataset.frame_ids):
            frame = dataset[index]
            start = time.process_time()
            label, objects = find_objects(frame.points)
            seconds = time.process_time() - start
            found = matches(frame, label, things)
            total += found
            print(
                f"{frame_id}: {len(label):,} points, {len(objects)} objects in {seconds:.2f} s of "
                f"processor time, {sum(found)} of {len(found)} true ones found"
            )
        print(f"{root.name}: {sum(total)} of {len(total)} true objects found")


if __name__ == "__main__":
    main()
