"""Float32 products: two libraries, one of which a trial chooses for each machine and size."""

import json
import os
import time

import pytest
import torch
from fakes.batches import SMALL_GRID, random_batch

from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.waffleiron.cpu import products
from lidistill.backbones.waffleiron.cpu.products import SWITCH, Product, fastest
from lidistill.errors import ConfigError


@pytest.fixture(autouse=True)
def no_choice_yet(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(SWITCH, raising=False)
    products._kept_choice.cache_clear()
    yield
    products._kept_choice.cache_clear()


@pytest.fixture
def trials(monkeypatch):
    """Trials that were made, each of which finds oneDNN."""
    made = []

    def found(channels):
        made.append(channels)
        return "onednn"

    monkeypatch.setattr(products, "_trial", found)
    return made


def kept(tmp_path):
    (path,) = (tmp_path / "lidistill").glob("products-*.json")
    return path


@pytest.mark.parametrize("library", ["torch", "onednn"])
@pytest.mark.parametrize(("points", "channels"), [(1, 32), (300, 96), (513, 256), (40, 768)])
def test_either_library_gives_the_product(library, points, channels):
    torch.manual_seed(0)
    x, weight = torch.randn(points, channels), torch.randn(channels, channels)
    out = torch.empty(points, channels)
    Product(weight, library)(x, out)
    truth = x.double() @ weight.double().t()
    assert (out - truth).norm() < 5e-7 * truth.norm()
    Product(weight.t(), library)(x, out)
    truth = x.double() @ weight.double()
    assert (out - truth).norm() < 5e-7 * truth.norm()


@pytest.mark.parametrize("library", ["torch", "onednn"])
def test_sixteen_bits_are_left_to_torch(library):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 64, 64, dtype=torch.bfloat16).unbind(0)
    out = torch.empty_like(x)
    Product(weight, library)(x, out)
    assert torch.equal(out, torch.mm(x, weight.t()))


def test_a_choice_is_made_once_for_a_machine_and_size(trials, tmp_path):
    assert [fastest(64), fastest(128), fastest(64)] == ["onednn"] * 3
    products._kept_choice.cache_clear()  # as another process has it
    assert fastest(64) == "onednn"
    assert trials == [64, 128]
    assert json.loads(kept(tmp_path).read_text()) == {"64": "onednn", "128": "onednn"}


@pytest.mark.parametrize("content", ["", "[]", "{", '{"64": "blas"}', '{"x": "torch"}', "[" * 99])
def test_a_damaged_choice_is_made_again(trials, tmp_path, content):
    fastest(64)
    kept(tmp_path).write_text(content)
    products._kept_choice.cache_clear()
    assert fastest(64) == "onednn"
    assert trials == [64, 64]
    assert json.loads(kept(tmp_path).read_text()) == {"64": "onednn"}


def test_where_nothing_can_be_kept_each_process_tries(trials, tmp_path):
    (tmp_path / "lidistill").write_text("a file where the folder should be")
    assert fastest(64) == "onednn"
    assert trials == [64]


def test_small_products_are_not_worth_a_trial(trials):
    assert fastest(16) == "torch"
    assert trials == []


def test_the_switch_decides(trials, monkeypatch):
    monkeypatch.setenv(SWITCH, "torch")
    assert fastest(256) == "torch"
    monkeypatch.setenv(SWITCH, "onednn")
    assert fastest(16) == "onednn"
    assert trials == []
    monkeypatch.setenv(SWITCH, "mkl")
    with pytest.raises(ConfigError, match="is 'mkl', expected auto"):
        fastest(256)


class Clock:
    """Seconds that pass while each library computes."""

    def __init__(self, monkeypatch, seconds, wrong=0.0):
        self.now = 0.0

        def call(product, x, out):
            by = "torch" if product._packed is None else "onednn"
            self.now += seconds[by]
            torch.mm(x, product.weight.t(), out=out)
            if by == "onednn":
                out.mul_(1 + wrong)

        def remember(product, weight, library):
            product.weight, product._packed = weight, None if library == "torch" else weight

        monkeypatch.setattr(Product, "__init__", remember)
        monkeypatch.setattr(Product, "__call__", call)
        monkeypatch.setattr(time, "thread_time", lambda: self.now)


@pytest.mark.parametrize(
    ("seconds", "wrong", "expected"),
    [
        ({"torch": 2.4, "onednn": 1.0}, 0.0, "onednn"),
        ({"torch": 1.1, "onednn": 1.0}, 0.0, "torch"),  # no more than measurements differ by
        ({"torch": 1.0, "onednn": 2.0}, 0.0, "torch"),
        ({"torch": 2.4, "onednn": 1.0}, 1e-5, "torch"),  # faster, but wrong
    ],
)
def test_a_trial_takes_what_is_clearly_faster_and_right(monkeypatch, seconds, wrong, expected):
    Clock(monkeypatch, seconds, wrong)
    assert products._trial(64) == expected


def test_without_onednn_there_is_no_choice(monkeypatch):
    def missing(*_):
        raise RuntimeError("mkldnn is not available")

    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", missing)
    assert products._trial(64) == "torch"


def test_a_trial_draws_no_random_numbers_of_the_run():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    products._trial(32)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_computes_the_same_with_either(monkeypatch):
    batch, results = random_batch((200, 40)), []
    for library in ("torch", "onednn"):
        monkeypatch.setenv(SWITCH, library)
        torch.manual_seed(0)
        net = WaffleIronConfig(width=64, depth=2, grid=SMALL_GRID).build().train()
        out = net(batch)
        out.square().sum().backward()
        grads = {name: p.grad for name, p in net.named_parameters()}
        results.append((out.detach(), grads, net.eval().for_inference()(batch)))
    (out, grads, folded), (out_2, grads_2, folded_2) = results
    torch.testing.assert_close(out_2, out, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(folded_2, folded, rtol=1e-5, atol=1e-5)
    for name, grad in grads.items():
        scale = float(grad.abs().max())
        torch.testing.assert_close(grads_2[name], grad, rtol=1e-4, atol=1e-5 * scale)


def test_two_processes_of_a_machine_agree_on_its_name():
    products._machine.cache_clear()
    first = products._machine()
    products._machine.cache_clear()
    assert products._machine() == first
    assert len(first) == 16
    assert os.sep not in first
