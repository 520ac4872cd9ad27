"""What PyTorch's libraries reach at the students' matrix products: rates and errors.

    python benchmarks/products.py --widths 64 128 256 768 --output products.json

A product is that of a layer's perceptron: as many points as go through it at a time, by a square
matrix. ``torch.mm`` is MKL in float32 and oneDNN in bfloat16; oneDNN in float32 is asked for by the
operator that ``torch.compile`` uses, with its weights as they are and packed beforehand.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from measure import timed, write_record
from torch import Tensor

from lidistill.backbones.waffleiron.cpu.fused_forward import chunk_size

Product = Callable[[], Tensor]


def onednn(x: Tensor, weight: Tensor) -> Tensor:
    """(M, C) ``x @ weight.T`` in float32 by oneDNN."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return found


def products_of(x: Tensor, weight: Tensor) -> dict[str, Product]:
    """Every way to ``x @ weight.T``."""
    if x.dtype != torch.float32:
        return {"torch.mm (oneDNN)": partial(torch.mm, x, weight.t(), out=torch.empty_like(x))}
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, len(x))
    return {
        "torch.mm (MKL)": partial(torch.mm, x, weight.t(), out=torch.empty_like(x)),
        "oneDNN": partial(onednn, x, weight),
        "oneDNN, packed": partial(onednn, x, packed),
    }


def product_rates(width: int, dtype: torch.dtype, repeats: int = 40) -> dict[str, float]:
    """Best rate of each library by CPU seconds, FLOP/s."""
    x = torch.randn(chunk_size(width), width).to(dtype)
    weight = torch.randn(width, width).to(dtype)
    products = products_of(x, weight)
    seconds: dict[str, list[float]] = {name: [] for name in products}
    for _ in range(repeats):
        for name, product in products.items():
            seconds[name].append(timed(product)["cpu_s"])
    return {name: 2 * x.numel() * width / min(values[1:]) for name, values in seconds.items()}


def errors(width: int) -> dict[str, float]:
    """Relative error of each library's float32 product against float64."""
    x, weight = torch.randn(chunk_size(width), width), torch.randn(width, width)
    truth = x.double() @ weight.double().t()
    return {
        name: float((product().double() - truth).norm() / truth.norm())
        for name, product in products_of(x, weight).items()
    }


def main() -> None:
    """Measure and print, one line a width and format."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256, 384, 768])
    parser.add_argument("--output", type=Path, default=Path("runs/products.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for width in arguments.widths:
        for dtype in (torch.float32, torch.bfloat16):
            rates = product_rates(width, dtype)
            wrong = errors(width) if dtype == torch.float32 else {}
            rows.append({"width": width, "dtype": str(dtype), "rates": rates, "errors": wrong})
            print(width, dtype, {k: f"{v / 1e9:.0f} GFLOP/s" for k, v in rates.items()}, wrong)
    write_record(arguments.output, {"products": rows})


if __name__ == "__main__":
    main()
