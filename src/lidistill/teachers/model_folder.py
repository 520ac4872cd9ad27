"""A folder as transformers saves a network: looked at, with bounds, before anything is built of it.

transformers allocates what ``config.json`` asks for, and fills what the weights lack with noise; a
number too many there takes all memory, or minutes.
"""

import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from lidistill.errors import UNREADABLE, FileFormatError, MissingPackageError
from lidistill.reading.files import blamed_on, check_depth, parse_json, read_file
from lidistill.reading.names import path_part, shown
from lidistill.reading.safetensors_file import read_safetensors
from lidistill.reading.torch_file import MAX_BYTES
from lidistill.teachers.table import family_of
from lidistill.teachers.weights import read_state, weights_not_found

CONFIG: Final = "config.json"
WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
_MAX_CONFIG: Final = 1 << 20  # bytes; with 22,000 names of classes it has 0.8 MB
_MAX_INDEX: Final = 1 << 22  # bytes
_MAX_LAYERS: Final = 256  # the deepest vision transformers have 48
_MAX_SIZE: Final = 10**6  # of a width, an image's side, a vocabulary
_MAX_NUMBER: Final = 1e12
_MAX_LEFT_OUT: Final = 1 << 24  # values; only a mask token and a pooler may be missing
_FROM_TRANSFORMERS: Final = (*UNREADABLE, ImportError, ArithmeticError, AssertionError)
_OLDEST: Final = "5.0"  # transformers that lidistill asks for
_AGAIN: Final = "get the folder again from where its weights are from."


def check_folder(folder: Path) -> None:
    """Refuse a folder whose network is not the one that its weights belong to.

    Nothing of its size is allocated. A folder without a configuration or without weights passes:
    transformers says what it lacks.

    Raises:
        FileFormatError: If a file is damaged, or the configuration cannot be, or is of a network
            much larger than the weights.
    """
    path = folder / CONFIG
    if not path.exists():
        return
    if (folder / "adapter_config.json").exists():
        msg = f"{folder} holds an adapter, not a network; merge it with its network, and save that."
        raise FileFormatError(msg)
    check_version(str(read_config(path).get("model_type", "")))
    held = _num_values(folder)
    if held is None:
        return
    with blamed_on(path, _AGAIN):
        check_size(_outline(folder), held, folder)


def read_config(path: Path) -> dict[str, Any]:
    """The values of a ``config.json``.

    Raises:
        FileFormatError: If they are none of a network.
    """
    with blamed_on(path, _AGAIN):
        values: Any = parse_json(read_file(path, max_bytes=_MAX_CONFIG).decode("utf-8"))
        _check_values(values)
    assert isinstance(values, dict)  # noqa: S101  just checked
    return values


def check_version(model_type: str) -> None:
    """Refuse a family of the table that the installed transformers does not have.

    Raises:
        MissingPackageError: If it is older.
    """
    family = family_of(model_type)
    known: Any = importlib.import_module("transformers.models.auto.configuration_auto")
    if family is None or model_type in known.CONFIG_MAPPING:
        return
    found = importlib.import_module("transformers").__version__
    msg = (
        f"transformers {found} has no {family.title}; `pip install "
        f"'transformers>={family.since or _OLDEST}'`."
    )
    raise MissingPackageError(msg)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder whose weights are one file, or several with an index.

    Raises:
        WeightsNotFoundError: If there are none of a known form.
        FileFormatError: If they are damaged.
    """
    files = weight_files(folder)
    if files is None:
        raise weights_not_found(f"{folder} holds none of {', '.join(WEIGHTS)}")
    return {name: tensor for file in files for name, tensor in _tensors(file).items()}


def check_size(outline: nn.Module, held: int, source: Path) -> None:
    """Compare the size of a network with what a file holds of it, before it takes any memory.

    Args:
        outline: The network on the device "meta".
        held: Number of values in the file.
        source: The file.

    Raises:
        FileFormatError: If the network is larger, by more than may be left out.
    """
    wanted = sum(part.numel() for part in (*outline.parameters(), *outline.buffers()))
    if wanted > held + _MAX_LEFT_OUT:
        msg = f"{source} holds {held:,} of a network's {wanted:,} values; give the whole file."
        raise FileFormatError(msg)


def _check_values(config: Any) -> None:
    if not isinstance(config, dict) or not isinstance(config.get("model_type", ""), str):
        msg = f"it holds {shown(config)}, expected keys and values of a network"
        raise ValueError(msg)  # noqa: TRY004  one kind of error for a file
    check_depth(config)
    if "quantization_config" in config:
        msg = "its weights are quantised, which no teacher here reads; save them as float32"
        raise ValueError(msg)
    for key, value in _entries(config):
        if isinstance(value, str):
            # A slash names code on the hub, which transformers would fetch and run.
            if key.endswith("attn_implementation") and "/" in value:
                msg = f"{key} is {shown(value)}, which is code from elsewhere; leave it out"
                raise ValueError(msg)
        elif not _fits(key, value):
            msg = f"{shown(key)} is {shown(value)}, which no network has"
            raise ValueError(msg)


def _entries(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every number and text with the nearest key above it."""
    waiting: list[tuple[str, Any]] = list(values.items())
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(key, part) for part in value]
        elif isinstance(value, str | int | float):
            yield key, value


def _fits(key: str, value: float) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if "layers" in key or "depth" in key:
        return abs(value) <= _MAX_LAYERS
    if "num" in key or "size" in key or "dim" in key:
        return abs(value) <= _MAX_SIZE
    return abs(value) <= _MAX_NUMBER


def _num_values(folder: Path) -> int | None:
    """How many values the weights of a folder hold; None where there are none of a known form."""
    files = weight_files(folder)
    if files is None:
        return None
    return sum(tensor.numel() for file in files for tensor in _tensors(file).values())


def weight_files(folder: Path) -> list[Path] | None:
    """The files that the weights of a folder lie in; None where there are none of a known form.

    Raises:
        FileFormatError: If their index is damaged.
    """
    for name in WEIGHTS:
        if (folder / name).exists():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.exists():
            with blamed_on(index, _AGAIN):
                return [folder / part for part in _parts(index)]
    return None


def _parts(index: Path) -> list[str]:
    """Names of the files that an index leads to."""
    values = parse_json(read_file(index, max_bytes=_MAX_INDEX).decode("utf-8"))
    table = values.get("weight_map") if isinstance(values, dict) else None
    if not isinstance(table, dict) or not table:
        msg = "it has no weight_map"
        raise ValueError(msg)
    return sorted({path_part(name, "file of weights") for name in table.values()})


def _tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        with blamed_on(path, "the weights are damaged; get them again."):
            return read_safetensors(path, max_bytes=MAX_BYTES)
    return read_state(path)


def _outline(folder: Path) -> nn.Module:
    """The network of a folder, without memory for its weights.

    Raises:
        ValueError: If transformers makes none of the configuration.
    """
    auto: Any = importlib.import_module("transformers")
    strict: Any = importlib.import_module("huggingface_hub.errors").StrictDataclassError
    try:
        config = auto.AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        with torch.device("meta"):
            network: nn.Module = auto.AutoModel.from_config(config, trust_remote_code=False)
    except (*_FROM_TRANSFORMERS, strict) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        msg = f"transformers makes no network of it ({reason})"
        raise ValueError(msg) from error
    return network
