"""Kernels prove themselves before they are trusted: once per process, device and number format.

A family of kernels computes a small input beside its definition. Where the results differ by more
than rounding, or where it does not compile or run, it is switched off with one warning that names
it, and the definition runs. ``benchmarks/gpu_check.py`` is the full check.

Importing this module needs no Triton.

Shape letters: M points, K neighbours, F input channels, C channels.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple, TypeAlias

import torch
from torch import Tensor

from lidistill.backbones.waffleiron.cpu.fused_layer import Passes, fused_layer
from lidistill.backbones.waffleiron.depthwise import occupied_convs
from lidistill.backbones.waffleiron.layer import LayerForm, LayerParameters, plain_layer
from lidistill.backbones.waffleiron.plane import build_plane
from lidistill.samples.nearest import nearest_by_scipy

logger = logging.getLogger(__name__)

_ROUNDING: Final = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 1e-2}
_TF32: Final = 1e-2  # where PyTorch may round the factors of float32 products
_KINK: Final = 0.1  # gradients of a ReLU: rounding decides on which side of 0 a number lies
_SIZE: Final = (300, 40, 6)
"""M, C and F: neither a tile's size nor a power of two."""


class Trial(NamedTuple):
    """One result beside its definition."""

    name: str
    found: Tensor
    expected: Tensor
    limit: float
    """Largest difference of the norms, relative to the expected one."""


Trials: TypeAlias = Callable[[torch.device, torch.dtype], Iterator[Trial]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Kernels that are trusted or switched off together."""

    name: str
    trials: Trials


def trusted(family: Family, device: torch.device, dtype: torch.dtype = torch.float32) -> bool:
    """Whether a family gives what its definition gives; tried out at first use.

    Args:
        family: Kernels.
        device: Where they run.
        dtype: Number format of their products.
    """
    return _verdict(family, device, dtype)


@cache
def _verdict(family: Family, device: torch.device, dtype: torch.dtype) -> bool:
    # A thread of its own has none of the caller's autograd hooks, autocast or inference mode.
    with ThreadPoolExecutor(1) as alone:
        flaw = alone.submit(_flaw, family, device, dtype).result()
    if flaw is not None:
        logger.warning(
            "The fast kernels of the %s are switched off on %s with products in %s: %s. Their "
            "definition in PyTorch runs instead, which is slower; benchmarks/gpu_check.py says "
            "more.",
            *(family.name, device, str(dtype).removeprefix("torch."), flaw),
        )
    return flaw is None


def _flaw(family: Family, device: torch.device, dtype: torch.dtype) -> str | None:
    """What is wrong with a family, in one line; None if nothing is."""
    try:
        for name, found, expected, limit in family.trials(device, dtype):
            if found.shape != expected.shape:
                return f"{name} has shape {tuple(found.shape)}, not {tuple(expected.shape)}"
            exact = expected.double()
            difference = float((found.double() - exact).norm() / exact.norm().clamp(min=1e-9))
            if not difference <= limit:
                return f"{name} differs from the definition by {difference:.2g}, over {limit:g}"
    except Exception as error:  # noqa: BLE001  a compiler may raise anything, and none may end a run
        first = next(iter(str(error).splitlines()), "")[:200]
        return f"{type(error).__name__} {first}".rstrip()
    return None


def edge_trials(device: torch.device, dtype: torch.dtype) -> Iterator[Trial]:
    """The maximum over neighbours and its gradients; small integers, so that no winner is close."""
    from lidistill.backbones.waffleiron.edge_max import plain_edge_max  # noqa: PLC0415  imports this
    from lidistill.backbones.waffleiron.gpu.edges import triton_edge_max  # noqa: PLC0415  Triton is optional

    num_points, channels, inputs = _SIZE
    draw = _Drawn(device)
    shapes = ((7, num_points, inputs), (channels, inputs), (channels, channels))
    drawn = [draw.integers(shape) for shape in shapes]
    found = _with_gradients(lambda a, b, c: triton_edge_max(a, b, c, dtype), drawn)
    expected = _with_gradients(lambda a, b, c: plain_edge_max(a, b, c, dtype), drawn)
    names = ("the maximum", *(f"the gradient of the {x}" for x in ("edges", "affine", "weight")))
    for name, ours, plain in zip(names, found, expected, strict=True):
        yield Trial(name, ours, plain, _rounding(dtype))


def layer_trials(device: torch.device, dtype: torch.dtype) -> Iterator[Trial]:
    """A layer on cells and points, its weights folded, and all gradients, with both activations."""
    from lidistill.backbones.waffleiron.gpu.layer import TRITON  # noqa: PLC0415  Triton is optional

    yield from trials_of_passes(TRITON, device, dtype)


def trials_of_passes(passes: Passes, device: torch.device, dtype: torch.dtype) -> Iterator[Trial]:
    """A layer made of these passes beside ``plain_layer`` in float64."""
    (num_points, channels, _), draw = _SIZE, _Drawn(device)
    cells = draw.below(9 * 7, num_points)
    scan = draw.below(2, num_points).sort()[0]
    crowd = (scan == 1) & (torch.arange(num_points, device=device) % 10 > 0)
    cells[crowd] = 4  # more points than two programs sum up, and alike: their mean is not small
    plane = build_plane(cells, scan, num_scans=2, size_hw=(9, 7))
    keep = draw.normal((plane.num_cells,)).abs(), draw.normal((num_points,)).abs()
    tokens = draw.normal((num_points, channels)) * channels**0.5
    tokens[crowd] += tokens[:1]
    drawn = [tokens, *drawn_weights(draw.normal, channels)]
    for activation in ("gelu", "relu"):
        form = LayerForm(activation=activation, eps=1e-5, dtype=dtype)

        def fast(tokens: Tensor, *weights: Tensor, form: LayerForm = form) -> Tensor:
            return fused_layer(tokens, LayerParameters(*weights), plane, form, keep, passes=passes)

        def plain(tokens: Tensor, *weights: Tensor, form: LayerForm = form) -> Tensor:
            rest = LayerParameters(*weights).folded(), plane, form, keep
            return plain_layer(tokens, *rest, convs=occupied_convs)

        found = _with_gradients(fast, drawn)
        expected = _with_gradients(plain, [tensor.double() for tensor in drawn])
        for number, (ours, exact) in enumerate(zip(found, expected, strict=True)):
            name = ("points", *LayerParameters._fields)[number - 1] if number else ""
            told = f"the gradient of the {name}" if number else "the result"
            kink = _KINK if number and activation == "relu" else 0.0
            yield Trial(f"{told} with {activation}", ours, exact, max(_rounding(dtype), kink))


def drawn_weights(draw: Callable[[tuple[int, ...]], Tensor], channels: int) -> LayerParameters:
    """Weights of a layer, drawn by their shapes; factors are around 1."""
    vector, matrix, kernel = (channels,), (channels, channels), (channels, 1, 3, 3)
    convs, perceptron = (kernel, vector, kernel, vector), (matrix, vector, matrix, vector)
    shapes = (vector, vector, *convs, vector, vector, vector, *perceptron, vector)
    weights = LayerParameters(*map(draw, shapes))
    factors = ("gain", "conv_scale", "point_gain", "linear_scale")
    return weights._replace(**{name: 1 + getattr(weights, name) / 4 for name in factors})


def neighbor_trials(device: torch.device, dtype: torch.dtype) -> Iterator[Trial]:
    """Distances to the nearest points: neighbours on the same distance come in any order."""
    from lidistill.backbones.waffleiron.gpu.hash_neighbors import grid_search  # noqa: PLC0415  imports this

    del dtype  # there are no products
    points = _Drawn(device).normal((_SIZE[0], 3))
    found = grid_search(points, 8).cpu()
    expected = torch.from_numpy(nearest_by_scipy(points.cpu().numpy(), 8))
    yield Trial("the first neighbour", found[:, 0], expected[:, 0], 0.0)
    exact = points.double().cpu()
    ours, least = ((exact[index] - exact[:, None]).norm(dim=2) for index in (found, expected))
    yield Trial("the distance", ours, least, 1e-6)


EDGES: Final = Family(name="embedding", trials=edge_trials)
LAYER: Final = Family(name="layers", trials=layer_trials)
NEIGHBORS: Final = Family(name="nearest neighbours", trials=neighbor_trials)


def _rounding(dtype: torch.dtype) -> float:
    exact = torch.get_float32_matmul_precision() == "highest"
    return _ROUNDING[dtype] if exact else max(_ROUNDING[dtype], _TF32)


class _Drawn:
    """Always the same numbers, whatever the device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._rng = torch.Generator().manual_seed(0)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Of a variance that products of matrices keep."""
        return (torch.randn(shape, generator=self._rng) / shape[-1] ** 0.5).to(self._device)

    def integers(self, shape: tuple[int, ...]) -> Tensor:
        """From -2 to 2, float32."""
        return torch.randint(-2, 3, shape, generator=self._rng).float().to(self._device)

    def below(self, end: int, count: int) -> Tensor:
        """(count,) int64 from 0 to ``end - 1``."""
        return torch.randint(end, (count,), generator=self._rng).to(self._device)


def _with_gradients(function: Callable[..., Tensor], drawn: list[Tensor]) -> list[Tensor]:
    """What a function gives, and the gradient of each of its arguments."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in drawn]
    out = function(*leaves)
    direction = _Drawn(out.device).integers(tuple(out.shape)).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, leaves, direction)]
