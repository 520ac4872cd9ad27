"""The colours a teacher was trained on: mean and deviation that images are standardised by."""

import logging
import math
from pathlib import Path
from typing import Any, Final

from lidistill.errors import ConfigError, FileFormatError
from lidistill.reading.files import parse_json, read_file
from lidistill.reading.names import shown
from lidistill.teachers.families import Family, Rgb
from lidistill.teachers.model_folder import CONFIG, read_config
from lidistill.teachers.places import IMAGE_FILES, files_of_images, timm_settings
from lidistill.teachers.table import family_of

logger = logging.getLogger(__name__)

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
    said = _said(model)
    if said is None:
        known = _published(model, family)
    else:
        path, known = said
        if row is not None and not _alike(known, (row.mean, row.std)):
            logger.warning(
                "images are standardised by %s: mean %s, std %s; %s was published with mean %s, "
                "std %s", path, *map(_rounded, (*known,)), row.title,
                *map(_rounded, (row.mean, row.std)),
            )  # fmt: skip
    return mean or known[0], std or known[1]


def _published(model: str, family: str) -> tuple[Rgb, Rgb]:
    """What a family was published with.

    Raises:
        ConfigError: If it is not in the table.
    """
    row = family_of(family)
    if row is None:
        msg = (
            f"what images {shown(family)} expects is not known: no {IMAGE_FILES[0]} of {model} "
            "says it. Copy it from where the weights are from, or set mean and std."
        )
        raise ConfigError(msg)
    logger.info(
        "no file beside %s says how images are standardised; as %s was published: mean %s, std %s",
        model, row.title, _rounded(row.mean), _rounded(row.std),
    )  # fmt: skip
    return row.mean, row.std


def _left_to_the_network(
    model: str, row: Family, *, mean: Rgb | None, std: Rgb | None
) -> tuple[Rgb, Rgb]:
    """Mean 0 and deviation 1 for a network that standardises images itself.

    Raises:
        ConfigError: If the recipe would do it a second time.
        FileFormatError: If the model's file would.
    """
    found = (mean or row.mean, std or row.std)
    twice = f"{row.title} standardises images inside, so it would be done twice; "
    if not _alike(found, (row.mean, row.std)):
        msg = f"teacher.mean {_rounded(found[0])}, std {_rounded(found[1])}: {twice}leave both out."
        raise ConfigError(msg)
    said = None if mean and std else _said(model)
    if said is not None and not _alike(said[1], (row.mean, row.std)):
        path, (red, deviation) = said
        msg = (
            f"{path} says mean {_rounded(red)}, std {_rounded(deviation)}: {twice}set "
            '"do_normalize": false in it, or the teacher\'s mean=[0, 0, 0] and std=[1, 1, 1].'
        )
        raise FileFormatError(msg)
    return row.mean, row.std


def _alike(one: tuple[Rgb, Rgb], other: tuple[Rgb, Rgb]) -> bool:
    pairs = zip((*one[0], *one[1]), (*other[0], *other[1]), strict=True)
    return all(math.isclose(a, b, abs_tol=_ALIKE) for a, b in pairs)


def _rounded(colour: Rgb) -> str:
    return ", ".join(f"{part:.4g}" for part in colour)


def _said(model: str) -> tuple[Path, tuple[Rgb, Rgb]] | None:
    """What the first of a model's own files says that says anything, and where."""
    for path in files_of_images(model):
        if (found := read_pixel_statistics(path)) is not None:
            return path, found
    return None


def read_pixel_statistics(path: Path) -> tuple[Rgb, Rgb] | None:
    """Mean and standard deviation of a ``preprocessor_config.json``, for images in [0, 1].

    A rescaling of its own is counted in: what comes out standardises images in [0, 1] to the same
    values that the file's steps give for images in [0, 255].

    Args:
        path: Of transformers; or a ``config.json`` of timm.

    Returns:
        None where the file leaves it to whoever reads it.

    Raises:
        FileFormatError: If it is no such file, or its numbers are none of an image.
    """
    try:
        if path.name == CONFIG:
            of_timm = timm_settings(read_config(path)) or {}
            values: Any = {f"image_{key}": of_timm.get(key) for key in ("mean", "std")}
        else:
            values = parse_json(read_file(path, max_bytes=_MAX_BYTES).decode("utf-8-sig"))
        values = values.get("image_processor", values) if isinstance(values, dict) else values
        if not isinstance(values, dict):
            msg = f"it holds {shown(values)}, expected keys and values"
            raise ValueError(msg)  # noqa: TRY004  one kind of error for a file
        return _statistics({key: value for key, value in values.items() if value is not None})
    except ValueError as error:
        msg = f"{path}: {error}; mend it, or set the teacher's mean and std in the recipe."
        raise FileFormatError(msg) from error


def _statistics(values: dict[str, Any]) -> tuple[Rgb, Rgb] | None:
    scale = 255.0  # of images in [0, 1]
    if values.get("do_rescale", True):
        scale *= _numbers(values, "rescale_factor", 1 / 255)[0]
    if values.get("rescale_offset") or values.get("offset"):
        msg = "it rescales with an offset, which is not known here"
        raise ValueError(msg)
    if not values.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    elif not {"image_mean", "image_std"} & values.keys():
        return None
    else:
        for key in ("image_mean", "image_std"):
            if key not in values:
                msg = f"it has no {key}"
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
