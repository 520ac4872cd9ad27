"""What a step asks of a GPU, counted by PyTorch's dispatcher; see ``test_layer_kernels``."""

from collections import Counter

import pytest
import torch
from fakes.batches import SMALL_GRID
from fakes.kernels import DEVICE, pytestmark  # noqa: F401
from fakes.layers import random_case
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from lidistill.backbones.waffleiron import folded as inference
from lidistill.backbones.waffleiron import model
from lidistill.backbones.waffleiron.layer import LayerForm

WITHOUT_LAUNCH = frozenset(
    {"alias", "as_strided", "detach", "empty", "empty_like", "expand", "new_empty"}
    | {"new_empty_strided", "select", "slice", "squeeze_", "t", "transpose", "unbind"}
    | {"unsqueeze", "view", "_unsafe_view"}
)
WAITS = frozenset({"_local_scalar_dense", "nonzero", "masked_select", "_assert_async"})
MOST = {("relu", 0.0): 32, ("relu", 0.5): 36, ("gelu", 0.0): 34, ("gelu", 0.5): 38}
"""Launches of a layer forward and backward, all that it does to its weights included."""


class Launches(TorchDispatchMode):
    """Counts operations that start a kernel, and those that wait for the GPU."""

    def __init__(self, monkeypatch):
        super().__init__()
        from lidistill.backbones.waffleiron.gpu import (
            cells,
            columns,
            folding,
            points,
            taps,
            unfolding,
        )

        self.launched, self.waited = Counter(), Counter()
        for module in (cells, columns, folding, points, taps, unfolding):
            monkeypatch.setattr(module, "launch", self._counted(module.launch))

    def _counted(self, launch):
        def counted(kernel, *arguments, **sizes):
            self.launched[kernel.fn.__name__] += 1
            with _disable_current_modes():  # what the interpreter does is no launch
                return launch(kernel, *arguments, **sizes)

        return counted

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        name = operation.overloadpacket.__name__
        if name in WAITS or (name.startswith("index") and self._by_mask(arguments)):
            self.waited[name] += 1
        elif name not in WITHOUT_LAUNCH:
            self.launched[name] += 1
        return operation(*arguments, **(options or {}))

    @staticmethod
    def _by_mask(arguments):
        indices = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], list) else []
        return any(one is not None and one.dtype == torch.bool for one in indices)


@pytest.mark.parametrize(("activation", "drop_path"), MOST)
def test_a_layer_has_few_launches_and_never_waits_for_the_gpu(monkeypatch, activation, drop_path):
    from lidistill.backbones.waffleiron.gpu.layer import TRITON

    monkeypatch.setattr(model, "passes_for", lambda *_: TRITON)
    tokens, _, plane = random_case(80, channels=16, size_hw=(6, 5), device=DEVICE)
    config = model.WaffleIronConfig(width=16, depth=1, activation=activation, grid=SMALL_GRID)
    layer = model.Layer(config).to(DEVICE)
    keep = torch.full((2, plane.num_scans), 1 - drop_path, device=DEVICE) if drop_path else None
    scan, above = plane.scan[plane.reads], torch.ones_like(tokens)
    tokens.requires_grad_()
    with Launches(monkeypatch) as found:
        with torch.autocast(DEVICE, dtype=torch.bfloat16):
            out = layer(tokens, plane, keep, scan)
        out.backward(above)
    assert all(weight.grad is not None for weight in layer.parameters())
    assert found.launched["segments_kernel"] == found.launched["pieces_kernel"] == 2
    assert found.launched["mm"] == 5
    assert not found.waited
    assert found.launched.total() <= MOST[activation, drop_path] <= 40, found.launched


@pytest.mark.parametrize(("activation", "most"), [("relu", 9), ("gelu", 10)])
def test_a_folded_layer_has_nothing_left_to_prepare(monkeypatch, activation, most):
    """Two convolutions, four passes over points, two products, a bias in their format."""
    from lidistill.backbones.waffleiron.gpu.layer import TRITON

    monkeypatch.setattr(inference, "passes_for", lambda *_: TRITON)
    tokens, weights, plane = random_case(80, channels=16, size_hw=(6, 5), device=DEVICE)
    form = LayerForm(activation=activation, eps=1e-5, dtype=torch.bfloat16)
    layer = inference.FoldedLayer(weights.folded(), form)
    with torch.no_grad():
        flat = layer(tokens, plane, None, plane)[1]
        with Launches(monkeypatch) as found:
            layer(tokens, plane, flat, plane)
    assert not found.waited
    assert found.launched.total() <= most, found.launched


def test_the_count_sees_what_waits(monkeypatch):
    numbers = torch.arange(4.0, device=DEVICE)
    with Launches(monkeypatch) as found:
        numbers[numbers > 1].sum().item()
    assert set(found.waited) >= {"index", "_local_scalar_dense"}
