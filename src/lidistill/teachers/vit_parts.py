"""The parts of a plain vision transformer: blocks, patches, last norm."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor, nn

from lidistill.errors import ConfigError
from lidistill.teachers.table import family_of

_PLAIN: Final = ("num_hidden_layers", "hidden_size", "num_attention_heads")
_MAX_PREFIX: Final = 64  # tokens in front of the patches
_FINAL_NORMS = ("layernorm", "norm", "post_layernorm")


def patch_of(network: nn.Module) -> int:
    """Edge of a patch, pixels."""
    settings: Any = network.config
    patch = getattr(settings, "patch_size", None)
    sides = [patch, patch] if isinstance(patch, int) else patch
    if not isinstance(sides, list | tuple) or len(set(sides)) != 1 or not sides[0]:
        raise no_plain_vit(network, f"its patches are {patch}, expected squares")
    return int(sides[0])


def find_blocks(network: nn.Module) -> nn.ModuleList:
    """All its blocks, one after the other."""
    settings: Any = network.config
    num_layers = getattr(settings, "num_hidden_layers", None)
    plain = all(isinstance(getattr(settings, key, None), int) for key in _PLAIN)
    for module in network.modules() if plain else ():
        if isinstance(module, nn.ModuleList) and len(module) == num_layers:
            return module
    raise no_plain_vit(network, f"it has no list of {num_layers or 'equal'} blocks of one width")


def no_plain_vit(network: nn.Module, reason: str) -> ConfigError:
    """Why a network is refused, and which ones are taken."""
    settings: Any = network.config
    family = family_of(settings.model_type)
    takes = (
        "'kind: vit' takes DINOv2 (with registers too), DINOv3 ViT, CLIP, SigLIP, SigLIP 2, "
        "C-RADIO, ViT, DeiT, BEiT, Data2Vec and I-JEPA."
    )
    if family is not None and family.kind != "vit":
        takes = f"Set teacher.kind={family.kind}, which takes it."
    name = f"{settings.model_type!r} ({type(network).__name__})"
    return ConfigError(f"{name} is no plain vision transformer: {reason}. {takes}")


def find_norm(network: nn.Module, blocks: nn.ModuleList) -> nn.Module:
    """The norm behind the last block."""
    inner = set(blocks.modules())
    for name, module in network.named_modules():
        if name.rpartition(".")[2] in _FINAL_NORMS and module not in inner:
            if isinstance(module, nn.Identity):
                break
            return module
    msg = f"{type(network).__name__} has no final norm; set final_norm=false."
    raise ConfigError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """The tokens in front of the patches."""

    length: int
    class_tokens: tuple[int, ...]
    """Which of them stand for the whole image; the others are registers."""


def prefix_of(network: nn.Module, layers: Sequence[Tensor], *, num_patches: int) -> Prefix:
    """What stands in front of the patches, by the tokens of an image and the configuration.

    Args:
        network: As ``load_vit`` gives it.
        layers: (1, T, C) tokens of each layer.
        num_patches: Of that image.

    Raises:
        ConfigError: If there is not one token a patch behind as many as the configuration says.
    """
    settings: Any = network.config
    for tokens in layers:
        extra = tokens.shape[1] - num_patches if tokens.dim() == 3 else -1
        if not 0 <= extra <= _MAX_PREFIX:
            found = " x ".join(str(side) for side in tokens.shape)
            raise no_plain_vit(network, f"{num_patches} patches give tokens of {found}")
    registers = getattr(settings, "num_registers", getattr(settings, "num_register_tokens", 0))
    named = getattr(settings, "num_cls_tokens", None)
    if extra < registers or named not in {None, extra - registers}:
        raise no_plain_vit(
            network,
            f"{extra} tokens stand before the patches, by its configuration {registers} registers"
            + ("" if named is None else f" and {named} of the class"),
        )
    summary = tuple(getattr(settings, "summary_idxs", (0,)))  # RADIO has one for each teacher
    return Prefix(length=extra, class_tokens=summary if extra > registers else ())


def positive_layers(layers: tuple[int, ...], num_blocks: int) -> tuple[int, ...]:
    """Numbers of blocks from 1, where negative ones count from the last.

    Raises:
        ConfigError: If one is not there, or named twice.
    """
    positive = tuple(layer if layer > 0 else num_blocks + 1 + layer for layer in layers)
    if not all(1 <= layer <= num_blocks for layer in positive):
        msg = (
            f"layers {layers} do not fit a network of {num_blocks} blocks; take 1 to {num_blocks}."
        )
        raise ConfigError(msg)
    if len(set(positive)) != len(positive):
        msg = f"layers {layers} name one of {num_blocks} blocks twice; name each once."
        raise ConfigError(msg)
    return positive
