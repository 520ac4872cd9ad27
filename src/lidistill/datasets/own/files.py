"""The YAML files of a user's own recordings: calibration, labels, statistics.

Everything is read with bounds: no links, no keys that are not known, and no more than fits.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)

from lidistill.config import Config, Size, reason_of
from lidistill.datasets.own.quaternion_order import QuaternionOrder
from lidistill.datasets.own.trajectory import MAX_OFFSET
from lidistill.errors import DatasetNotFoundError, FileFormatError, first_line
from lidistill.geometry import check_pinhole, check_rigid, rigid
from lidistill.labels import IGNORE, LabelMap, load_label_map, shipped_label_maps
from lidistill.reading.files import read_file
from lidistill.reading.names import path_part, shown
from lidistill.reading.yaml_text import parse_yaml


def _folder_name(name: str) -> str:
    path_part(name, "name")
    if name.startswith(".") or name != name.strip() or not name.isprintable():
        msg = f"the name {shown(name)} begins with a dot or a blank, or cannot be printed"
        raise ValueError(msg)
    return name


Name: TypeAlias = Annotated[str, AfterValidator(_folder_name)]
"""Name of a folder, in any alphabet: no separator, no dot in front, nothing that is not printed."""
Row: TypeAlias = tuple[FiniteFloat, ...]
Model = TypeVar("Model", bound=BaseModel)

STATISTICS: Final = "statistics.yaml"
_WRITES_IT: Final = f"`lidistill data stats` writes one, {STATISTICS}"
_MAX_BYTES: Final = 1 << 18
_MAX_BASELINE: Final = 100.0  # metres
_FEWEST_COEFFICIENTS: Final = 4
_MAX_INTENSITY: Final = 1e9  # in the scale of any sensor


def _rows_of(*sizes: int) -> BeforeValidator:
    """Numbers of a matrix one after the other, row by row, as its rows: ROS writes it so."""

    def split(values: Any) -> Any:
        if not (isinstance(values, list) and len(values) in sizes):
            return values
        if any(isinstance(value, list) for value in values):
            return values
        width = 3 if len(values) == 9 else 4
        return [values[start : start + width] for start in range(0, len(values), width)]

    return BeforeValidator(split)


def _radial_tangential(coefficients: Row) -> Row:
    """Four or five coefficients; what follows them in OpenCV's order must be zero."""
    found = len(coefficients)
    if found < _FEWEST_COEFFICIENTS:
        msg = (
            f"{found} coefficients, expected k1, k2, p1, p2 and perhaps k3 (0 where there is none)"
        )
        raise ValueError(msg)
    if any(coefficients[5:]):
        msg = (
            f"{found} coefficients, expected k1, k2, p1, p2 and perhaps k3; a lens with more of "
            "them, or a fisheye, is not known here: undistort the images, and leave distortion out"
        )
        raise ValueError(msg)
    return coefficients[:5]


class CameraCalibration(Config):
    """One camera: how it draws, and where it sits."""

    size_hw: Size  # of the stored images, pixels
    K: Annotated[tuple[Row, Row, Row], _rows_of(9)]  # pinhole matrix of images of that size, pixels
    T_cam_lidar: Annotated[
        tuple[Row, ...], Field(min_length=3, max_length=4), _rows_of(12, 16)
    ]  # metres
    distortion: Annotated[Row, AfterValidator(_radial_tangential)] | None = None
    """k1, k2, p1, p2 and, if there is a fifth, k3: radial-tangential, OpenCV's order."""
    time_offset: Annotated[FiniteFloat, Field(ge=-MAX_OFFSET, le=MAX_OFFSET)] = 0.0
    """Seconds to add to the images' times to get the lidar's clock."""
    near_depth: Annotated[FiniteFloat, Field(ge=0)] = 0.1  # metres; nearer points are not paired

    @model_validator(mode="after")
    def _check(self) -> Self:
        if [len(row) for row in self.K] != [3, 3, 3] or self.K[2] != (0, 0, 1) or self.K[1][0] != 0:
            msg = f"K {self.K} is not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]"
            raise ValueError(msg)
        check_pinhole(np.array(self.K), self.size_hw)
        if {len(row) for row in self.T_cam_lidar} != {4} or self.T_cam_lidar[3:] not in (
            (),
            ((0, 0, 0, 1),),
        ):
            msg = "T_cam_lidar has not three rows of four numbers, or a fourth that is not 0 0 0 1"
            raise ValueError(msg)
        check_rigid(self.transform, reach=_MAX_BASELINE)
        return self

    @property
    def transform(self) -> NDArray[np.float64]:
        """(4, 4) ``T_cam_lidar`` of a standing vehicle, metres."""
        matrix = np.array(self.T_cam_lidar[:3])
        return rigid(matrix[:, :3], matrix[:, 3])

    @property
    def coefficients(self) -> NDArray[np.float64] | None:
        """(5,) k1, k2, p1, p2, k3, or None."""
        if self.distortion is None:
            return None
        return np.array((*self.distortion, 0.0)[:5])


class Calibration(Config):
    """``calibration.yaml``: cameras, and how images find their scan."""

    cameras: dict[Name, CameraCalibration] = Field(default_factory=dict)
    match: Literal["name", "time"] = "name"
    """name: scan and image have the same name; time: the image nearest in time."""
    tolerance: Annotated[FiniteFloat, Field(gt=0, le=1)] = 0.05  # seconds, between the two
    intensity: str | None = None
    """Column to take as intensity; none: scans have none, or none that is to be taken."""
    pose_quaternions: QuaternionOrder | None = None
    """Order of the rotations in ``poses.txt``; None: its header says it, or they do."""
    mounting_height: Annotated[FiniteFloat, Field(gt=0, lt=20)] | None = (
        None  # metres over the road
    )


class LabelTable(Config):
    """``labels.yaml``: which class a raw id stands for."""

    table: str | None = None  # one that is shipped
    classes: tuple[str, ...] = ()  # names; training ids count from 0
    ids: dict[int, str] = Field(default_factory=dict)  # raw id: class, or ignore
    column: str | None = None  # of the scan files; None: files in labels/

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.table is None) == (not self.classes):
            msg = "give either classes and ids, or table"
            raise ValueError(msg)
        if self.table is not None and self.table not in shipped_label_maps():
            msg = f"table {self.table!r} is none of {', '.join(shipped_label_maps())}"
            raise ValueError(msg)
        known = {*self.classes, "ignore"}
        if len(known) != len(self.classes) + 1 or len(self.classes) > IGNORE:
            msg = f"classes must be at most {IGNORE} names of their own, none of them 'ignore'"
            raise ValueError(msg)
        strange = sorted(set(self.ids.values()) - known)
        if strange or (self.classes and not self.ids):
            msg = f"ids name the class {strange[0]!r}" if strange else "there are no ids"
            msg = f"{msg}, expected raw ids, each with one of {', '.join(sorted(known))}"
            raise ValueError(msg)
        return self

    def label_map(self, name: str) -> LabelMap:
        """The table that readers apply."""
        if self.table is not None:
            return load_label_map(self.table)
        train_id = {class_name: i for i, class_name in enumerate(self.classes)} | {"ignore": IGNORE}
        return LabelMap(
            name=name,
            class_names=self.classes,
            raw_to_train={raw: train_id[class_name] for raw, class_name in self.ids.items()},
            raw_names=dict(self.ids),
        )


class _Statistics(BaseModel):
    intensity_mean: Annotated[FiniteFloat, Field(ge=-_MAX_INTENSITY, le=_MAX_INTENSITY)]
    intensity_std: Annotated[FiniteFloat, Field(gt=1e-6, le=_MAX_INTENSITY)]


def read_calibration(path: Path) -> Calibration:
    """Read and check a ``calibration.yaml``.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If a key is unknown or missing, or a value is none that a camera has.
    """
    if not (path.exists() or path.is_symlink()):
        msg = (
            f"{path} does not exist; it says how cameras and lidar sit, and of scans alone holds "
            "one line, `cameras: {}` (see docs/datasets/own.md)."
        )
        raise DatasetNotFoundError(msg)
    return _read(path, Calibration)


def read_label_table(path: Path) -> LabelTable:
    """Read and check a ``labels.yaml``; raises as ``read_calibration``."""
    return _read(path, LabelTable)


def read_statistics(path: Path) -> tuple[float, float]:
    """Mean and standard deviation of a ``statistics.yaml``, as ``lidistill data stats`` writes it.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it is a folder, or one of the two is missing or no number.
    """
    if not (path.exists() or path.is_symlink()):
        msg = f"{path} does not exist; {_WRITES_IT}."
        raise DatasetNotFoundError(msg)
    if path.is_dir():
        inside = path / STATISTICS
        advice = f"give {inside}" if inside.is_file() else _WRITES_IT
        msg = f"{path} is a folder, expected a file of statistics; {advice}."
        raise FileFormatError(msg)
    statistics = _read(path, _Statistics)
    return statistics.intensity_mean, statistics.intensity_std


def _read(path: Path, model: type[Model]) -> Model:
    if path.is_symlink():
        raise linked(path)
    try:
        values = parse_yaml(read_file(path, max_bytes=_MAX_BYTES))
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        found = first["input"]
        reason = reason_of(first["msg"])[:600]
        if first["type"] == "string_type" and isinstance(found, bool | int | float):
            reason = (
                f"found {shown(found)}, expected a text; YAML takes words such as on, yes and 02 "
                "for something else, so put quotes around it"
            )
        msg = f"{path}: {where[:100]}: {reason}; mend it."
    except ValueError as error:
        msg = f"{path} is no YAML that can be used: {first_line(error)[:300]}; mend it."
    raise FileFormatError(msg)


def linked(path: Path) -> FileFormatError:
    """Error for a link inside of a data set."""
    msg = (
        f"{path} is a link, which may lead anywhere; only the root itself may be one. Put the "
        "files themselves below it, or set root to what the link leads to."
    )
    return FileFormatError(msg)
