"""What is to be shown: a data set, the data of a run, or scan files of one's own.

Shape letters: R points of a file.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lidistill.data_check.contents import configs_of, detect_format
from lidistill.datasets import FrameDataset
from lidistill.datasets.base import DatasetConfig
from lidistill.datasets.sensors import Sensor
from lidistill.distill.recipe import PretrainRecipe
from lidistill.errors import ConfigError, DatasetNotFoundError, FileFormatError, unknown_name
from lidistill.labels import LabelMap
from lidistill.reading.names import listed
from lidistill.recipes import apply_overrides
from lidistill.records import Array, Frame
from lidistill.scan_formats.intensities import NO_INTENSITY
from lidistill.scan_formats.scan_file import Scan, read_scan
from lidistill.scan_formats.scan_folder import scan_name, scans_of
from lidistill.training.checkpoint import Checkpoint

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Frames, and whose lidar they are from."""

    dataset: FrameDataset
    sensor: Sensor | None = None
    """With its intensity statistics, where the data set knows them."""
    sensor_name: str | None = None
    """The lidar of a data set, also where its statistics are unknown; None: scan files."""

    def check_column(self, intensity: str | None) -> None:
        """Refuse a column of intensity for what is no scan file of one's own.

        Raises:
            ConfigError: If one is named for a data set.
        """
        if intensity is not None and self.sensor_name is not None:
            msg = (
                f"--intensity {intensity} names a column of scan files, and this is a data set, "
                "whose format says where the intensity is; leave it out."
            )
            raise ConfigError(msg)


class ScanFiles:
    """Scan files as a data set without images, labels or classes.

    Args:
        files: The scans.
        names: What to call each.
        drives: The drive of each.
        intensity: Column to take as intensity; ``none``: there is none; None: the usual names.
    """

    def __init__(
        self,
        files: Sequence[Path],
        names: Sequence[str],
        drives: Sequence[str],
        *,
        intensity: str | None = None,
    ) -> None:
        self._files, self._intensity = tuple(files), intensity
        self.frame_ids, self.drive_ids = tuple(names), tuple(drives)
        self.cameras = ()
        self.label_map = LabelMap(name="scans", class_names=(), raw_to_train={}, raw_names={})

    def __len__(self) -> int:
        """Number of scans."""
        return len(self._files)

    def __getitem__(self, index: int) -> Frame:
        """Read one scan."""
        scan = self._scan(index)
        without = self._intensity == NO_INTENSITY
        intensity = None if without else scan.intensity
        if intensity is None and not without:
            msg = (
                f"scan {self._files[index]} has no intensity among x, y, z, "
                f"{listed(scan.columns)}; name the column (--intensity NAME), or go without "
                "(--intensity none)."
            )
            raise FileFormatError(msg)
        return Frame(
            frame_id=self.frame_ids[index],
            sensor="own",
            points=scan.points,
            intensity=intensity,
            intensity_statistics=(0.0, 1.0),
        )

    def columns(self, index: int) -> Mapping[str, Array]:
        """(R,) every other number of a scan's points, by its name in the file."""
        return self._scan(index).columns

    def _scan(self, index: int) -> Scan:
        return read_scan(self._files[index], intensity=self._intensity)


def open_source(
    paths: Sequence[Path], *, sensor: str | None = None, intensity: str | None = None
) -> Source:
    """What some paths hold: one data set, or scan files.

    Args:
        paths: The root of a data set; or scan files, folders of them, drives.
        sensor: Which lidar of a data set that has several; None: the first.
        intensity: See ``ScanFiles``.

    Raises:
        DatasetNotFoundError: If there is nothing to show.
        ConfigError: If a data set is given with anything else.
    """
    absent = next((path for path in paths if not path.exists()), None)
    if absent is not None:
        msg = (
            f"{absent} does not exist; give runs and model folders, scans and data sets on this "
            "machine."
        )
        raise DatasetNotFoundError(msg)
    roots = [path for path in paths if _is_dataset(path)]
    if not roots:
        return Source(dataset=_scan_files(paths, intensity))
    if len(paths) > 1:
        msg = f"{roots[0]} is a data set; give it alone, or scan files and folders of them."
        raise ConfigError(msg)
    return _open_set(configs_of(roots[0]), sensor)


def source_of_run(checkpoint: Checkpoint, *, sensor: str | None = None) -> Source:
    """The data that a run was distilled on, or evaluated on where it learned classes.

    Args:
        checkpoint: Of the run.
        sensor: Which of its lidars; None: the first.

    Raises:
        DatasetNotFoundError: If they are not where the run had them.
    """
    recipe = apply_overrides(checkpoint.recipe, (), source=f"recipe of {checkpoint.path}")
    sets = recipe.data.sets if isinstance(recipe, PretrainRecipe) else recipe.evaluation.sets
    absent = next((one.root for one in sets if not one.root.is_dir()), None)
    if absent is not None:
        msg = (
            f"{checkpoint.path} was made with data in {absent}, which is not there; give scans or "
            "a data set after the run: lidistill view RUN FOLDER."
        )
        raise DatasetNotFoundError(msg)
    return _open_set(tuple(sets), sensor)


def choose_frames(
    dataset: FrameDataset, *, most: int, drive: str | None = None, ids: Sequence[str] = ()
) -> list[int]:
    """Which frames to show.

    Args:
        dataset: All of them.
        most: At most so many: the first, the last, and evenly spread between.
        drive: Of this one alone.
        ids: These alone.

    Raises:
        ConfigError: If not even one is asked for.
        UnknownNameError: If there is no such drive or frame.
        DatasetNotFoundError: If there is no frame at all.
    """
    if most < 1:
        msg = f"at most {most} frames are asked for, expected 1 or more."
        raise ConfigError(msg)
    names, drives = list(dataset.frame_ids), dataset.drive_ids
    if drive is not None and drive not in drives:
        raise unknown_name("drive", drive, set(drives))
    unknown = [one for one in ids if one not in names]
    if unknown:
        raise unknown_name("frame", unknown[0], names)
    if ids:
        return [names.index(one) for one in ids]
    kept = [i for i in range(len(names)) if drive is None or drives[i] == drive]
    if not kept:
        msg = "there is no frame to show; check the folder, or the data of the run."
        raise DatasetNotFoundError(msg)
    if len(kept) > most:
        logger.info("showing %d of %d frames, evenly spread (--frames, --drive)", most, len(kept))
    places = np.linspace(0, len(kept) - 1, min(most, len(kept))).round().astype(int)
    return [kept[i] for i in places]


def _is_dataset(path: Path) -> bool:
    if not path.is_dir():
        return False
    try:
        kind = detect_format(path)
    except DatasetNotFoundError:
        return False
    # A folder with drives, but no calibration, is a folder of scans.
    calibrations = (path / "calibration.yaml", *path.glob("*/calibration.yaml"))
    return kind != "folder" or any(one.exists() for one in calibrations)


def _open_set(configs: tuple[DatasetConfig, ...], sensor: str | None) -> Source:
    known = list(dict.fromkeys(config.sensor for config in configs))
    if sensor is not None and sensor not in known:
        raise unknown_name("sensor", sensor, known)
    chosen = sensor or known[0]
    if sensor is None and len(known) > 1:
        others = ", ".join(known[1:])
        logger.info("showing the lidar %s; --sensor shows another (%s)", chosen, others)
    config = next(one for one in configs if one.sensor == chosen)
    return Source(
        dataset=config.build(), sensor=config.sensor_statistics(), sensor_name=config.sensor
    )


def _scan_files(paths: Sequence[Path], intensity: str | None) -> ScanFiles:
    found = [(scan, path) for path in dict.fromkeys(paths) for scan in scans_of(path)]
    names = [scan_name(scan, path) for scan, path in found]
    several = sum(path.is_dir() for path in paths) > 1
    texts = [
        (Path(path.resolve().name) / name if several and path.is_dir() else name).as_posix()
        for (_, path), name in zip(found, names, strict=True)
    ]
    drives = [
        text.rpartition("/")[0] or path.resolve().parent.name
        if path.is_file()
        else text.rpartition("/")[0] or path.resolve().name
        for text, (_, path) in zip(texts, found, strict=True)
    ]
    if len(set(texts)) < len(texts):
        texts = [f"{number}/{text}" for number, text in enumerate(texts)]
    return ScanFiles([scan for scan, _ in found], texts, drives, intensity=intensity)
