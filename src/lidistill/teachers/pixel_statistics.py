"""The colours a teacher was trained on: mean and deviation that images are standardised by."""

import importlib
import logging
import math
from pathlib import Path
from typing import Any, Final

from lidistill.errors import ConfigError, FileFormatError
from lidistill.reading.files import parse_json, read_file
from lidistill.reading.names import shown
from lidistill.teachers.families import Family, Rgb
from lidistill.teachers.table import family_of

logger = logging.getLogger(__name__)

_FILES: Final = ("preprocessor_config.json", "processor_config.json")
"""Where transformers saves how images are prepared; the second holds several processors."""
_MAX_BYTES: Final = 1 << 20
_LARGEST: Final = 1e9  # number in such a file
_ALIKE: Final = 2e-3  # half a step of a byte: what a rounded file may differ
_FAR: Final = 1e4  # from what images in [0, 1] have


def pixel_statistics(
    model: str, family: str, *, mean: Rgb | None, std: Rgb | None
) -> tuple[Rgb, Rgb]:
    """Mean and standard deviation for images in [0, 1]: the recipe's, else the model's own file's.

    Where a model comes without such a file, what its family was published with is taken.

    Args:
        model: Folder or Hugging Face name whose weights were loaded.
        family: transformers' ``model_type``.
        mean: Of the recipe; wins.
        std: Of the recipe; wins.

    Raises:
        ConfigError: If none of the three says it.
        FileFormatError: If the model's file says what cannot be.
    """
    row = family_of(family)
    if row is not None and row.normalizes:
        return _left_to_the_network(model, row, mean=mean, std=std)
    if mean is not None and std is not None:
        return mean, std
    path = _file_of(model)
    published = None if row is None else (row.mean, row.std)
    known = published if path is None else read_pixel_statistics(path)
    if known is None:
        msg = (
            f"what images {shown(family)} expects is not known: {model} has no {_FILES[0]}. "
            "Copy it from where the weights are from, or set mean and std."
        )
        raise ConfigError(msg)
    if path is not None and row is not None and not _alike(known, (row.mean, row.std)):
        logger.warning(
            "images are standardised by %s: mean %s, std %s; %s was published with mean %s, std %s",
            path, *map(_rounded, known), row.title, *map(_rounded, (row.mean, row.std)),
        )  # fmt: skip
    return mean or known[0], std or known[1]


def _left_to_the_network(
    model: str, row: Family, *, mean: Rgb | None, std: Rgb | None
) -> tuple[Rgb, Rgb]:
    """Mean 0 and deviation 1 for a network that standardises images itself.

    Raises:
        ConfigError: If the recipe would do it a second time.
        FileFormatError: If the model's file would.
    """
    path = _file_of(model)
    found = (mean or row.mean, std or row.std)
    twice = f"{row.title} standardises images inside, so it would be done twice; "
    if not _alike(found, (row.mean, row.std)):
        msg = f"teacher.mean {_rounded(found[0])}, std {_rounded(found[1])}: {twice}leave both out."
        raise ConfigError(msg)
    said = found if path is None or (mean and std) else read_pixel_statistics(path)
    if not _alike(said, (row.mean, row.std)):
        msg = (
            f"{path} says mean {_rounded(said[0])}, std {_rounded(said[1])}: {twice}set "
            '"do_normalize": false in it, or the teacher\'s mean=[0, 0, 0] and std=[1, 1, 1].'
        )
        raise FileFormatError(msg)
    return row.mean, row.std


def _alike(one: tuple[Rgb, Rgb], other: tuple[Rgb, Rgb]) -> bool:
    pairs = zip((*one[0], *one[1]), (*other[0], *other[1]), strict=True)
    return all(math.isclose(a, b, abs_tol=_ALIKE) for a, b in pairs)


def _rounded(colour: Rgb) -> str:
    return ", ".join(f"{part:.4g}" for part in colour)


def _file_of(model: str) -> Path | None:
    folder = Path(model).expanduser()
    if folder.is_dir():
        return next((folder / name for name in _FILES if (folder / name).exists()), None)
    if folder.exists() or model.count("/") != 1:
        return None
    hub = importlib.import_module("huggingface_hub")
    found = [hub.try_to_load_from_cache(model, name) for name in _FILES]
    return next((Path(file) for file in found if isinstance(file, str)), None)


def read_pixel_statistics(path: Path) -> tuple[Rgb, Rgb]:
    """Mean and standard deviation of a ``preprocessor_config.json``, for images in [0, 1].

    A rescaling of its own is counted in: what comes out standardises images in [0, 1] to the same
    values that the file's steps give for images in [0, 255].

    Raises:
        FileFormatError: If it is no such file, or its numbers are none of an image.
    """
    try:
        values = parse_json(read_file(path, max_bytes=_MAX_BYTES).decode("utf-8-sig"))
        values = values.get("image_processor", values) if isinstance(values, dict) else values
        if not isinstance(values, dict):
            msg = f"it holds {shown(values)}, expected keys and values"
            raise ValueError(msg)  # noqa: TRY004  one kind of error for a file
        return _statistics(values)
    except ValueError as error:
        msg = f"{path}: {error}; mend it, or set the teacher's mean and std in the recipe."
        raise FileFormatError(msg) from error


def _statistics(values: dict[str, Any]) -> tuple[Rgb, Rgb]:
    scale = 255.0  # of images in [0, 1]
    if values.get("do_rescale", True):
        scale *= _numbers(values, "rescale_factor", 1 / 255)[0]
    if values.get("rescale_offset") or values.get("offset"):
        msg = "it rescales with an offset, which is not known here"
        raise ValueError(msg)
    if not values.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    else:
        if values.get("image_mean") is None or values.get("image_std") is None:
            msg = "it has no image_mean and image_std"
            raise ValueError(msg)
        mean, std = _numbers(values, "image_mean", 0), _numbers(values, "image_std", 1)
    if not scale > 0 or not all(part > 0 for part in std):
        msg = f"image_std {std} and rescale_factor must be above 0"
        raise ValueError(msg)
    red, green, blue = (part / scale for part in mean)
    deviations = [part / scale for part in std]
    shifts = [abs(part) for part in (red, green, blue)]
    if max(*shifts, *deviations) > _FAR or min(deviations) < 1 / _FAR:
        msg = f"image_mean {mean}, image_std {std} and rescale_factor are those of no image"
        raise ValueError(msg)
    return (red, green, blue), (deviations[0], deviations[1], deviations[2])


def _numbers(values: dict[str, Any], key: str, default: float) -> Rgb:
    """Three finite numbers: a single one stands for all colours."""
    found = values.get(key, default)
    parts = list(found) if isinstance(found, list) else [found] * 3
    fits = all(type(p) in {int, float} and abs(p) <= _LARGEST for p in parts)
    if len(parts) != 3 or not fits:
        msg = f"{key} is {shown(found)}, expected three finite numbers"
        raise ValueError(msg)
    return float(parts[0]), float(parts[1]), float(parts[2])
