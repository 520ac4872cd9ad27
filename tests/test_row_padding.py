"""16-bit products on a CPU have few different numbers of rows, and the same results."""

from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from fakes.batches import SMALL_GRID, random_batch
from fakes.modes import with_threads  # noqa: F401  a fixture
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lidistill.backbones import WaffleIronConfig
from lidistill.distill.heads import LinearHead, MLPHead
from lidistill.row_padding import padded_row_count, with_padded_rows


def bf16() -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16)


class Products(TorchDispatchMode):
    """Shapes of all 16-bit matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            left, right = [a for a in args if torch.is_tensor(a) and a.ndim == 2][-2:]
            if left.dtype != torch.float32:
                self.shapes.add((*left.shape, right.shape[1]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("head", [LinearHead(8, 6), MLPHead(8, 6, hidden_channels=16)])
def test_heads_give_what_they_gave_and_pass_the_same_gradients(head: nn.Module) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(*head.children())
    if len(plain) == 2:
        plain.insert(1, nn.ReLU())
    results: list[list[Tensor]] = []
    for module in (head, plain):
        rows = torch.linspace(-1, 1, 8 * 700).reshape(700, 8).requires_grad_()
        module.zero_grad()
        with bf16():
            out = module(rows)
        assert out.shape == (700, 6)
        (out.float() * torch.linspace(-2, 2, 6)).sum().backward()
        grads = [rows.grad, *(p.grad for p in module.parameters())]
        results.append([out.detach(), *(g.clone() for g in grads if g is not None)])
    assert len(results[0]) == len(results[1]) == 2 + len(list(head.parameters()))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


def test_pairs_of_many_numbers_make_products_of_few() -> None:
    head, seen = MLPHead(8, 6, hidden_channels=16), Products()
    with seen:
        for pairs in range(1000, 3000, 37):
            with bf16():
                head(torch.randn(pairs, 8)).sum().backward()
    assert {rows for rows, *_ in seen.shapes if rows > 16} == {1024, 1536, 2048, 2560, 3072}
    assert len(seen.shapes) <= 6 * 5  # three of them forward and backward, five numbers of pairs


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("threads", [1], indirect=True)  # a recorder sees its own thread alone
def test_scans_of_many_sizes_make_products_of_few() -> None:
    torch.manual_seed(0)
    net = WaffleIronConfig(width=32, depth=2, grid=SMALL_GRID).build().eval()
    folded, seen = net.for_inference(torch.bfloat16), Products()
    for points in range(100, 1500, 93):
        batch = random_batch((points,))
        with seen:
            found = folded(batch)
        assert found.shape == (points, 32)
        torch.testing.assert_close(found, net(batch).detach(), rtol=0.1, atol=0.1)
    assert {rows % 512 for rows, *_ in seen.shapes} == {0}
    assert 3 <= len(seen.shapes) <= 8  # of edges, of points, and of the merge of both


def test_float32_is_left_alone() -> None:
    rows: list[int] = []
    layer = nn.Linear(4, 4)
    layer.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    with_padded_rows(layer, torch.zeros(7, 4))
    with bf16():
        with_padded_rows(layer, torch.zeros(7, 4))
        assert with_padded_rows(layer, torch.zeros(0, 4)).shape == (0, 4)
    assert rows == [7, 512, 0]
    assert padded_row_count(7, 1024, torch.float32) == 7


def test_a_product_has_one_of_eight_sizes() -> None:
    sizes = {padded_row_count(count, 1024, torch.bfloat16) for count in range(1, 1025)}
    assert sizes == {128 * n for n in range(1, 9)}
    assert padded_row_count(5, 5, torch.bfloat16) == 5
    assert all(n <= padded_row_count(n, 100, torch.bfloat16) <= 100 for n in range(1, 101))
