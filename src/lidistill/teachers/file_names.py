"""What the names in a file of weights say: what was put around a network, and which one it is."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from torch import Tensor

from lidistill.errors import FileFormatError
from lidistill.teachers.weights import read_state

_AROUND: Final = r"(?:(?:module|_orig_mod|teacher|backbone)\.)"
_PREFIX: Final = re.compile(f"{_AROUND}+")
_FIRST: Final = re.compile(r"(.+\.)(?:embeddings\.)?cls_token")
"""A name that a vision transformer has once, and a SAM has not."""
_BESIDE: Final = re.compile(
    rf"{_AROUND}*(?:student|dino_head|ibot_head|dino_loss|ibot_patch_loss)\."
)
"""What a self-distillation keeps beside the network that teaches in it."""
_DINOV2: Final = re.compile(
    r"blocks\.(\d+\.)?\d+\.ls1\.gamma|encoder\.layer\.\d+\.layer_scale1\.lambda1"
)
_OTHERS: Final = (
    (r"image_encoder\.trunk\.", "a SAM 2 in the names of its authors"),
    (r"image_encoder\.", "a SAM in the names of its authors"),
    (r"detector\.", "a SAM 3 in the names of its authors"),
    (r"visual\.", "a CLIP in the names of OpenAI's code or of open_clip"),
    (r"radio_model\.", "a C-RADIO"),
    (r"(vision_model|vision_encoder|embeddings)\.", "a network in the names of transformers"),
    (r"downsample_layers\.0\.0\.|stem\.0\.", "a ConvNeXt"),
    (r"_?conv_stem\.", "an EfficientNet"),
    (r"layer1\.0\.", "a ResNet"),
    (r"storage_tokens|blocks\.\d+\.gamma_1", "a DINOv3 ViT"),
    (_DINOV2.pattern, "a DINOv2"),
    (r"blocks\.\d+\.attn\.qkv\.", "a vision transformer without the layer scale of DINOv2"),
)
"""A name that only such a network has, the first one counts."""


def read_network(path: Path) -> dict[str, Tensor]:
    """Tensors of the network in a file, under the names that they have in it.

    What training put around them is taken off: ``module.`` (several GPUs), ``_orig_mod.``
    (compiled), ``teacher.`` and ``backbone.`` (self-distillation; its student and its heads are
    left out), and any other prefix before the one vision transformer of a file.

    Raises:
        WeightsNotFoundError: If there is no such file.
        FileFormatError: If it is damaged or holds something else.
    """
    state = read_state(path)
    kept = {name: tensor for name, tensor in state.items() if not _BESIDE.match(name)}
    bare = [_PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name for name in kept]
    return _within(dict(zip(bare, kept.values(), strict=True))) or state


def _within(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The one vision transformer below a prefix of a training script, such as ``model.``."""
    prefixes = {found[1] for name in state if (found := _FIRST.fullmatch(name))}
    if len(prefixes) != 1 or any(name in state for name in ("cls_token", "embeddings.cls_token")):
        return state
    (before,) = prefixes
    return {n.removeprefix(before): tensor for n, tensor in state.items() if n.startswith(before)}


def is_dinov2(state: Mapping[str, Tensor]) -> bool:
    """Whether tensors are those of a DINOv2, in whosever names."""
    return any(_DINOV2.match(name) for name in state)


def described(state: Mapping[str, Tensor]) -> str:
    """Which network tensors are of, in words; "" where it is not known."""
    found = (what for mark, what in _OTHERS if any(re.match(mark, name) for name in state))
    return next(found, "")


def not_of(wanted: str, path: Path, state: Mapping[str, Tensor]) -> FileFormatError:
    """Error for a single file of another network.

    Args:
        wanted: Which networks are read, and in whose names.
        path: The file.
        state: Its tensors.
    """
    return FileFormatError(
        f"{path} holds {described(state) or 'something else'}, expected {wanted}; give such a "
        "file, or a folder with config.json, as transformers saves it."
    )
