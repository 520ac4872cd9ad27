"""In which arithmetic a teacher computes where its recipe says auto."""

from pathlib import Path

import pytest
import torch
from fakes.teachers import write_pyramid

from lidistill.recipes import load_recipe
from lidistill.teachers import PyramidTeacherConfig, VitTeacherConfig
from lidistill.teachers.precision import for_run

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(params=[True, False], ids=["GPU with bf16", "older GPU"])
def has_bf16(request, monkeypatch):
    def supported(*, including_emulation=True):
        return including_emulation or request.param

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    return request.param


@pytest.mark.parametrize("run", ["fp32", "bf16", "fp16"])
def test_auto_is_exact_on_a_processor_and_follows_the_run_on_a_gpu(has_bf16, run):
    for config in (PyramidTeacherConfig(precision="auto"), VitTeacherConfig(precision="auto")):
        assert for_run(config, CPU, run) == config.model_copy(update={"precision": "fp32"})
        wanted = "bf16" if has_bf16 and run != "fp32" else "fp32"
        assert for_run(config, GPU, run).precision == wanted


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_that_is_given_stays(precision):
    config = PyramidTeacherConfig(precision=precision)
    assert for_run(config, CPU, "fp16") is config
    assert for_run(config, GPU, "fp16") is config


@pytest.mark.parametrize("recipe", ["pretrain/scalr", "pretrain/scalr-plus", "pretrain/nuscenes"])
def test_the_papers_recipes_leave_it_to_the_device(recipe):
    assert load_recipe(recipe).teacher.precision == "auto"


def test_a_teacher_without_a_run_is_exact_and_its_features_are_cached_as_such(tmp_path: Path):
    pytest.importorskip("efficientnet_lite_pytorch")
    weights = write_pyramid(tmp_path / "weights.pth")
    auto, exact, low = (
        PyramidTeacherConfig(weights=weights, precision=one).build()
        for one in ("auto", "fp32", "bf16")
    )
    image = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    levels = zip(auto.maps(image).levels, exact.maps(image).levels, strict=True)
    assert all(torch.equal(a, b) for a, b in levels)
    assert auto.name == exact.name != low.name
    assert "fp32" in auto.path_taken(CPU)
