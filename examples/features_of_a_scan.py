"""Distilled features of one scan, as a NumPy array: the input of whatever you build on them.

    python examples/features_of_a_scan.py runs/demo/pretrain features.npy

Takes the first frame of the run's own data; the scan needs no picture and no label.
"""

import sys
from pathlib import Path

import numpy as np

from lidistill.data.sampling import segmentation_sample
from lidistill.engine.checkpoint import load_checkpoint, load_weights
from lidistill.recipes import apply_overrides
from lidistill.tasks.encoders import BackboneEncoder
from lidistill.tasks.start import backbone_weights


def main(run: str, target: str) -> None:
    """Write (N, C) float32 features, one row for every point of the scan."""
    checkpoint = load_checkpoint(Path(run))
    recipe = apply_overrides(checkpoint.recipe, (), source=f"recipe of {run}")
    backbone = recipe.backbone.build()
    load_weights(backbone, backbone_weights(checkpoint), source=checkpoint.path)
    frame = recipe.data.build()[0]
    sample = segmentation_sample(
        frame, recipe.data.sampling, recipe.backbone.grid, None, training=False
    )
    features = BackboneEncoder(backbone)(frame, sample).features
    full = features[sample.inverse].numpy()  # every point takes those of its nearest kept one
    np.save(target, full)
    print(f"{frame.frame_id}: {full.shape[0]:,} points, {full.shape[1]} channels -> {target}")


if __name__ == "__main__":
    main(*sys.argv[1:])
