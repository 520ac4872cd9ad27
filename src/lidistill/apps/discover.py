"""Objects of scans of one's own without any label, each with its mean feature.

Shape letters: N points of a scan, O objects of all scans, C channels.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lidistill.apps.feature_files import Computed, Failed, ScanWork
from lidistill.apps.scan_jobs import Job
from lidistill.atomic_write import replace_text, replacing
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.figures.cloud import write_ply
from lidistill.figures.colors import number_colors
from lidistill.instances.config import DiscoveryConfig
from lidistill.instances.objects import FoundObject, find_objects, mean_features

TABLE: Final = "objects.csv"
RECORD: Final = "objects.json"
FEATURES: Final = "features.npy"
OUTPUTS: Final = (TABLE, RECORD, FEATURES)
"""What is written beside one file of objects a scan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """The objects of one scan."""

    scan: Path
    file: Path
    """(N,) object of each point, from 1, 0: none."""
    num_points: int
    objects: tuple[FoundObject, ...]
    features: NDArray[np.float32]
    """(objects, C) mean unit features."""


def discover_objects(
    work: ScanWork, jobs: Sequence[Job], config: DiscoveryConfig, *, ply: bool = False
) -> Iterator[Discovered | Failed]:
    """Find the objects of one scan after the other; a scan that cannot be used ends nothing.

    Args:
        work: Features of a scan.
        jobs: Scans and their files.
        config: What an object is.
        ply: Write a coloured ``.ply`` beside each file.
    """
    for found in work.on(jobs):
        if isinstance(found, Failed):
            yield found
            continue
        try:
            yield _discover(found, config, ply=ply)
        except (FileFormatError, DatasetNotFoundError) as error:
            yield Failed(scan=found.job.scan, reason=str(error))


def _discover(found: Computed, config: DiscoveryConfig, *, ply: bool) -> Discovered:
    job, scan, features = found.job, found.scan, found.output
    label, objects = find_objects(scan.points, config)
    if ply:
        write_ply(scan.points, number_colors(label), job.file.with_suffix(".ply"))
    job.file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(job.file) as side, side.open("wb") as stream:
        np.save(stream, label)
    return Discovered(
        scan=job.scan,
        file=job.file,
        num_points=len(label),
        objects=objects,
        features=mean_features(features, label, len(objects)),
    )


_COLUMNS: Final = (
    *("row", "scan", "object", "points", "x", "y", "z"),
    *("length", "width", "height", "heading", "over_ground"),
)


def table_rows(found: Sequence[Discovered]) -> list[dict[str, Any]]:
    """One row an object, in the order of the rows of features."""
    rows: list[dict[str, Any]] = []
    for one in found:
        for item in one.objects:
            box = asdict(item.box)
            x, y = box.pop("center")
            row = {"row": len(rows), "scan": str(one.scan), "object": item.number}
            row |= {"points": item.num_points, "x": x, "y": y, "z": (item.bottom + item.top) / 2}
            row |= {"length": box["long"], "width": box["short"], "height": item.top - item.bottom}
            rows.append(row | {"heading": box["heading"], "over_ground": item.height})
    return rows


def write_objects(found: Sequence[Discovered], config: DiscoveryConfig, folder: Path) -> int:
    """Write table, record and features of all scans; returns the number of objects."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = table_rows(found)
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: f"{value:.3f}" if isinstance(value, float) else value for key, value in row.items()}
        for row in rows
    )
    replace_text(folder / TABLE, text.getvalue())
    record = {"settings": config.model_dump(mode="json"), "objects": rows}
    replace_text(folder / RECORD, json.dumps(record, indent=1) + "\n")
    parts = [one.features for one in found]  # (objects, channels), also of a scan without any
    features = np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
    with replacing(folder / FEATURES) as side, side.open("wb") as stream:
        np.save(stream, features)
    return len(rows)
