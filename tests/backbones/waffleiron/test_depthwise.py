import pytest
import torch
from torch import nn

from lidistill.backbones.waffleiron.depthwise import dense_convs, occupied_convs
from lidistill.backbones.waffleiron.plane import build_plane


def random_case(size_hw, num_points, *, num_scans=2, channels=3, dtype=torch.float64):
    rng = torch.Generator().manual_seed(num_points)
    cells = torch.randint(size_hw[0] * size_hw[1], (num_points,), generator=rng)
    cells[0] = 0
    cells[-1] = size_hw[0] * size_hw[1] - 1
    scan = torch.randint(num_scans, (num_points,), generator=rng).sort()[0]
    plane = build_plane(cells, scan, num_scans=num_scans, size_hw=size_hw)

    def draw(*shape):
        return torch.randn(*shape, generator=rng, dtype=dtype).requires_grad_()

    tensors = (draw(plane.num_cells, channels), draw(2, 9, channels), draw(2, channels))
    return tensors, plane


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("size_hw", "num_points"), [((1, 1), 1), ((7, 5), 1), ((7, 5), 9), ((7, 5), 300), ((2, 9), 6)]
)
def test_occupied_cells_give_the_dense_values_and_gradients(activation, dtype, size_hw, num_points):
    tensors, plane = random_case(size_hw, num_points, dtype=dtype)
    direction = torch.randn(plane.num_cells, 3, dtype=dtype)
    results = []
    for convs in (occupied_convs, dense_convs):
        out = convs(*tensors, plane, activation=activation)
        results.append((out, *torch.autograd.grad((out * direction).sum(), tensors)))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-10
    for fast, plain in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, rtol=tolerance, atol=tolerance)


def test_gradients_are_exact():
    tensors, plane = random_case((4, 3), 5, channels=2)
    torch.autograd.gradcheck(lambda *args: occupied_convs(*args, plane, activation="gelu"), tensors)


def test_the_dense_twin_is_two_depthwise_convolutions():
    tensors, plane = random_case((6, 5), 12, num_scans=1, dtype=torch.float32)
    cells, kernels, biases = (tensor.detach() for tensor in tensors)
    net = nn.Sequential(
        nn.Conv2d(3, 3, 3, padding=1, groups=3), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1, groups=3)
    )
    for i, conv in enumerate((net[0], net[2])):
        conv.weight.data = kernels[i].t().reshape(3, 1, 3, 3)
        conv.bias.data = biases[i]
    grid = torch.zeros(1, 3, 6, 5)
    grid.flatten(2)[0, :, plane.cell] = cells.t()
    expected = net(grid).flatten(2)[0, :, plane.cell].t()
    found = dense_convs(cells, kernels, biases, plane, activation="relu")
    torch.testing.assert_close(found, expected)


def test_scans_do_not_touch_each_other():
    cells = torch.tensor([11, 0])  # last cell of one scan, first of the next: adjacent in memory
    plane = build_plane(cells, torch.tensor([0, 1]), num_scans=2, size_hw=(3, 4))
    kernels, biases = torch.ones(2, 9, 1), torch.zeros(2, 1)
    one = occupied_convs(torch.tensor([[1.0], [0]]), kernels, biases, plane, activation="relu")
    assert one[1].item() == 0
    assert one[0].item() == 4  # the corner's four inner neighbours, itself included
