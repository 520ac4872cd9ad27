import pytest
import torch

from lidistill.sparse.cells import unique_cells
from lidistill.sparse.convolution import SparseConvolution, convolve
from lidistill.sparse.kernel_map import strided_map, submanifold_map
from lidistill.sparse.layout import (
    dense_weight,
    from_dense_weight,
    from_spconv,
    from_z_fastest,
    kernel_offsets,
)
from lidistill.tensor_records import to_device


@pytest.fixture
def cells():
    generator = torch.Generator().manual_seed(0)
    return unique_cells(torch.randint(-5, 5, (300, 3), generator=generator)).cells


def gradients(cells, device="cpu", dtype=None):
    """Features of a convolution, a stride and the way back, and what flows to each weight."""
    torch.manual_seed(0)
    features = torch.randn(len(cells), 8)
    layers = [SparseConvolution(8, 8, places, fan=fan) for places, fan in PLACES]
    features = features.to(device).requires_grad_()
    layers = [layer.to(device) for layer in layers]
    maps = submanifold_map(cells, 3), strided_map(cells).kernel_map
    same, stride = to_device(maps, device)
    with torch.autocast(device, dtype, enabled=dtype is not None):
        out = layers[0](features, same)
        out = layers[2](layers[1](out, stride), stride.transposed())
    out.float().square().mean().backward()
    return [out, features.grad, *(layer.kernel.grad for layer in layers)]


PLACES = ((27, "in"), (8, "in"), (8, "out"))


def test_results_repeat_bit_for_bit(cells):
    first, second = gradients(cells), gradients(cells)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_autocast_leaves_products_on_a_cpu_exact_where_they_are_faster_so(cells):
    expected, found = gradients(cells), gradients(cells, dtype=torch.bfloat16)
    assert found[0].dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_sums_of_rounded_products_are_taken_in_float32(cells):
    torch.manual_seed(0)
    features, kernel = torch.randn(len(cells), 8), torch.randn(27, 8, 8)
    kernel_map = submanifold_map(cells, 3)
    found = convolve(features.bfloat16(), kernel.bfloat16(), kernel_map)
    expected = convolve(features, kernel, kernel_map)
    assert found.dtype == torch.bfloat16
    assert (found - expected).norm() < 0.01 * expected.norm()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_computes_the_same_and_repeats_it(cells):
    expected, found, again = gradients(cells), gradients(cells, "cuda"), gradients(cells, "cuda")
    for a, b, c in zip(expected, found, again, strict=True):
        torch.testing.assert_close(a, b.cpu(), rtol=1e-4, atol=1e-5)
        assert torch.equal(b, c)


def test_weights_begin_as_in_the_authors_libraries():
    torch.manual_seed(0)
    down, up = SparseConvolution(16, 64, 8, bias=True), SparseConvolution(16, 64, 8, fan="out")
    largest = [float(p.detach().abs().max()) for p in (down.kernel, down.bias, up.kernel)]
    assert largest == pytest.approx([128**-0.5, 128**-0.5, 512**-0.5], rel=0.1)


def test_a_map_of_other_cells_is_refused(cells):
    kernel_map = submanifold_map(cells, 3)
    for features, places in ((len(cells) - 1, 27), (len(cells), 8)):
        with pytest.raises(ValueError, match="with a map of"):
            convolve(torch.zeros(features, 2), torch.zeros(places, 2, 2), kernel_map)


def test_only_a_strided_map_has_a_transposed_one(cells):
    with pytest.raises(ValueError, match="flip the kernel"):
        submanifold_map(cells, 3).transposed()


def test_places_of_a_kernel_count_x_fastest():
    assert kernel_offsets(3)[:4].tolist() == [[-1, -1, -1], [0, -1, -1], [1, -1, -1], [-1, 0, -1]]
    assert kernel_offsets(3)[13].tolist() == [0, 0, 0]
    assert kernel_offsets(2)[:5].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_layouts_of_other_libraries_are_the_same_kernel(size):
    kernel = torch.randn(size**3, 4, 6)
    first = size // 2 if size % 2 else 0
    dense = dense_weight(kernel)
    for place, offset in enumerate(kernel_offsets(size).tolist()):
        x, y, z = (step + first for step in offset)
        assert torch.equal(dense[:, :, x, y, z], kernel[place].t())
    assert torch.equal(from_dense_weight(dense), kernel)
    assert torch.equal(from_spconv(dense.permute(0, 2, 3, 4, 1)), kernel)
    order = [
        x + y * size + z * size**2 for x in range(size) for y in range(size) for z in range(size)
    ]
    assert torch.equal(from_z_fastest(kernel[order]), kernel)


def test_what_is_no_cube_is_no_kernel():
    with pytest.raises(ValueError, match=r"expected \(k\^3, in, out\)"):
        dense_weight(torch.zeros(9, 2, 2))
