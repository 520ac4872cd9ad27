import dataclasses
import logging

import pytest
import torch

from lidistill.backbones.waffleiron import edge_max, fast_paths
from lidistill.backbones.waffleiron.cpu.fused_layer import COMPILED
from lidistill.backbones.waffleiron.gpu import proof
from lidistill.backbones.waffleiron.gpu.proof import Family, Trial, trusted

CPU = torch.device("cpu")


def family(*results, error=None):
    """Kernels whose trials give these numbers where ones are right."""

    def trials(device, dtype):
        for result in results:
            yield Trial("the sum", torch.tensor(result, device=device), torch.ones(3), 1e-4)
        if error is not None:
            raise error

    return Family(name="fake", trials=trials)


def warnings_of(caplog, *arguments):
    with caplog.at_level(logging.WARNING):
        verdicts = [trusted(*arguments) for _ in range(3)]
    assert len(set(verdicts)) == 1
    return verdicts[0], [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("results", [[[1.0, 1, 1]], [[1.0, 1, 1], [1.00001, 1, 1]]])
def test_kernels_that_are_right_but_for_rounding_are_trusted_without_a_word(results, caplog):
    assert warnings_of(caplog, family(*results), CPU) == (True, [])


@pytest.mark.parametrize(
    ("fake", "said"),
    [
        (family([1.0, 1, 1], [1.0, 1.1, 1]), "the sum differs from the definition by 0.058"),
        (family([1.0, float("nan"), 1]), "the sum differs from the definition by nan"),
        (family([1.0, 1, 1, 1]), r"the sum has shape (4,), not (3,)"),
        (family(error=ValueError("no such tile\nat line 3")), "ValueError no such tile. Their"),
        (family([1.0, 1, 1], error=KeyError("sm_90")), "KeyError 'sm_90'. Their"),
    ],
    ids=["wrong", "nan", "shape", "compiler", "late"],
)
def test_kernels_that_are_wrong_or_raise_are_switched_off_with_one_warning(fake, said, caplog):
    trust, messages = warnings_of(caplog, fake, CPU, torch.bfloat16)
    assert not trust
    assert len(messages) == 1
    assert said in messages[0]
    assert messages[0].startswith("The fast kernels of the fake are switched off on cpu with ")
    assert "bfloat16" in messages[0]


def test_every_number_format_is_tried_by_itself():
    tried = []

    def trials(device, dtype):
        tried.append(dtype)
        yield Trial("", torch.ones(1), torch.ones(1) * (dtype == torch.float32), 1e-4)

    one = Family(name="one format", trials=trials)
    assert [trusted(one, CPU, d) for d in (torch.float32, torch.float16) * 2] == [True, False] * 2
    assert tried == [torch.float32, torch.float16]


def test_a_trial_is_out_of_reach_of_what_the_caller_does_to_autograd():
    seen = []

    def trials(device, dtype):
        leaf = torch.ones(2, requires_grad=True)
        yield Trial("gradient", torch.autograd.grad((leaf**2).sum(), leaf)[0], 2 * torch.ones(2), 0)

    def hook(tensor):
        seen.append(tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(hook, lambda tensor: tensor)
    with torch.inference_mode(), torch.autocast("cpu"), hooks:
        assert trusted(Family(name="hooked", trials=trials), CPU)
    assert not seen


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_right_layer_passes_and_a_wrong_pass_is_found(dtype, caplog):
    def layer(name, passes):
        return Family(name=name, trials=lambda *where: proof.trials_of_passes(passes, *where))

    def wrong(tokens, plane, form):
        return COMPILED.flatten_normed(tokens, plane, form) * 1.2

    broken = dataclasses.replace(COMPILED, flatten_normed=wrong)
    assert trusted(layer("right", COMPILED), CPU, dtype)
    assert not caplog.records
    assert not trusted(layer("broken", broken), CPU, dtype)
    assert "of the broken are switched off" in caplog.text


def test_the_search_for_neighbours_proves_itself():
    assert trusted(proof.NEIGHBORS, CPU)


@pytest.mark.parametrize("proven", [True, False])
def test_a_gpu_runs_proven_kernels_only(proven, monkeypatch):
    monkeypatch.setattr(fast_paths, "triton_installed", lambda: True)
    monkeypatch.setattr(fast_paths, "trusted", lambda *_: proven)
    assert fast_paths.kernels_run(proof.LAYER, CPU, torch.float32) is proven


def test_kernels_that_fail_leave_the_definition(monkeypatch, caplog):
    """On a pretended GPU: Triton is not there, so that its import is what fails."""

    class Pretended:
        type = "cuda"

    tokens = type("Tokens", (), {"dtype": torch.float32, "device": CPU})()
    monkeypatch.setattr(fast_paths, "triton_installed", lambda: True)
    failing = family(error=ImportError("no module"))
    monkeypatch.setattr(fast_paths, "LAYER", failing)
    tokens.device = Pretended()
    assert fast_paths.passes_for(tokens) is None
    assert "ImportError no module" in caplog.text
    monkeypatch.setattr(edge_max, "EDGES", failing)
    edges = type("Edges", (), {"dtype": torch.float32, "device": tokens.device, "shape": (4, 5, 6)})
    monkeypatch.setattr(edges, "__len__", lambda _: 4, raising=False)
    assert edge_max._path_for(edges(), torch.float32) is edge_max.plain_edge_max
