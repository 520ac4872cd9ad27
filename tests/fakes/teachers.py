"""Teachers with few channels and random weights, written the way real ones come."""

import importlib
import json
from pathlib import Path

import torch
from torch import Tensor, nn

PATCH = 14


def write_colours(folder: Path, **changes: object) -> Path:
    """The file that says how images are prepared, as transformers saves it beside weights."""
    path = folder / "preprocessor_config.json"
    values = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.25, 0.5, 0.2], "do_normalize": True}
    path.write_text(json.dumps(values | changes))
    return path


def write_vit(
    folder: Path, family: str = "Dinov2", seed: int = 0, *, small: bool = True, **settings: object
) -> Path:
    """A folder as transformers saves it, of any family of vision transformers."""
    transformers = importlib.import_module("transformers")
    common: dict[str, object] = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 5 * PATCH,
        "patch_size": PATCH,
    }
    config = getattr(transformers, f"{family}Config")(**(common if small else {}) | settings)
    torch.manual_seed(seed)
    network = getattr(transformers, f"{family}Model")(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    transformers.utils.logging.disable_progress_bar()
    network.save_pretrained(folder)
    return folder


def original_state(
    width: int = 32, depth: int = 2, registers: int = 0, swiglu: bool = False
) -> dict[str, Tensor]:
    """Random weights of a DINOv2 in the names of the original code."""
    draw = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return 0.1 * torch.randn(*shape, generator=draw)

    state = {
        "cls_token": random(1, 1, width),
        "mask_token": random(1, width),
        "pos_embed": random(1, 26, width),
        "patch_embed.proj.weight": random(width, 3, PATCH, PATCH),
        "patch_embed.proj.bias": random(width),
        "norm.weight": 1 + random(width),
        "norm.bias": random(width),
    }
    if registers:
        state["register_tokens"] = random(1, registers, width)
    hidden = (int(4 * width * 2 / 3) + 7) // 8 * 8 if swiglu else 4 * width
    first, second = ("mlp.w12", "mlp.w3") if swiglu else ("mlp.fc1", "mlp.fc2")
    linear = {
        "attn.qkv": (3 * width, width),
        "attn.proj": (width, width),
        first: (2 * hidden if swiglu else hidden, width),
        second: (width, hidden),
    }
    for block in range(depth):
        for name, shape in linear.items():
            state[f"blocks.{block}.{name}.weight"] = random(*shape)
            state[f"blocks.{block}.{name}.bias"] = random(shape[0])
        for name in ("norm1", "norm2"):
            state[f"blocks.{block}.{name}.weight"] = 1 + random(width)
            state[f"blocks.{block}.{name}.bias"] = random(width)
        for name in ("ls1", "ls2"):
            state[f"blocks.{block}.{name}.gamma"] = random(width)
    return state


def write_pyramid(file: Path, seed: int = 0, kind: str = "efficientnet-lite2") -> Path:
    """Random weights of an EfficientNet-Lite."""
    package = importlib.import_module("efficientnet_lite_pytorch")
    torch.manual_seed(seed)
    network: nn.Module = package.EfficientNet.from_name(kind, image_size=256)
    torch.save(network.state_dict(), file)
    return file
