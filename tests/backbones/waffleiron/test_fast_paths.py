import importlib.util
import logging

import pytest
import torch

from lidistill.backbones.waffleiron import fast_paths
from lidistill.backbones.waffleiron.cpu.fused_layer import COMPILED


@pytest.fixture(name="no_triton")
def _no_triton(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    fast_paths.triton_installed.cache_clear()
    yield
    fast_paths.triton_installed.cache_clear()


@pytest.mark.usefixtures("no_triton")
def test_a_missing_triton_is_said_once(caplog):
    with caplog.at_level(logging.WARNING):
        assert not fast_paths.triton_installed()
        assert not fast_paths.triton_installed()
    assert caplog.text.count("Triton is not installed") == 1


def test_the_cpu_has_its_loops_and_other_formats_and_devices_the_definition():
    assert fast_paths.passes_for(torch.zeros(2, 3)) is COMPILED
    assert fast_paths.passes_for(torch.zeros(2, 3, dtype=torch.float64)) is None
    assert fast_paths.passes_for(torch.zeros(2, 3, device="meta")) is None


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [
        ("cpu", torch.bfloat16, torch.bfloat16),
        ("cpu", torch.float16, torch.float32),
        ("cuda", torch.bfloat16, torch.bfloat16),
        ("cuda", torch.float16, torch.float16),
    ],
)
def test_products_take_the_format_of_autocast_but_fp16_on_the_cpu(device, dtype, expected):
    assert fast_paths.product_dtype("cpu") == torch.float32
    torch.set_autocast_dtype(device, dtype)
    torch.set_autocast_enabled(device, enabled=True)
    try:
        assert fast_paths.product_dtype(device) == expected
    finally:
        torch.set_autocast_enabled(device, enabled=False)
        torch.set_autocast_dtype(device, torch.bfloat16 if device == "cpu" else torch.float16)


def test_the_switch_leaves_the_definition_and_says_so(monkeypatch):
    tokens, device = torch.zeros(2, 3), torch.device("cpu")
    monkeypatch.setenv("LIDISTILL_PRODUCTS", "torch")
    name = fast_paths.path_name(device, torch.float32, 64)
    assert name == "compiled loops, products in float32"
    monkeypatch.setenv("LIDISTILL_PRODUCTS", "onednn")
    name = fast_paths.path_name(device, torch.float32, 64)
    assert name == "compiled loops, products in float32 by oneDNN"
    assert "oneDNN" not in fast_paths.path_name(device, torch.bfloat16, 64)
    monkeypatch.setenv("LIDISTILL_COMPILE", "0")
    assert fast_paths.passes_for(tokens) is None
    assert "LIDISTILL_COMPILE=0" in fast_paths.path_name(device, torch.float32, 64)
