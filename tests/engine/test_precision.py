import pytest
import torch

from lidistill.engine.precision import autocast, make_scaler, pick_device
from lidistill.errors import ConfigError


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match="sees no GPU"):
        pick_device("cuda")


def test_full_precision_is_left_alone():
    with autocast(torch.device("cpu"), "fp32"):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.float32
    with autocast(torch.device("cpu"), "bf16"):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.bfloat16


def test_only_fp16_scales_the_loss():
    assert make_scaler(torch.device("cpu"), "fp16").is_enabled()
    assert not make_scaler(torch.device("cpu"), "bf16").is_enabled()
