"""Features of many scans as one Parquet data set: tables with one row for every point.

Columns: ``scan`` (the output's name that a file of its own would have, without ending), ``point``
(index in the scan), ``feature`` (a list of C numbers, NaN where a point has none). A scan is a row
group, so that one scan is read without the others, and memory holds one and the next.

Shape letters: N points of a scan, C channels.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from lidistill.apps.feature_files import Failed, Output, ScanWork, Written, written
from lidistill.apps.feature_units import Unit
from lidistill.apps.features import FeatureModel
from lidistill.atomic_write import replacing, sha256
from lidistill.deploy.model_config import WEIGHTS as FOLDER_WEIGHTS
from lidistill.errors import (
    ConfigError,
    FileFormatError,
    first_line,
    require,
)
from lidistill.training.checkpoint_record import WEIGHTS as RUN_WEIGHTS

KEY: Final = b"lidistill"
"""Of the metadata of a table."""


class TableWriter:
    """Writes tables of features.

    Args:
        work: Features of a scan.
        folder: Of the data set; scans are named by their outputs below it.
        about: What the features are of; see ``about_features``.
    """

    def __init__(self, work: ScanWork, folder: Path, about: dict[str, Any]) -> None:
        self._work, self._folder, self._about = work, folder, about

    def __call__(self, units: Iterable[Unit]) -> Iterator[Written | Failed]:
        """Write the tables of some units, one after the other."""
        for unit in units:
            yield from self._write(unit)

    def _write(self, unit: Unit) -> Iterator[Written | Failed]:
        """Write the table of a unit; a scan that cannot be used is left out and ends nothing.

        Raises:
            MissingPackageError: If ``pyarrow`` is not installed.
        """
        parquet = require("pyarrow.parquet", extra="fleet")
        names, failed = [], []
        unit.file.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(unit.file) as side,
            parquet.ParquetWriter(side, self._schema(), compression="zstd") as writer,
        ):
            for job, found in zip(unit.jobs, self._work.on(unit.jobs), strict=True):
                name = self._name(job.file)
                if isinstance(found, Failed):
                    failed.append({"scan": name, "reason": found.reason})
                    yield found
                    continue
                table = self._table(name, found.output)
                writer.write_table(table, row_group_size=max(1, len(found.output)))
                names.append(name)
                yield written(found, unit.file)
            record = self._about | {"scans": names, "failed": failed}
            writer.add_key_value_metadata({KEY: json.dumps(record)})

    def check_done(self, units: Sequence[Unit]) -> list[Failed]:
        """Make sure that tables of an earlier call go together with those to come.

        Returns:
            Scans that could not be used then.

        Raises:
            ConfigError: If one holds other scans, or features of another network or kind.
        """
        found = []
        for unit in units:
            # Tables of versions that did not say the precision have any.
            record = {"precision": self._about["precision"]} | read_about(unit.file)
            failed = {one["scan"]: one["reason"] for one in record["failed"]}
            names = [self._name(job.file) for job in unit.jobs]
            if sorted([*record["scans"], *failed]) != sorted(names):
                msg = (
                    f"{unit.file} holds other scans than it would now: scans were added, taken "
                    "away or renamed; give --overwrite, or another folder."
                )
                raise ConfigError(msg)
            different = [key for key, value in self._about.items() if record.get(key) != value]
            if different:
                key = different[0]
                there, here = (str(one.get(key))[:80] for one in (record, self._about))
                msg = (
                    f"{unit.file} has {key} {there!r}, this call {here!r}, and one data set holds "
                    "one kind of features; give --overwrite, or another folder."
                )
                raise ConfigError(msg)
            again = f"(in an earlier call; delete {unit.file} to try again)"
            found += [
                Failed(scan=job.scan, reason=f"{failed[name]} {again}")
                for job, name in zip(unit.jobs, names, strict=True)
                if name in failed
            ]
        return found

    def _name(self, file: Path) -> str:
        return file.relative_to(self._folder).with_suffix("").as_posix()

    def _schema(self) -> Any:
        arrow = require("pyarrow", extra="fleet")
        number = {"float16": arrow.float16(), "float32": arrow.float32()}[self._about["dtype"]]
        return arrow.schema(
            [
                ("scan", arrow.dictionary(arrow.int32(), arrow.string())),
                ("point", arrow.int32()),
                ("feature", arrow.list_(number, self._about["channels"])),
            ]
        )

    def _table(self, name: str, output: Output) -> Any:
        arrow = require("pyarrow", extra="fleet")
        schema = self._schema()
        index = arrow.array(np.zeros(len(output), np.int32))
        names = arrow.DictionaryArray.from_arrays(index, arrow.array([name]))
        values = arrow.array(np.ascontiguousarray(output).reshape(-1))
        features = arrow.FixedSizeListArray.from_arrays(values, type=schema.field("feature").type)
        points = arrow.array(np.arange(len(output), dtype=np.int32))
        return arrow.table([names, points, features], schema=schema)


def about_features(
    model: FeatureModel, *, head: bool, dtype: str, channels: int, precision: str
) -> dict[str, Any]:
    """What makes features of one kind: only such go into one data set."""
    sensor = model.sensor
    return {
        "weights": weights_digest(model),
        "features": _word(model.head_name) if head else "backbone",
        "channels": channels,
        "dtype": dtype,
        "precision": precision,
        "sensor": sensor.name,
        "intensity": [str(sensor.intensity_mean), str(sensor.intensity_std)],
    }


def _word(head_name: str | None) -> str:
    return "head" if head_name is None else f"head {head_name}"


def weights_digest(model: FeatureModel) -> str:
    """Checksum of the file with a model's weights."""
    names = (RUN_WEIGHTS, FOLDER_WEIGHTS)
    files = [model.checkpoint / name for name in names]
    return sha256(next(file for file in files if file.exists()))


def read_about(file: Path) -> dict[str, Any]:
    """What a table says about itself.

    Raises:
        FileFormatError: If it is no table of this command.
    """
    arrow = require("pyarrow", extra="fleet")
    parquet = require("pyarrow.parquet", extra="fleet")
    try:
        record = json.loads(parquet.read_metadata(file).metadata[KEY])
        if not {"scans", "failed"} <= set(record):
            raise KeyError(KEY)
    except (arrow.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        msg = f"{file} is no output of this command ({first_line(error)}); delete it."
        raise FileFormatError(msg) from error
    return dict(record)
