"""Scans of a user's own recordings with other points in them: written as NumPy's archives.

Whatever format a scan has, its copy is a ``.npz`` of columns, which every reader of NumPy opens and
which keeps all further numbers of its points. Labels keep their format.

Shape letters: N points before, M points after.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from lidistill.datasets.own.drive import Drive
from lidistill.datasets.own.drives import CALIBRATION
from lidistill.datasets.own.file_times import TIMES
from lidistill.datasets.own.label_files import CLASS_TABLE
from lidistill.datasets.raw_scans import ChangedPoints, RawScans
from lidistill.errors import FileFormatError
from lidistill.labels import IGNORE, LabelMap
from lidistill.reading.files import read_file
from lidistill.records import Array, Frame
from lidistill.scan_formats.arrays import read_array
from lidistill.scan_formats.binary import read_label_ids
from lidistill.scan_formats.intensities import NO_INTENSITY
from lidistill.scan_formats.scan_file import read_scan

_TABLES: Final = (CALIBRATION, CLASS_TABLE, "statistics.yaml", "poses.txt", TIMES)


def raw_scans_of(
    root: Path,
    drives: Sequence[Drive],
    frames: Sequence[tuple[Drive, str]],
    label_map: LabelMap,
    *,
    label_column: str | None,
) -> RawScans:
    """Where the files of some frames lie, and how they are written anew.

    Args:
        root: Of the recordings.
        drives: Those that are read.
        frames: Drive and name of each scan.
        label_map: What raw ids mean.
        label_column: That of the scans that holds raw ids; None: they lie in files of their own.
    """
    calibrations = {scan: drive.calibration for drive in drives for scan in drive.scans.values()}

    def originals(index: int) -> tuple[str, str]:
        drive, name = frames[index]
        scan = drive.scans[name]
        labels = drive.labels.get(name, scan.parent.parent / "labels" / f"{name}.npy")
        return scan.relative_to(root).as_posix(), labels.relative_to(root).as_posix()

    def files(index: int) -> tuple[str, str]:
        scan, labels = originals(index)
        return (Path(scan).parent / f"{frames[index][1]}.npz").as_posix(), labels

    def encode(
        scan: Path, labels: Path, frame: Frame, changed: ChangedPoints
    ) -> tuple[bytes, bytes | None]:
        wanted = calibrations[scan].intensity
        column = None if wanted == NO_INTENSITY else wanted
        read = read_scan(scan, intensity=wanted)
        columns = {name: values[changed.source] for name, values in read.columns.items()}
        columns |= {axis: changed.points[:, i] for i, axis in enumerate("xyz")}
        if read.intensity is not None:
            told = wanted != NO_INTENSITY
            values = changed.intensity if told else read.intensity[changed.source]
            columns[column or "intensity"] = values
        if frame.labels is None:
            return _archive(columns), None
        if label_column is not None:
            columns[label_column] = _without_added(columns[label_column], changed, label_map)
            return _archive(columns), None
        return _archive(columns), _labels(labels, len(read.points), changed, label_map)

    return RawScans(
        root=root,
        files=files,
        tables=tuple(path.relative_to(root).as_posix() for path in _tables(root, drives)),
        encode_files=encode,
        originals=originals,
    )


def _tables(root: Path, drives: Sequence[Drive]) -> list[Path]:
    folders = [root / drive.name for drive in drives]
    found = {folder / name for folder in (root, *folders) for name in _TABLES}
    found |= {folder / "scans" / TIMES for folder in folders}
    found |= {camera for folder in folders for camera in folder.glob(f"cameras/*/{TIMES}")}
    found |= set((root / "splits").glob("*.txt"))
    return sorted(path for path in found if path.is_file())


def _archive(columns: dict[str, Array]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **columns)
    return stream.getvalue()


def _labels(path: Path, num_points: int, changed: ChangedPoints, label_map: LabelMap) -> bytes:
    """A file of raw ids; those of ``.label`` keep the instance that they name."""
    if path.suffix.lower() == ".npy":
        ids = read_array(read_file(path), str(path))[changed.source]
        stream = io.BytesIO()
        np.save(stream, _without_added(ids, changed, label_map), allow_pickle=False)
        return stream.getvalue()
    ids = read_label_ids(path, "<u4", num_points)[changed.source]
    return _without_added(ids, changed, label_map).tobytes()


def _without_added(ids: Array, changed: ChangedPoints, label_map: LabelMap) -> Array:
    """Raw ids in which points that show no class have one that is ignored."""
    ids = ids.copy()
    if changed.added.any():
        ignored = [raw for raw, train in label_map.raw_to_train.items() if train == IGNORE]
        if not ignored:
            msg = (
                f"{label_map.name} has no raw id that is ignored, which snow or fog would get; add "
                "one to ids, for example 255: ignore."
            )
            raise FileFormatError(msg)
        ids[changed.added] = ignored[0]
    return ids
