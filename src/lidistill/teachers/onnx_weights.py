"""The weights of a transformers ViT out of the ONNX file it was exported to."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lidistill.errors import FileFormatError, require


def read_onnx_vit(path: Path, *, prefix: str) -> dict[str, Tensor]:
    """State dict of the DINOv2 inside an ONNX file, in transformers' names.

    The exporter keeps the names of biases but transposes the weights of linear layers and calls
    them anything; each is found by the named bias that is added to its product. The position
    embedding comes in two nameless parts, for the class token and for the patches.

    Args:
        path: The ONNX file.
        prefix: What stands before transformers' names in it, for example ``"backbone."``.

    Raises:
        MissingPackageError: If ``onnx`` is not installed.
        FileFormatError: If the file holds no such network.
    """
    onnx: Any = require("onnx", extra="wheels")
    numpy_helper: Any = require("onnx.numpy_helper", extra="wheels")
    graph = onnx.load(path).graph
    arrays = {tensor.name: tensor for tensor in graph.initializer}

    def tensor_of(name: str) -> Tensor:
        return torch.from_numpy(np.array(numpy_helper.to_array(arrays[name])))

    state = {n.removeprefix(prefix): tensor_of(n) for n in arrays if n.startswith(prefix)}
    factor_of = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for node in graph.node:
        bias = next((n for n in node.input if n.startswith(prefix) and n.endswith(".bias")), None)
        product = next((n for n in node.input if factor_of.get(n) in arrays), None)
        if node.op_type == "Add" and bias is not None and product is not None:
            name = bias.removeprefix(prefix).removesuffix("bias") + "weight"
            state[name] = tensor_of(factor_of[product]).T.contiguous()
    nameless = [n for n, t in arrays.items() if not n.startswith(prefix) and len(t.dims) == 3]
    parts = sorted((tensor_of(name) for name in nameless), key=lambda part: part.shape[1])
    if [part.shape[1] > 1 for part in parts] != [False, True]:
        msg = f"{path} holds no position embedding of a ViT; expected the ONNX file of a DINOv2."
        raise FileFormatError(msg)
    state["embeddings.position_embeddings"] = torch.cat(parts, dim=1)
    return state
