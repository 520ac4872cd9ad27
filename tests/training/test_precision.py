import logging

import pytest
import torch

from lidistill.backbones.waffleiron.model import WaffleIronConfig
from lidistill.errors import ConfigError
from lidistill.training.precision import (
    autocast,
    log_paths,
    make_scaler,
    pick_device,
    warn_if_slow,
)


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match="sees no GPU"):
        pick_device("cuda")


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def launched(rank, ranks):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))

    return launched


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_every_process_has_a_gpu_of_its_own(two_gpus, name):
    two_gpus(1, 2)
    assert pick_device(name) == torch.device("cuda", 1)
    two_gpus(2, 3)
    with pytest.raises(ConfigError, match="needs GPU 2, and there are 2"):
        pick_device(name)


def test_one_process_may_choose_its_gpu_several_may_not_share_one(two_gpus):
    two_gpus(0, 1)
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match="needs GPU 7"):
        pick_device("cuda:7")
    two_gpus(0, 2)
    with pytest.raises(ConfigError, match="2 processes cannot share"):
        pick_device("cuda:1")


def test_full_precision_is_left_alone():
    with autocast(torch.device("cpu"), "fp32"):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.float32
    with autocast(torch.device("cpu"), "bf16"):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.bfloat16


def test_only_fp16_scales_the_loss():
    assert make_scaler(torch.device("cpu"), "fp16").is_enabled()
    assert not make_scaler(torch.device("cpu"), "bf16").is_enabled()


@pytest.mark.parametrize(
    ("cpu", "device", "precision", "warned"),
    [
        ("AVX2", "cpu", "bf16", True),
        ("AVX2", "cpu", "fp16", True),
        ("AVX2", "cpu", "fp32", False),
        ("AVX512", "cpu", "bf16", False),
        ("AVX2", "cuda", "bf16", False),
    ],
)
def test_sixteen_bits_on_a_cpu_without_them_are_warned_of(
    monkeypatch, caplog, cpu, device, precision, warned
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: cpu)
    warn_if_slow(torch.device(device), precision, key="train.precision")
    assert ("train.precision=fp32" in caplog.text) is warned


def test_fp16_makes_products_in_32_bits_on_a_cpu_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    warn_if_slow(torch.device("cpu"), "fp16", key="train.precision")
    assert "train.precision=fp16 computes products in fp32" in caplog.text
    with autocast(torch.device("cpu"), "fp16"):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("precision", "options", "said"),
    [
        ("fp32", {}, "its 2 layers: compiled loops, products in float32"),
        ("bf16", {}, "its 2 layers: compiled loops, products in bfloat16"),
        ("fp16", {}, "its 2 layers: compiled loops, products in float32"),
        ("bf16", {"norm": "batch"}, "its 2 layers: the definition in PyTorch, since norm=batch"),
    ],
)
def test_the_path_of_each_part_is_said(caplog, precision, options, said):
    network = WaffleIronConfig(width=8, depth=2, **options).build()
    with caplog.at_level(logging.INFO):
        log_paths(torch.nn.Sequential(network).modules(), torch.device("cpu"), precision)
    assert len(caplog.records) == 1
    assert "student's embedding: compiled loops" in caplog.text
    assert said in caplog.text


def test_a_network_that_only_evaluates_says_its_own_path_too():
    network = WaffleIronConfig(width=8, depth=2).build().for_inference(torch.bfloat16)
    said = network.path_taken(torch.device("cpu"), who="teacher large")
    assert said == "teacher large: compiled loops, products in bfloat16, with its norms folded"
