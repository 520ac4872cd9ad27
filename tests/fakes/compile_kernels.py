"""Compile every kernel that a layer and the embedding start, for an H100 that is not there."""

import sys

import torch
from fakes.layers import random_case, random_keep, values_and_gradients
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as compile_triton

from lidistill.backbones.waffleiron.cpu.fused_layer import fused_layer
from lidistill.backbones.waffleiron.gpu import (
    cells,
    columns,
    edges,
    folding,
    layer,
    points,
    taps,
    unfolding,
)
from lidistill.backbones.waffleiron.layer import LayerForm

TYPES = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.int64: "*i64",
    torch.uint8: "*u8",
    int: "i32",
    float: "fp32",
}
compiled: dict[str, int] = {}


def compile_instead(program, grid, *args, **sizes):
    """Take the place of ``launch``: compile the kernel as these arguments need it."""
    kinds = [TYPES[arg.dtype if isinstance(arg, torch.Tensor) else type(arg)] for arg in args]
    names = program.arg_names
    assert len(names) == len(args) + len(sizes)
    assert set(names[len(args) :]) == set(sizes)
    signature = dict(zip(names, kinds, strict=False)) | dict.fromkeys(sizes, "constexpr")
    key = f"{program.__name__} {signature} {sizes}"
    if key not in compiled:
        source = ASTSource(program, signature, sizes)
        binary = compile_triton(
            source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": True}
        )
        assert binary.asm["cubin"]
        compiled[key] = binary.metadata.shared


def main():
    """Print how many kernels were compiled, and the most shared memory that one needs, bytes."""
    for module in (cells, columns, edges, folding, points, taps, unfolding):
        setattr(module, "launch", compile_instead)  # noqa: B010  as Triton would start it
    for activation, channels, dtype in (
        ("relu", 768, torch.bfloat16),
        ("gelu", 96, torch.float32),
    ):
        tokens, weights, plane = random_case(40, channels=channels)
        form = LayerForm(activation=activation, eps=1e-5, dtype=dtype)
        keep = random_keep(plane, 40) if activation == "relu" else None
        values_and_gradients(
            lambda *case: fused_layer(*case, passes=layer.TRITON),
            tokens,
            weights,
            plane,
            form,
            keep,
        )
        edge = torch.randn(4, 40, 6, requires_grad=True)
        affine = torch.randn(channels, 6)
        edges.triton_edge_max(edge, affine, torch.randn(channels, channels), dtype).sum().backward()
    sys.stdout.write(f"{len(compiled)} {max(compiled.values())}\n")
