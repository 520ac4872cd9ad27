"""What a robot needs beside the weights: ONNX, its settings, pre- and postprocessing.

``network.onnx`` (and ``network_fp16.onnx``), ``network.json``, ``preprocess.py``, and, in the form
in which Autoware's nodes read them, ``ml_package_NAME.param.yaml`` and ``deploy_metadata.yaml``.
"""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import yaml
from torch import nn

from lidistill.atomic_write import replace_text
from lidistill.backbones import Backbone
from lidistill.datasets.sensors import Sensor, without_intensity
from lidistill.deploy import preprocess
from lidistill.deploy.model import Model
from lidistill.deploy.onnx_check import Comparison, check_agreement, compare_on
from lidistill.deploy.onnx_graph import OPSET, write_graph
from lidistill.errors import require
from lidistill.figures.colors import label_colors
from lidistill.loading.collate import collate
from lidistill.records import Frame, Sample
from lidistill.samples.channels import wants_intensity, wants_statistics
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import scan_sample
from lidistill.scan_formats.returns import has_return
from lidistill.scan_formats.scan_file import Scan, read_scan
from lidistill.scan_formats.scan_folder import scans_of

NETWORK, HALF, SETTINGS, PREPROCESS = ROBOT_FILES = (
    "network.onnx", "network_fp16.onnx", "network.json", "preprocess.py",
)  # fmt: skip
METADATA: Final = "deploy_metadata.yaml"
NUM_POINTS: Final = (1_000, 40_000, 120_000)
"""Least, usual and most points that the network sees; what TensorRT's profile is made for."""
MOST_OF_FOLDER: Final = 3
"""Scans of a folder that are compared on."""
_MADE_SIZES: Final = (2_000, 9_000, 30_000)  # points of made scans
_VERSION: Final = "1.0"  # of the package: major.minor; another major one needs another node


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotPackage:
    """What was written, and how it compares with the network in PyTorch."""

    outputs: tuple[str, ...]
    exact: tuple[Comparison, ...]
    """``network.onnx`` on each scan."""
    half: tuple[Comparison, ...]
    """``network_fp16.onnx``, where it was wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotOptions:
    """How a network becomes ONNX."""

    half: bool = False
    """Also write a network that computes in 16 bits inside."""
    sensor: str | None = None
    """Lidar that the robot has; needed where the run was trained on several."""
    scans: tuple[Path, ...] = ()
    """Scans to compare on, or folders, of which the first three are taken; made ones of other sizes
    join where they are fewer than three."""
    repeats: int = 3
    """Runs whose median time is stated."""


def write_robot_package(
    model: Model, backbone: Backbone, head: nn.Module | None, folder: Path, options: RobotOptions,
    *, name: str,
) -> RobotPackage:  # fmt: skip
    """Write a network for robots into a folder that is there, and compare it with the original.

    Args:
        model: What is exported.
        backbone: Its network.
        head: What follows it.
        folder: To write into.
        options: Formats, lidar, scans.
        name: Of the model, for the names of Autoware's files.

    Raises:
        MissingPackageError: If the extra ``onnx`` is not installed.
        ConfigError: If the network has no form without operators of its own.
        DatasetNotFoundError: If a folder holds no scan.
        CheckpointError: If onnxruntime computes something else.
        FileFormatError: If a scan cannot be read, or has no point in the field of view.
    """
    require("onnxruntime", extra="onnx")
    sensor = _sensor(model, options)
    paths = [path for source in options.scans for path in scans_of(source)[:MOST_OF_FOLDER]]
    scans = {str(path): read_scan(path) for path in paths}
    # A graph that holds for one number of points alone would pass on a single scan.
    made = _made_scans()[: max(0, len(_MADE_SIZES) - len(scans))]
    scans |= {f"made {number}": scan for number, scan in enumerate(made)}
    samples = [sample_of(scan, model, sensor, name=file) for file, scan in scans.items()]
    found: dict[torch.dtype, tuple[Comparison, ...]] = {}
    outputs: tuple[str, ...] = ()
    for dtype, file in ((torch.float32, NETWORK), (torch.float16, HALF)):
        if dtype == torch.float16 and not options.half:
            continue
        batch = collate([samples[0]])
        outputs = write_graph(backbone, head, batch, folder / file, dtype=dtype)
        found[dtype] = compare_on(
            folder / file, backbone, head, samples, repeats=max(1, options.repeats)
        )
        check_agreement(found[dtype], dtype)
    settings = robot_settings(model, backbone, sensor, outputs)
    replace_text(folder / SETTINGS, json.dumps(settings, indent=1) + "\n")
    shutil.copyfile(Path(preprocess.__file__), folder / PREPROCESS)
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "lidistill"
    files = [NETWORK, *([HALF] if options.half else []), SETTINGS, PREPROCESS]
    replace_text(folder / f"ml_package_{plain}.param.yaml", _parameters(settings))
    replace_text(folder / METADATA, _metadata(plain, model, files))
    return RobotPackage(
        outputs=outputs, exact=found[torch.float32], half=found.get(torch.float16, ())
    )


def robot_settings(
    model: Model, backbone: Backbone, sensor: Sensor, outputs: Sequence[str]
) -> dict[str, Any]:
    """All that ``preprocess.py`` wants to know, as JSON values."""
    form = backbone.export_form()
    plays_a_part = np.isfinite(sensor.intensity_std)
    return {
        "format": preprocess.FORMAT,
        "opset": OPSET,
        "inputs": list(form.inputs),
        "outputs": list(outputs),
        **form.settings,
        "voxel_size": model.config.voxel_size,
        "sensor": sensor.name,
        "intensity_mean": sensor.intensity_mean,
        "intensity_std": sensor.intensity_std if plays_a_part else None,
        "class_names": list(model.config.class_names),
        "widths": list(model.widths),
        "num_points": list(NUM_POINTS),
        "point_types": list(preprocess.POINT_TYPES),
    }


def _sensor(model: Model, options: RobotOptions) -> Sensor:
    if not wants_statistics(model.config.backbone.inputs().channels):
        return without_intensity(options.sensor or "any")
    return model.sensor(options.sensor, source=str(model.path))


def sample_of(scan: Scan, model: Model, sensor: Sensor, *, name: str = "scan") -> Sample:
    """A scan as evaluation prepares it.

    Args:
        scan: Points, and their intensity where they have one.
        model: Says the network's inputs.
        sensor: Whose scale the intensity has.
        name: Of the scan, for messages.

    Raises:
        FileFormatError: If no point lies inside the field of view.
    """
    preparer = model.config.backbone.inputs()
    plays_a_part = wants_intensity(preparer.channels) and (
        np.isfinite(sensor.intensity_std) or not wants_statistics(preparer.channels)
    )
    values = scan.intensity if plays_a_part else None
    there = has_return(scan.points)
    if values is not None:
        there &= np.isfinite(values)
    frame = Frame(
        frame_id=name,
        sensor=sensor.name,
        points=scan.points[there],
        intensity=None if values is None else values[there],
        intensity_statistics=(sensor.intensity_mean, sensor.intensity_std),
    )
    sampling = SamplingConfig(voxel_size=model.config.voxel_size, voxel_frame="lidar")
    return scan_sample(frame, sampling, preparer)


def _made_scans() -> list[Scan]:
    """Three scans of a road with walls and boxes beside it, thinning out with the distance."""
    scans = []
    for seed, size in enumerate(_MADE_SIZES):
        rng = np.random.default_rng(seed)
        angle, away = rng.uniform(-np.pi, np.pi, size), 2 + 28 * rng.uniform(size=size) ** 2
        height = np.where(rng.uniform(size=size) < 0.6, -1.8, rng.uniform(-1.8, 3, size))
        points = np.stack([away * np.cos(angle), away * np.sin(angle), height], axis=1)
        points += rng.normal(0, 0.01, points.shape)
        intensity = rng.uniform(0, 60, size).astype(np.float32)
        scans.append(Scan(points=points.astype(np.float32), intensity=intensity, columns={}))
    return scans


def _parameters(settings: dict[str, Any]) -> str:
    """ROS 2 parameters of the network, named as Autoware's segmentation nodes name theirs."""
    named = ("channels", "num_neighbors", "axes", "voxel_size", "intensity_mean", "count_eps")
    values = {key: settings[key] for key in named}
    values |= {
        "point_cloud_range": [*settings["fov_min"], *settings["fov_max"]],
        "plane_height": [height for height, _ in settings["planes"]],
        "plane_width": [width for _, width in settings["planes"]],
        "intensity_std": settings["intensity_std"] or 0.0,  # 0: intensity plays no part
        "num_points": settings["num_points"],
        "point_types": settings["point_types"],
    }
    if settings["class_names"]:
        names = settings["class_names"]
        values["class_names"] = names
        values["palette"] = label_colors(names)[: len(names)].ravel().tolist()
    return yaml.safe_dump({"/**": {"ros__parameters": values}}, sort_keys=False)


def _metadata(name: str, model: Model, files: Sequence[str]) -> str:
    """What Autoware's tools read to know which version of a bundle lies in a folder."""
    values = {
        "name": name,
        "version": _VERSION,
        "task": "semantic_segmentation" if model.config.class_names else "features",
        "files": list(files),
        "weights_sha256": model.config.provenance.weights,
        "versions": dict(model.config.versions),
    }
    return yaml.safe_dump(values, sort_keys=False)
