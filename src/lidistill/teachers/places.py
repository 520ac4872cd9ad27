"""Where the parts of a model lie that its user names by a folder, a file or a Hugging Face name."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lidistill.errors import FileFormatError
from lidistill.teachers.model_folder import CONFIG, WEIGHTS, read_config, weight_files

WEIGHT_ENDINGS: Final = (".safetensors", ".pth", ".pt", ".bin")
"""Of files that may hold a network's weights."""
IMAGE_FILES: Final = ("preprocessor_config.json", "processor_config.json")
"""Where transformers saves how images are prepared; the second holds several processors."""


def place_of(model: str) -> str:
    """The folder or file that says most about a network, given the one or the other.

    The weights of a folder of transformers stand for the folder, whose configuration says what
    network they are of; a folder of timm, or without a configuration, stands for its weights, whose
    names do. A model's folder in the Hugging Face cache stands for its only snapshot.

    Args:
        model: As a recipe has it; what is no such folder or file comes back as it is.
    """
    path = Path(model).expanduser()
    if model.startswith("timm/") and not path.exists():
        path = _in_hub_cache(model) or path
    if path.is_dir():
        snapshots = [one for one in path.glob("snapshots/*") if (one / CONFIG).is_file()]
        if len(snapshots) == 1:
            return place_of(str(snapshots[0]))
        if not (path / CONFIG).exists() and len(only := loose_weights(path)) == 1:
            return str(only[0])
        values = read_config(path / CONFIG) if (path / CONFIG).is_file() else {}
        files = weight_files(path) if timm_settings(values) is not None else None
        return str(files[0]) if files else model
    return str(path.parent) if _beside(path).get("model_type") else model


def loose_weights(folder: Path) -> list[Path]:
    """Files of weights in a folder, by their endings."""
    return sorted(p for p in folder.iterdir() if p.suffix in WEIGHT_ENDINGS and p.is_file())


def timm_settings(values: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How images are prepared, of a ``config.json`` that timm has written; None for any other."""
    settings = values.get("pretrained_cfg")
    of_timm = isinstance(values.get("architecture"), str) and not values.get("model_type")
    return settings if of_timm and isinstance(settings, dict) else None


def files_of_images(model: str) -> list[Path]:
    """Files that may say how images are prepared, the one that counts first.

    Args:
        model: As ``place_of`` gives it.
    """
    place = Path(model).expanduser()
    if place.is_dir():
        return [place / name for name in IMAGE_FILES if (place / name).exists()]
    if place.is_file():
        return [place.parent / CONFIG] if timm_settings(_beside(place)) is not None else []
    if model.count("/") != 1:
        return []
    hub = importlib.import_module("huggingface_hub")
    found = [hub.try_to_load_from_cache(model, name) for name in IMAGE_FILES]
    return [Path(file) for file in found if isinstance(file, str)]


def _beside(file: Path) -> dict[str, Any]:
    """The configuration beside a folder's weights; a file that needs none may lie beside any."""
    config = file.parent / CONFIG
    try:
        return read_config(config) if file.name in WEIGHTS and config.is_file() else {}
    except FileFormatError:
        return {}


def _in_hub_cache(name: str) -> Path | None:
    """Folder of a Hugging Face name whose configuration has been fetched."""
    found = importlib.import_module("huggingface_hub").try_to_load_from_cache(name, CONFIG)
    return Path(found).parent if isinstance(found, str) else None
