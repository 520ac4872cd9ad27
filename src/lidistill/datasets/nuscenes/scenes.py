"""Which scenes of nuScenes are of which split."""

from importlib import resources

import yaml


def official_scenes(split: str) -> tuple[str, ...]:
    """Names of the scenes of a split: an official one, or ``tune_train`` and ``tune_val`` of it."""
    file = resources.files("lidistill").joinpath("datasets", "nuscenes", "splits.yaml")
    lists = yaml.safe_load(file.read_text("utf-8"))
    if split == "tune_train":
        held_out = set(lists["tune_val"])
        return tuple(scene for scene in lists["train"] if scene not in held_out)
    return tuple(lists[split])
