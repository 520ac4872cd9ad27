"""Networks of transformers: from a folder, the Hugging Face cache or hub, or tensors by name."""

import importlib
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from lidistill.errors import FileFormatError, first_line
from lidistill.reading.files import blamed_on
from lidistill.reading.names import listed
from lidistill.teachers.model_folder import (
    CONFIG,
    WEIGHTS,
    check_folder,
    check_size,
    check_version,
    read_config,
    read_weights,
)
from lidistill.teachers.places import WEIGHT_ENDINGS, loose_weights
from lidistill.teachers.radio import is_authors_radio, radio_arguments, radio_tensors
from lidistill.teachers.table import known_teacher, nearest_name
from lidistill.teachers.weights import weights_not_found

logger = logging.getLogger(__name__)
_IMAGE_PARTS: Final = ("vision_model", "vision_encoder", "detector_model.vision_encoder")
"""Where networks of images and more keep the part for images."""


def load_network(model: str, *, download: bool) -> nn.Module:
    """The image part of a network of transformers, in float32.

    Args:
        model: A folder as transformers saves it, or a Hugging Face name.
        download: Whether a name that is not in the local cache may be fetched.

    Raises:
        WeightsNotFoundError: If there is nothing of that name.
        FileFormatError: If what is there is damaged or of another network.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return _from_folder(path, str(path))
    if path.suffix in WEIGHT_ENDINGS or path.is_absolute():
        raise weights_not_found(f"neither file nor folder at {model}")
    if "/" not in model and (near := nearest_name(model)):
        raise weights_not_found(f"no teacher is called {model}; did you mean {near!r}?")
    return _from_name(model, download=download)


def build_from_tensors(
    family: str, arguments: Mapping[str, Any], state: Mapping[str, Tensor], source: Path
) -> nn.Module:
    """A network of which a file holds only the weights.

    Args:
        family: How its classes in transformers begin, such as ``Dinov2``.
        arguments: Of its configuration.
        state: Its weights, in names that transformers reads.
        source: Where they come from, for the message.

    Raises:
        FileFormatError: If they are not those of such a network.
    """
    config = getattr(transformers(), f"{family}Config")(**arguments)
    network_class = getattr(transformers(), f"{family}Model")
    with torch.device("meta"), without_chatter():
        outline = network_class(config)
    check_size(outline, sum(tensor.numel() for tensor in state.values()), source)
    with without_chatter():
        network, report = network_class.from_pretrained(
            None, config=config, state_dict=dict(state), dtype=torch.float32,
            output_loading_info=True,
        )  # fmt: skip
    _check_report(report, str(source))
    return network


def transformers() -> Any:
    """The package, imported at the point of use: it costs a second that help need not wait for."""
    return importlib.import_module("transformers")


@contextmanager
def without_chatter() -> Iterator[None]:
    """Keep transformers from printing progress bars and tables; we say what matters ourselves."""
    logging = importlib.import_module("transformers.utils.logging")
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _from_pretrained(source: str, *, local_files_only: bool) -> nn.Module:
    try:
        with without_chatter():
            network, report = transformers().AutoModel.from_pretrained(
                source,
                dtype=torch.float32,
                local_files_only=local_files_only,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except SafetensorError as error:
        msg = f"the weights of {source} are damaged ({error}); get them again."
        raise FileFormatError(msg) from error
    except RuntimeError as error:
        msg = f"{source} holds weights of another network ({first_line(error)}); give fitting ones."
        raise FileFormatError(msg) from error
    except (OSError, ValueError) as error:
        raise weights_not_found(f"{source}: {first_line(error)}") from error
    _check_report(report, source)
    return image_part(network)


def image_part(network: nn.Module) -> nn.Module:
    """The part of a network that sees images; the network itself where it is nothing else."""
    for path in _IMAGE_PARTS:
        part: Any = network
        for name in path.split("."):
            part = getattr(part, name, None)
        if isinstance(part, nn.Module):
            return part
    return network


def _check_report(report: Mapping[str, Any], source: str) -> None:
    # The mask token and the pooler have no influence on the tokens.
    missing = {n for n in report["missing_keys"] if "mask_token" not in n and "pooler." not in n}
    wrong = sorted(missing | {str(n) for n in report["mismatched_keys"]})
    if wrong:
        msg = f"{source}: {len(wrong)} tensors missing or of wrong shape, first {wrong[0]}"
        raise FileFormatError(f"{msg}; give the complete weights.")


def _from_name(name: str, *, download: bool) -> nn.Module:
    if name.startswith("timm/"):
        files = f"{CONFIG} {WEIGHTS[0]}"
        msg = f"{name} is not in the Hugging Face cache; `hf download {name} {files}` puts it there"
        raise weights_not_found(msg)
    hub = importlib.import_module("huggingface_hub")
    try:
        config = hub.try_to_load_from_cache(name, CONFIG)
    except ValueError as error:
        raise weights_not_found(f"{name!r} is no path, and no Hugging Face name") from error
    if isinstance(config, str):
        return _from_folder(Path(config).parent, name)
    # The hub's own client repeats for half a minute what a first look can tell.
    reason = _why_unreachable(hub.constants.ENDPOINT, offline=hub.is_offline_mode())
    if not download or reason:
        reason = reason or "download is off"
        raise weights_not_found(f"{name} is not in the Hugging Face cache, and {reason}")
    if row := known_teacher(name):
        gated = ", after its licence has been accepted on the hub" if row.family.gated else ""
        licence = row.family.licence
        logger.info("weights of %s are fetched once (%s%s)", name, licence, gated)
    return _fetched(hub, name)


def _fetched(hub: Any, name: str) -> nn.Module:
    """A network of the hub; one that names code of its own is read without it, or not at all."""
    try:
        config = Path(hub.hf_hub_download(name, CONFIG))
        if is_authors_radio(read_config(config)):
            hub.hf_hub_download(name, "model.safetensors")
            return _authors_radio(config.parent)
    except (OSError, ValueError) as error:
        raise weights_not_found(f"{name}: {first_line(error)}") from error
    return _from_pretrained(name, local_files_only=False)


def _from_folder(folder: Path, source: str) -> nn.Module:
    config = folder / CONFIG
    if not config.exists() and (files := loose_weights(folder)):
        msg = (
            f"{folder} has no {CONFIG} and {len(files)} files of weights ("
            f"{listed(file.name for file in files)}); name one of them"
        )
        raise weights_not_found(msg)
    if config.exists() and is_authors_radio(read_config(config)):
        return _authors_radio(folder)
    with without_chatter():
        check_folder(folder)
    return _from_pretrained(source, local_files_only=True)


def _authors_radio(folder: Path) -> nn.Module:
    """A C-RADIO whose configuration asks for code that comes with it; that is not run."""
    check_version("radio")
    state = read_weights(folder)
    with blamed_on(folder, "take C-RADIOv4, or get the folder again."):
        state = radio_tensors(state)
        arguments = radio_arguments(read_config(folder / CONFIG), state)
    return build_from_tensors("Radio", arguments, state, folder)


def _why_unreachable(endpoint: str, *, offline: bool) -> str | None:
    if offline:
        return "HF_HUB_OFFLINE is set"
    request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310 - the hub's own address
    try:
        urllib.request.urlopen(request, timeout=5).close()  # noqa: S310
    except urllib.error.HTTPError:
        return None
    except OSError as error:
        return f"the hub cannot be reached ({error})"
    return None
