"""Distilled features of one scan, as a NumPy array: the input of whatever you build on them.

    python examples/features_of_a_scan.py runs/pretrain/pandaset-002 scan.pcd features.npy

A run that was trained on several lidars also wants the name of yours: … features.npy pandar64
"""

import sys
from pathlib import Path

import numpy as np

import lidistill
from lidistill.scan_formats.scan_file import read_scan


def main(run: str, scan_file: str, target: str, sensor: str | None = None) -> None:
    """Write (N, C) float32 features, one row for every point of the scan."""
    scan = read_scan(Path(scan_file))
    features = lidistill.load(run, sensor=sensor).features(scan.points, scan.intensity)
    np.save(target, features)
    without = int(np.isnan(features[:, 0]).sum())
    num_points, num_channels = features.shape
    print(f"{num_points:,} points ({without:,} out of sight), {num_channels} channels -> {target}")


if __name__ == "__main__":
    main(*sys.argv[1:])
