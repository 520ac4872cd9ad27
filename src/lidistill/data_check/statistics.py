"""Intensity statistics of a lidar over a whole data set, in one pass.

Shape letters: N points.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray

from lidistill.atomic_write import replace_text
from lidistill.data_check.other_intensity import other_intensity
from lidistill.datasets.sensors import SENSORS
from lidistill.errors import ConfigError, DatasetNotFoundError, LidistillError
from lidistill.reading.names import shown
from lidistill.records import Frame
from lidistill.scan_formats.intensities import NO_INTENSITY
from lidistill.scan_formats.returns import present

_NONE: Final = (0.0, 1.0)
"""What a file says of a lidar without intensity: numbers that would leave it as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Count, mean and spread of numbers that came in pieces."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared differences from the mean."""
    low: float = np.inf
    high: float = -np.inf

    @property
    def std(self) -> float:
        """Standard deviation of the numbers themselves, not an estimate for a larger population."""
        return float(np.sqrt(self.squares / self.count)) if self.count else 0.0

    def with_values(self, values: NDArray[np.floating]) -> "Moments":
        """The moments with further numbers, in float64; nothing cancels however many there are.

        References:
            Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
            Sample Variances", 1979.
        """
        if not len(values):
            return self
        new = values.astype(np.float64)
        mean, count = float(new.mean()), self.count + len(new)
        step = mean - self.mean
        squares = float(((new - mean) ** 2).sum())
        return Moments(
            count=count,
            mean=self.mean + step * len(new) / count,
            squares=self.squares + squares + step**2 * self.count * len(new) / count,
            low=min(self.low, float(new.min())),
            high=max(self.high, float(new.max())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorStatistics:
    """What a recipe or a reader needs to know of a lidar's numbers."""

    sensor: str
    num_frames: int
    num_points: int
    """Points where a beam came back; all else is counted over them."""
    num_missing: int
    """Points at (0, 0, 0) or not finite."""
    intensity_mean: float | None
    """None, as the next three, where the lidar has no intensity."""
    intensity_std: float | None
    intensity_min: float | None
    intensity_max: float | None
    range_mean: float
    """Metres from the sensor."""
    range_max: float
    """Metres from the sensor."""
    shipped_mean: float | None
    """Mean in ``data.sensors.SENSORS``, or None for a lidar that is not there."""
    shipped_std: float | None
    without_intensity: bool
    """Whether the lidar has none."""
    other_intensity: str | None
    """Another column that varies and may be the intensity, where the intensity never does."""
    problems: tuple[str, ...]
    """One line for every frame that could not be read; it counts nowhere."""


class _Frames(Protocol):
    @property
    def sensor(self) -> str: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Frame: ...


def sensor_statistics(
    datasets: Iterable[_Frames], *, on_frame: Callable[[], None] = lambda: None
) -> tuple[SensorStatistics, ...]:
    """Statistics of every sensor, over all frames of all data sets that have it.

    Args:
        datasets: What to read.
        on_frame: Called after each frame, for a progress bar.

    Raises:
        DatasetNotFoundError: If not one frame of a sensor can be read.
    """
    by_sensor: dict[str, list[_Frames]] = {}
    for dataset in datasets:
        by_sensor.setdefault(dataset.sensor, []).append(dataset)
    return tuple(_statistics(name, sets, on_frame) for name, sets in by_sensor.items())


def _statistics(
    sensor: str, datasets: list[_Frames], on_frame: Callable[[], None]
) -> SensorStatistics:
    intensity, distance, num_frames, num_missing = Moments(), Moments(), 0, 0
    problems: list[str] = []
    other: str | None = None
    for dataset in datasets:
        for index in range(len(dataset)):
            try:
                frame = dataset[index]
            except LidistillError as error:
                problems.append(str(error))
                continue
            num_missing += len(frame.points)
            frame = present(frame)
            num_missing -= len(frame.points)
            if frame.intensity is not None:
                intensity = intensity.with_values(frame.intensity)
                if not num_frames and not intensity.std:
                    other = other_intensity(dataset, index)
            distance = distance.with_values(np.linalg.norm(frame.points, axis=1))
            num_frames += 1
            on_frame()
    if not distance.count:
        first = problems[0] if problems else "there is none"
        msg = f"no frame of {sensor} can be read, so it has no statistics ({first})"
        raise DatasetNotFoundError(msg)
    shipped, measured = SENSORS.get(sensor), intensity.count > 0
    return SensorStatistics(
        sensor=sensor,
        num_frames=num_frames,
        num_points=distance.count,
        num_missing=num_missing,
        intensity_mean=intensity.mean if measured else None,
        intensity_std=intensity.std if measured else None,
        intensity_min=intensity.low if measured else None,
        intensity_max=intensity.high if measured else None,
        range_mean=distance.mean,
        range_max=distance.high,
        shipped_mean=None if shipped is None else shipped.intensity_mean,
        shipped_std=None if shipped is None else shipped.intensity_std,
        without_intensity=not measured,
        other_intensity=other if measured and not intensity.std else None,
        problems=tuple(problems),
    )


def check_one_file(sensors: Iterable[str], path: Path) -> None:
    """See to it, before anything is read, that a file can hold what will be found.

    Args:
        sensors: Whose statistics it will be, each once.
        path: To write.

    Raises:
        ConfigError: If there are several sensors, or a folder is there.
    """
    names = tuple(sensors)
    if len(names) != 1:
        found = ", ".join(names) or "none"
        msg = (
            f"{path} can hold one sensor, found {found}; leave --output out, or name one data set."
        )
        raise ConfigError(msg)
    if path.is_dir():
        msg = f"{path} is a folder; name the file to write, for example {path / 'statistics.yaml'}."
        raise ConfigError(msg)


def write_statistics(statistics: tuple[SensorStatistics, ...], path: Path) -> None:
    """Write the ``statistics.yaml`` that the data set ``folder`` reads.

    Raises:
        ConfigError: See ``check_one_file``; or if there is an intensity that never changes.
    """
    check_one_file((one.sensor for one in statistics), path)
    (one,) = statistics
    mean, std = _NONE if one.without_intensity else (one.intensity_mean, one.intensity_std)
    if mean is not None and std == 0:
        msg = (
            f"every intensity of {one.sensor} is {mean:g}, so it cannot be "
            f"standardised; {_advice(one.other_intensity)}."
        )
        raise ConfigError(msg)
    record = {
        "sensor": one.sensor,
        "intensity_mean": mean,
        "intensity_std": std,
        "num_points": one.num_points,
        "num_frames": one.num_frames,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, yaml.safe_dump(record, sort_keys=False))


def _advice(other: str | None) -> str:
    if other is None:
        return f"write `intensity: {NO_INTENSITY}` into calibration.yaml"
    return f"its column {shown(other)} varies: write `intensity: {other}` into calibration.yaml"
