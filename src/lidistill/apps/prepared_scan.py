"""Scans of one's own as a network takes them: everything before the first product.

Shape letters: N points of a scan.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidistill.datasets.intensity_scale import IntensityWatch
from lidistill.datasets.point_scale import ScaleWatch
from lidistill.datasets.sensors import Sensor
from lidistill.errors import FileFormatError
from lidistill.records import Frame, Sample
from lidistill.samples.augmentation import crop_mask
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import scan_sample
from lidistill.samples.preparer import Preparer
from lidistill.scan_formats.returns import has_return


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedScan:
    """A scan as a network takes it; ``FeatureModel.prepare`` makes it, in any thread."""

    points: NDArray[np.float32]
    """(N, 3) as they were given, metres."""
    row: NDArray[np.int64]
    """(N,) point of the network that speaks for each point; -1 where none does."""
    sample: Sample | None
    """What the network sees; None where there is no point."""
    name: str = "of one's own"
    """For the log."""
    settings: tuple[object, ...] = ()
    """How it was prepared, which must be how the network that takes it prepares; empty: unknown."""


Points: TypeAlias = ArrayLike | PreparedScan
"""(N, 3) metres, in the sensor's frame, or what ``FeatureModel.prepare`` has made of them."""


class ScanPreparation:
    """Prepares one scan after the other.

    Args:
        sensor: Whose intensity scale scans have.
        sampling: Voxel downsampling of a scan.
        preparer: Makes the network's inputs; says its field of view.
        takes_intensity: Whether intensity plays a part.
    """

    def __init__(
        self,
        sensor: Sensor,
        sampling: SamplingConfig,
        preparer: Preparer,
        *,
        takes_intensity: bool,
    ) -> None:
        self._sensor, self._sampling, self._preparer = sensor, sampling, preparer
        self._takes_intensity = takes_intensity
        self.settings: tuple[object, ...] = (sensor, sampling, preparer, takes_intensity)
        self._watch, self._scale_watch = IntensityWatch(sensor), ScaleWatch()

    def __call__(self, points: ArrayLike, intensity: ArrayLike | None) -> PreparedScan:
        """See ``FeatureModel.prepare``."""
        given, frame, finite = self._frame(points, intensity)
        row = np.full(len(finite), -1)
        if not len(finite):
            return PreparedScan(points=given, row=row, sample=None, settings=self.settings)
        field_of_view = self._preparer.field_of_view
        inside = crop_mask(frame.points, field_of_view)
        if not inside.any():
            msg = (
                f"none of the {len(finite)} points lies inside the field of view "
                f"{field_of_view} ({len(inside)} are finite and not "
                "at (0, 0, 0)); points are wanted in metres, in the sensor's own frame, z up."
            )
            raise FileFormatError(msg)
        self._scale_watch.look_at(frame.points, inside)
        sample = scan_sample(frame, self._sampling, self._preparer)
        assert sample.inverse is not None  # noqa: S101  evaluation samples carry it
        row[np.flatnonzero(finite)[inside]] = sample.inverse.numpy()[inside]
        return PreparedScan(points=given, row=row, sample=sample, settings=self.settings)

    def _frame(
        self, points: ArrayLike, intensity: ArrayLike | None
    ) -> tuple[NDArray[np.float32], Frame, NDArray[np.bool_]]:
        """The points as given, the finite ones as a frame, and (N,) which points those are."""
        with np.errstate(over="ignore"):
            xyz = np.asarray(points).astype(np.float32)
        values = None
        if intensity is not None and self._takes_intensity:
            with np.errstate(over="ignore"):
                values = np.asarray(intensity).astype(np.float32)
        sensor = self._sensor
        whole = Frame(
            frame_id="scan",
            sensor=sensor.name,
            points=xyz,
            intensity=values,
            intensity_statistics=(sensor.intensity_mean, sensor.intensity_std),
        )
        finite = has_return(xyz)
        finite &= self._scale_watch.measured(xyz)
        if values is not None:
            finite &= np.isfinite(values)
            self._watch.look_at(values[finite])
            values = values[finite]
        return xyz, replace(whole, points=xyz[finite], intensity=values), finite
