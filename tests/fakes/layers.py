"""A layer of random weights on random points, and how two versions of it are compared."""

import torch

from lidistill.backbones.waffleiron.gpu.proof import drawn_weights
from lidistill.backbones.waffleiron.layer import plain_layer
from lidistill.backbones.waffleiron.plane import build_plane


def random_case(
    num_points,
    *,
    channels=16,
    num_scans=2,
    size_hw=(14, 9),
    only_read=False,
    crowd=0,
    device="cpu",
):
    """Points, weights and a plane.

    With ``only_read`` every third point fills no cell; ``crowd`` points are in one cell of scan 0.
    """
    rng = torch.Generator().manual_seed(num_points)
    cells = torch.randint(size_hw[0] * size_hw[1], (num_points,), generator=rng)
    if only_read and num_points > 2:
        cells[::3] = -1 - cells[::3]
    scan = torch.randint(num_scans, (num_points,), generator=rng).sort()[0]
    scan[:crowd] = 0
    cells[:crowd] = torch.where(cells[:crowd] < 0, -4, 3)
    plane = build_plane(cells.to(device), scan.to(device), num_scans=num_scans, size_hw=size_hw)

    def draw(shape):
        return torch.randn(shape, generator=rng).to(device)

    return draw((num_points, channels)), drawn_weights(draw, channels), plane


def defined_layer(tokens, weights, *rest):
    """The definition of a layer, the folding of its weights included."""
    return plain_layer(tokens, weights.folded(), *rest)


def random_keep(plane, num_points):
    """Factors of stochastic depth, of cells and of points."""
    device = plane.cell.device
    return torch.rand(plane.num_cells, device=device) * 2, torch.rand(num_points, device=device) * 2


def values_and_gradients(function, tokens, weights, *rest):
    """Output of a layer, and the gradients of its points and weights along a drawn direction."""
    inputs = [tensor.clone().requires_grad_() for tensor in (tokens, *weights)]
    out = function(inputs[0], type(weights)(*inputs[1:]), *rest)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.device)
    return out.detach(), *torch.autograd.grad((out * direction).sum(), inputs)


def worst(found, expected):
    """Largest relative difference of the norms."""
    return max(
        float((fast - plain).norm() / plain.norm().clamp(min=1e-3))
        for fast, plain in zip(found, expected, strict=True)
    )
