"""The parts of a plain vision transformer: blocks, patches, last norm."""

from typing import Any, Final

from torch import nn

from lidistill.errors import ConfigError

_PLAIN: Final = ("num_hidden_layers", "hidden_size", "num_attention_heads")
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
    msg = (
        f"{settings.model_type!r} ({type(network).__name__}) is no plain vision transformer: "
        f"{reason}. 'kind: vit' takes DINOv2 (with registers too), DINOv3 ViT, CLIP, SigLIP (also "
        "its second version at fixed resolution), ViT, DeiT, BEiT, Data2Vec and I-JEPA."
    )
    return ConfigError(msg)


def find_norm(network: nn.Module, blocks: nn.ModuleList) -> nn.Module:
    """The norm behind the last block."""
    inner = set(blocks.modules())
    for name, module in network.named_modules():
        if name.rpartition(".")[2] in _FINAL_NORMS and module not in inner:
            return module
    msg = f"{type(network).__name__} has no final norm; set final_norm=false."
    raise ConfigError(msg)
