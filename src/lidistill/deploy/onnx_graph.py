"""A model as one graph of plain operators, written by PyTorch's own exporter.

Shape letters: N points, C channels, T teacher channels, D classes.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lidistill.backbones import Backbone
from lidistill.backbones.base import ExportForm
from lidistill.errors import require
from lidistill.records import Batch
from lidistill.segment.heads import SegmentationHead

OPERATORS: Final = frozenset(
    {
        "Gather", "ScatterElements", "MatMul", "Gemm", "Conv", "LayerNormalization", "Relu", "Gelu",
        "ReduceMax", "Add", "Mul", "Reshape", "Transpose", "Concat", "Slice", "Cast",
    }
)  # fmt: skip
"""All that a graph may be made of; TensorRT 10 takes every one, ScatterElements' addition too."""
OPSET: Final = 20
"""The first with Gelu."""
_NOISY: Final = ("torch.onnx", "onnxscript", "onnx_ir")


class ClassScores(nn.Module):
    """A ``SegmentationHead`` for inference: its BatchNorm is part of its matrix.

    Args:
        head: In whatever mode; its running statistics count.
    """

    def __init__(self, head: SegmentationHead) -> None:
        super().__init__()
        norm, linear = head.norm, head.linear
        variance = norm.get_buffer("running_var").double() + norm.eps
        scale_C = norm.weight.double() * torch.rsqrt(variance)
        shift_C = norm.bias.double() - norm.get_buffer("running_mean").double() * scale_C
        weight_DC = linear.weight.double()
        self.register_buffer("weight", (weight_DC * scale_C).to(linear.weight.dtype))
        bias_D = linear.bias.double() + weight_DC @ shift_C
        self.register_buffer("bias", bias_D.to(linear.weight.dtype))

    def forward(self, features_NC: Tensor) -> Tensor:
        """(N, D) class scores."""
        return F.linear(features_NC, self.get_buffer("weight"), self.get_buffer("bias"))


class WholeGraph(nn.Module):
    """Backbone and head: features, and class scores or the teacher's channels beside them.

    Args:
        form: Of the backbone.
        head: Of the run; None: features alone.
    """

    def __init__(self, form: ExportForm, head: nn.Module | None) -> None:
        super().__init__()
        self.network = form.network
        self.head = ClassScores(head) if isinstance(head, SegmentationHead) else head
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """(N, C) features, and (N, D) or (N, T) what the head makes of them; float32."""
        features_NC = self.network(*inputs)
        return (features_NC,) if self.head is None else (features_NC, self.head(features_NC))


def write_graph(
    backbone: Backbone, head: nn.Module | None, batch: Batch, file: Path, *, dtype: torch.dtype
) -> tuple[str, ...]:
    """Write a network as an ONNX file with any number of points, and check it.

    Args:
        backbone: The network.
        head: What follows it.
        batch: One scan to trace with; its length plays no part.
        file: To write.
        dtype: Number format inside; inputs and outputs are float32 and int64.

    Returns:
        Names of the outputs.

    Raises:
        MissingPackageError: If the extra ``onnx`` is not installed.
        ConfigError: If the network has no form without operators of its own.
    """
    onnx = require("onnx", extra="onnx")
    require("onnxscript", extra="onnx")
    form = backbone.export_form(dtype)
    graph = WholeGraph(form, head)
    second = "logits" if isinstance(head, SegmentationHead) else "head"
    outputs = ("features",) if head is None else ("features", second)
    points = torch.export.Dim("N", min=2)
    axes = [{form.point_axes[n]: points} if n in form.point_axes else {} for n in form.inputs]
    with _quietly():
        program = torch.export.export(graph, form.feed(batch), dynamic_shapes=(tuple(axes),))
        exported = torch.onnx.export(
            program,
            input_names=list(form.inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert exported is not None  # noqa: S101  it has no file to write to
    model = exported.model_proto
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]  # where in the exporter's source it came from
        node.doc_string = ""
    _name_points(model.graph)
    model.producer_name = "lidistill"
    onnx.checker.check_model(model, full_check=True)
    check_operators(model)
    onnx.save(model, file)
    return outputs


def _name_points(graph: Any) -> None:
    """Call the number of points N, whatever symbol the exporter has drawn for it."""
    (symbol,) = [d.dim_param for d in graph.input[0].type.tensor_type.shape.dim if d.dim_param]
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = dim.dim_param.replace(symbol, "N")


def check_operators(model: Any) -> None:
    """See to it that a graph needs nothing that runtimes may lack.

    Raises:
        AssertionError: If it holds another operator than ``OPERATORS``, or a function of its own.
    """
    found = {(node.domain, node.op_type) for node in model.graph.node}
    strange = sorted(
        f"{domain}:{name}" for domain, name in found if domain or name not in OPERATORS
    )
    if strange or len(model.functions):
        msg = f"the graph holds {', '.join(strange) or 'functions'}"
        raise AssertionError(msg)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what the exporter says about itself."""
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
