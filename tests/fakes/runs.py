"""Tiny complete runs: a drive that can be learned, and recipes that finish in seconds."""

import numpy as np
import yaml
from fakes.pandaset import Camera, Drive, write_drive
from fakes.teachers import write_vit

ROAD, CAR, BUILDING = 7, 13, 41  # raw ids of PandaSet
GRID = {"fov_min": [-32, -32, -8], "fov_max": [32, 32, 8], "planes": [[32, 32], [32, 8], [32, 8]]}
NETWORK = (f"backbone.grid={GRID}", "backbone.width=8", "backbone.depth=3")
"""Overrides that make a network tiny."""
_CELLS = ("grid_size=0.25", "norm_momentum=0.3", "patch_size=16", "widths=[8,12]", "depths=[1,1]")
TINY = {
    "waffleiron": NETWORK,
    "minkunet": ("backbone.width=4", "backbone.depth=14"),
    "litept": tuple(f"backbone.{key}" for key in (*_CELLS, "decoder_widths=[8]", "heads=[2]")),
    "ptv3": tuple(
        f"backbone.{key}"
        for key in (
            *_CELLS,
            "heads=[2,1]",
            "decoder_widths=[8]",
            "decoder_depths=[1]",
            "decoder_heads=[2]",
        )
    ),
}
"""The same for each kind of network that a shipped recipe trains."""


def street(num_points=1800, seed=0):
    """Road below, cars at bumper height, buildings above: classes that a linear probe can tell."""
    rng = np.random.default_rng(seed)
    height = rng.uniform(-2.0, 3.0, num_points)
    # In the world: PandaSet's sensor lies 1.6 m over the pose.
    points = np.stack(
        [rng.uniform(3, 25, num_points), rng.uniform(-12, 12, num_points), height], axis=1
    )
    classes = np.where(height < -0.8, ROAD, np.where(height < 0.8, CAR, BUILDING))
    return points, classes


def write_street(root, *, frames=(0, 1, 2, 3), name="001", **changed):
    points, classes = street()
    rng = np.random.default_rng(1)
    image = rng.integers(0, 255, (32, 64, 3), dtype=np.uint8)
    drive = Drive(
        frames=frames,
        points=points,
        classes=classes,
        intensity=np.where(classes == ROAD, 5.0, 60.0),
        device=np.arange(len(points)) % 2,
        cameras={"front_camera": Camera(image=image)},
        **changed,
    )
    return write_drive(root, name, drive)


def pretrain_values(folder):
    return {
        "kind": "pretrain",
        "name": "tiny",
        "output": str(folder / "pretrain"),
        "device": "cpu",
        "data": {
            "sets": [{"kind": "pandaset", "root": str(folder / "set"), "split": "all"}],
            "sampling": {"image_size_hw": [28, 56], "max_points": 400},
        },
        "backbone": {"kind": "waffleiron", "width": 8, "depth": 3, "drop_path": 0.2, "grid": GRID},
        "teacher": {"kind": "vit", "model": str(folder / "vit"), "layers": [-1]},
        "target": {"center_batches": 3},
        "train": {"steps": 6, "batch_size": 2, "checkpoint_every": 2, "keep_checkpoints": 5},
        "schedule": {"kind": "cosine", "warmup_steps": 2},
        "figures": {"enabled": False},
    }


def probe_values(folder, features="backbone"):
    sets = {"sets": [{"kind": "pandaset", "root": str(folder / "set"), "split": "all"}]}
    return {
        "kind": "probe",
        "name": features,
        "output": str(folder / f"probe-{features}"),
        "device": "cpu",
        "checkpoint": str(folder / "pretrain"),
        "features": features,
        "data": sets,
        "evaluation": sets,
        "sampling": {"image_size_hw": [28, 56], "augmentation": {"kind": "none"}},
        "cache_features": True,
        "optimizer": {"lr": 0.05, "weight_decay": 0},
        "train": {"steps": 40, "batch_size": 2},
        "schedule": {"kind": "cosine", "warmup_steps": 2},
    }


def finetune_values(folder, features="backbone"):
    """The probe's recipe, without what only a frozen network has."""
    values = probe_values(folder, features)
    del values["cache_features"]
    return values | {
        "kind": "finetune",
        "output": str(folder / f"finetune-{features}"),
        "network": {"drop_path": 0.1},
        "sampling": {"augmentation": {"kind": "finetune"}},
        "optimizer": {"lr": 0.01, "weight_decay": 0, "layer_decay": 0.8},
    }


def write_world(folder):
    """A drive, a teacher and both recipes; returns the recipe files."""
    write_street(folder / "set")
    write_vit(folder / "vit")
    files = {}
    recipes = {
        "pretrain": pretrain_values(folder),
        "probe": probe_values(folder),
        "finetune": finetune_values(folder),
    }
    for name, values in recipes.items():
        files[name] = folder / f"{name}.yaml"
        files[name].write_text(yaml.safe_dump(values))
    return files
