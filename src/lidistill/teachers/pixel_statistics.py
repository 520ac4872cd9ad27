"""The colours a teacher was trained on: mean and deviation that images are standardised by."""

import importlib
import logging
from pathlib import Path
from typing import Any, Final

from lidistill.errors import ConfigError, FileFormatError
from lidistill.reading.files import parse_json, read_file
from lidistill.reading.names import shown
from lidistill.teachers.base import IMAGENET_MEAN, IMAGENET_STD, Rgb

logger = logging.getLogger(__name__)

_FILES: Final = ("preprocessor_config.json", "processor_config.json")
"""Where transformers saves how images are prepared; the second holds several processors."""
_MAX_BYTES: Final = 1 << 20
_LARGEST: Final = 1e9  # number in such a file
_FAR: Final = 1e4  # from what images in [0, 1] have
_FAMILIES: Final[dict[str, tuple[Rgb, Rgb]]] = {
    "dinov2": (IMAGENET_MEAN, IMAGENET_STD),
    "dinov2_with_registers": (IMAGENET_MEAN, IMAGENET_STD),
    "dinov3_vit": (IMAGENET_MEAN, IMAGENET_STD),
    "clip_vision_model": (
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    ),
    "siglip_vision_model": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "siglip2_vision_model": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and standard deviation of the images each family was published with."""


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
    if mean is not None and std is not None:
        return mean, std
    path = _file_of(model)
    known = _FAMILIES.get(family) if path is None else read_pixel_statistics(path)
    if known is None:
        msg = (
            f"what images {shown(family)} expects is not known: {model} has no {_FILES[0]}. "
            "Copy it from where the weights are from, or set mean and std."
        )
        raise ConfigError(msg)
    if path is not None and _FAMILIES.get(family) not in {None, known}:
        logger.info("images are standardised by %s: mean %s, std %s", path, *known)
    return mean or known[0], std or known[1]


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
