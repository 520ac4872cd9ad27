"""What is looked for in an index, and how what was found is shown.

Shape letters: C channels, T channels of the teacher.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lidistill.apps.features import FeatureModel
from lidistill.apps.fleet_index import EncodeFrame
from lidistill.apps.open_vocabulary import image_direction
from lidistill.apps.text_classes import text_direction
from lidistill.datasets import FrameDataset
from lidistill.errors import (
    ConfigError,
    DatasetNotFoundError,
    FileFormatError,
    unknown_name,
)
from lidistill.figures.sheet import Panel, sheet, write_png
from lidistill.fleet.crops import Crop, cut
from lidistill.fleet.table import FleetIndex
from lidistill.reading.names import shown

_HEIGHT: Final = 160  # pixels of a crop on a sheet
_COLUMNS: Final = 5
_GREY: Final = 60


def point_direction(model: FeatureModel, dataset: FrameDataset, text: str) -> NDArray[np.floating]:
    """(C,) feature of one point.

    Args:
        model: The network of the index.
        dataset: The data of the index.
        text: ``FRAME:INDEX``.

    Raises:
        ConfigError: If the text is something else, or there is no such point, or it has no feature.
        UnknownNameError: If there is no such frame.
    """
    found = re.fullmatch(r"(.+):([0-9]{1,9})", text, re.ASCII)
    if found is None:
        msg = f"--point {shown(text)}: expected FRAME:INDEX, for example 002/14/pandar64:1207."
        raise ConfigError(msg)
    frame_id, index = found[1], int(found[2])
    if frame_id not in dataset.frame_ids:
        raise unknown_name("frame", frame_id, dataset.frame_ids)
    frame = dataset[dataset.frame_ids.index(frame_id)]
    if index >= len(frame.points):
        msg = f"--point: frame {frame_id} has {len(frame.points)} points, from 0; found {index}."
        raise ConfigError(msg)
    vector = EncodeFrame(model=model, head=False)(frame).features[index]
    if np.isnan(vector[0]):
        msg = (
            f"--point: point {index} of frame {frame_id} has no feature (outside the field of "
            "view, or without return); take another."
        )
        raise ConfigError(msg)
    return vector


def image_query(index: FleetIndex, model: FeatureModel, file: Path) -> NDArray[np.floating]:
    """(T,) what the teacher says of an image.

    Raises:
        ConfigError: If the index has no vectors in the teacher's space.
    """
    _check_head(index, "--image")
    if not file.is_file():
        msg = f"--image: {shown(str(file))} is no file; give an image of what you look for."
        raise ConfigError(msg)
    return image_direction(model, index.about.run, file)


def text_query(
    index: FleetIndex, model: FeatureModel, words: str, partner: Path
) -> NDArray[np.floating]:
    """(T,) where words lie in the teacher's space.

    Args:
        index: Of objects.
        model: The network of the index.
        words: What is looked for.
        partner: Folder of the teacher's text partner; see ``text_classes``.

    Raises:
        CheckpointError: If partner and teacher do not fit.
        ConfigError: If the index has no vectors in the teacher's space, or the partner leads from
            there to texts, not back.
        WeightsNotFoundError: If the folder holds no partner.
    """
    _check_head(index, "--text")
    return text_direction(model, words, partner)


def _check_head(index: FleetIndex, option: str) -> None:
    if not index.about.head_channels:
        msg = (
            f"{option} compares in the teacher's space, which this index lacks: index a run of "
            "`lidistill pretrain`, without --no-head."
        )
        raise ConfigError(msg)


def class_query(index: FleetIndex, name: str, count: int) -> list[dict[str, Any]]:
    """Objects of a class, the surest first.

    Raises:
        ConfigError: If the run predicts no classes.
        UnknownNameError: If it knows none of this name.
    """
    names = index.about.class_names
    if not names:
        msg = "--label: the run of this index predicts no classes; index one of probe or finetune."
        raise ConfigError(msg)
    if name not in names:
        raise unknown_name("class", name, names)
    return index.of_class(name, count)


def write_sheet(rows: Sequence[dict[str, Any]], file: Path, *, title: str) -> int:
    """Draw the image crops of what was found, and return how many there are.

    Objects that no image shows, or whose image is not there any more, are grey.

    Args:
        rows: Of the index.
        file: PNG that is written.
        title: Above it.
    """
    panels, seen = [], 0
    for number, row in enumerate(rows, start=1):
        image = _image(row)
        seen += image is not None
        if image is None:
            image = np.full((_HEIGHT, _HEIGHT, 3), _GREY, np.uint8)
        score = row.get("similarity", row["confidence"])
        panels.append(Panel(image=image, title=f"{number}  {score:.2f}  {row['frame']}"))
    lines = [panels[i : i + _COLUMNS] for i in range(0, len(panels), _COLUMNS)]
    write_png(sheet(lines, title=title), file)
    return seen


def _image(row: dict[str, Any]) -> NDArray[np.uint8] | None:
    if row["image"] is None:
        return None
    keys = ("image", "view", "left", "top", "right", "bottom")
    try:
        return cut(Crop(**{key: row[key] for key in keys}), _HEIGHT)
    except (DatasetNotFoundError, FileFormatError):
        return None
