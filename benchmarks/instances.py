"""Time of telling objects apart, with the true classes of a copy of SemanticKITTI.

Example: python benchmarks/instances.py /data/semantic_kitti
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.instances.boxes import shipped_boxes
from lidistill.instances.find import InstanceFinder
from lidistill.segment.evaluate import labels_of


def main() -> None:
    """Print one line a scan and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    config = SemanticKittiConfig(
        root=arguments.root, split="all", labels="required", images="none", missing="skip"
    )
    dataset = config.build()
    names = dataset.label_map.class_names
    for index, frame_id in enumerate(dataset.frame_ids):
        frame = dataset[index]
        classes = labels_of(frame)
        for split in (False, True):
            finder = InstanceFinder(shipped_boxes("auto", names).changed(split=split), names)
            seconds = []
            for _ in range(arguments.repeats):
                start = time.perf_counter()
                found = finder(frame.points, classes)
                seconds.append(time.perf_counter() - start)
            of_things = int(np.isin(classes, finder.things).sum())
            print(
                f"{frame_id} split={split} {len(found):,} points, {of_things:,} of things, "
                f"{found.max()} objects, median {statistics.median(seconds):.3f} s"
            )


if __name__ == "__main__":
    main()
