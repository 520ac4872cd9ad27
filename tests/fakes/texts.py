"""Text partners of a teacher with random weights, in the form in which real ones come."""

import json
import string

import torch
import transformers
from safetensors.torch import save_file

WIDTH = 24
"""Channels of the texts' space."""


def write_text_encoder(folder, kind):
    """``text/`` with a tiny encoder of CLIP or SigLIP and a tokenizer of single letters."""
    folder.mkdir(parents=True)
    letters = [*string.ascii_lowercase]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{one}</w>" for one in letters)]
    vocabulary = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    common = {
        "vocab_size": len(words), "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 40,
        "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
    }  # fmt: skip
    torch.manual_seed(4)
    if kind == "clip":
        config = transformers.CLIPTextConfig(projection_dim=WIDTH, **common)
        network = transformers.CLIPTextModelWithProjection(config)
    else:
        config = transformers.SiglipTextConfig(projection_size=WIDTH, **common)
        network = transformers.SiglipTextModel(config)
    transformers.utils.logging.disable_progress_bar()
    network.save_pretrained(folder)
    return folder


def write_projection(file, channels, *, old=False):
    """Talk2DINO's weights, by their former names where wanted."""
    draw = torch.Generator().manual_seed(5)
    hidden = "linear_layer2" if old else "hidden_layers.0"
    state = {
        "linear_layer.weight": torch.randn(channels, WIDTH, generator=draw),
        "linear_layer.bias": torch.randn(channels, generator=draw),
        f"{hidden}.weight": torch.randn(channels, channels, generator=draw),
        f"{hidden}.bias": torch.randn(channels, generator=draw),
        "attn_weights": torch.ones(12),
    }
    save_file(state, file)
    return state


def write_adaptor(file, channels, *, hidden=20, pre_norm=True):
    """C-RADIO's weights of two residual blocks."""
    draw = torch.Generator().manual_seed(6)
    shapes = {
        "fc1": (hidden, channels), "blocks.0.2": (hidden, hidden), "blocks.1.2": (hidden, hidden),
        "final.2": (WIDTH, hidden),
    }  # fmt: skip
    norms = {"blocks.0.0": hidden, "blocks.1.0": hidden, "final.0": hidden}
    norms |= {"pre_norm.0": channels} if pre_norm else {}
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = torch.randn(*shape, generator=draw)
        state[f"{name}.bias"] = torch.randn(shape[0], generator=draw)
    for name, size in norms.items():
        state[f"{name}.weight"] = 1 + 0.1 * torch.randn(size, generator=draw)
        state[f"{name}.bias"] = 0.1 * torch.randn(size, generator=draw)
    save_file(state, file)
    return state
