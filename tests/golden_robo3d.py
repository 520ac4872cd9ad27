"""Reference vectors of Robo3D: their frames, and what the benchmark's own code made of them."""

import json

import numpy as np
from golden_cases import GOLDEN, golden_files

from lidistill.labels import load_label_map
from lidistill.robustness.rings import rings_by_turns
from lidistill.robustness.scan import CleanScan
from lidistill.robustness.traits import LIDARS, with_classes

FOLDER = GOLDEN / "robo3d"
LIDAR_OF = {"nus": "nuscenes", "kit": "semantic_kitti"}
CLASS_BITS = 0xFFFF
SEVERITIES = ("light", "moderate", "heavy")


def cases(corruption, ending="json"):
    """One parameter for each file about a corruption."""
    return golden_files(f"robo3d/*.{corruption}.{ending}")


def lidar_of(file):
    return LIDAR_OF[file.name.split("_")[0]]


def raw_labels(file):
    return inputs(file)["labels"].astype(np.int64) & CLASS_BITS


def inputs(file):
    return np.load(FOLDER / f"{file.name.split('.')[0]}.input.npz")


def scan_of(file):
    """The clean scan that a reference file is about."""
    points = inputs(file)["points"]
    traits = LIDARS[lidar_of(file)]
    label_map = load_label_map(traits.name)
    xyz = np.ascontiguousarray(points[:, :3])
    from_file = traits.ring_from == "file"
    ring = points[:, 4].astype(np.int16) if from_file else rings_by_turns(xyz, traits.num_rings)
    return CleanScan(
        points=xyz,
        intensity=points[:, 3].copy(),
        labels=label_map.apply(raw_labels(file), source=str(file)),
        ring=ring,
        traits=with_classes(traits, label_map),
    )


def severities(file):
    return json.loads(file.read_text())["severities"]


def draws(key, count):
    """Generators that differ."""
    return [np.random.default_rng((key, i)) for i in range(count)]
