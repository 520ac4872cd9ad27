"""What a step asks of a GPU, counted by PyTorch's dispatcher; see ``test_layer_kernels``."""

from collections import Counter

import pytest
import torch
from fakes.kernels import DEVICE, pytestmark  # noqa: F401
from fakes.layers import random_case
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from lidistill.backbones.waffleiron.cpu.fused_layer import fused_layer
from lidistill.backbones.waffleiron.layer import LayerForm

WITHOUT_LAUNCH = frozenset(
    {"alias", "as_strided", "detach", "empty", "empty_like", "expand", "new_empty"}
    | {"new_empty_strided", "select", "slice", "squeeze_", "t", "transpose", "unbind"}
    | {"unsqueeze", "view", "_unsafe_view"}
)
WAITS = frozenset({"_local_scalar_dense", "nonzero", "masked_select", "_assert_async"})
MOST = {"relu": 47, "gelu": 49}
"""Launches of a layer's forward and backward pass, without the folding of its weights."""


class Launches(TorchDispatchMode):
    """Counts operations that start a kernel, and those that wait for the GPU."""

    def __init__(self, monkeypatch):
        super().__init__()
        from lidistill.backbones.waffleiron.gpu import cells, columns, points

        self.launched, self.waited = Counter(), Counter()
        for module in (cells, columns, points):
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


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_layer_has_few_launches_and_never_waits_for_the_gpu(monkeypatch, activation):
    from lidistill.backbones.waffleiron.gpu.layer import TRITON

    tokens, weights, plane = random_case(80, channels=16, size_hw=(6, 5), device=DEVICE)
    form = LayerForm(activation=activation, eps=1e-5, dtype=torch.bfloat16)
    tokens.requires_grad_()
    weights = type(weights)(*(one.detach().requires_grad_() for one in weights))
    above = torch.ones_like(tokens)
    with Launches(monkeypatch) as found:
        fused_layer(tokens, weights, plane, form, passes=TRITON).backward(above)
    assert found.launched["segments_kernel"] == 2
    assert found.launched["mm"] == 6  # five products and a sum over the cells
    assert not found.waited
    assert found.launched.total() <= MOST[activation], found.launched


def test_the_count_sees_what_waits(monkeypatch):
    numbers = torch.arange(4.0, device=DEVICE)
    with Launches(monkeypatch) as found:
        numbers[numbers > 1].sum().item()
    assert set(found.waited) >= {"index", "_local_scalar_dense"}
