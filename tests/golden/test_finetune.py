import pytest
import torch
from golden_cases import golden_files
from golden_networks import (
    ROUNDING,
    Case,
    build_net,
    channels_first,
    gradient_tolerance,
    official_gradients,
    official_tensors,
    padded_batch,
    read_case,
    relative,
)

from lidistill.labels import IGNORE
from lidistill.segment.losses import cross_entropy_lovasz

STORED = golden_files("finetune/*.safetensors")


def full_logits(net, case: Case) -> torch.Tensor:
    logits = channels_first(net["head"](net["backbone"](padded_batch(case))), case)
    parts = [scan[:, case.tensors[f"in.upsample.{i}"].long()].t() for i, scan in enumerate(logits)]
    return torch.cat(parts)


@pytest.mark.parametrize("file", STORED)
def test_validation_loss_and_accuracy_equal_the_reference(file):
    case = read_case(file)
    labels = case.tensors["in.labels"].long()
    with torch.no_grad():
        logits = full_logits(build_net(case).eval(), case)
    expected = case.facts["val"]
    assert cross_entropy_lovasz(logits, labels).item() == pytest.approx(expected["loss"], rel=1e-5)
    counts = labels != IGNORE
    accuracy = (logits.argmax(1) == labels)[counts].float().mean().item()
    assert 100 * accuracy == pytest.approx(expected["oAcc"], abs=1e-3)


@pytest.mark.parametrize("file", STORED)
def test_one_step_on_labels_equals_the_reference(file):
    case = read_case(file)
    net = build_net(case).train()
    if case.facts["linear_probing"]:
        net["backbone"].eval().requires_grad_(requires_grad=False)
    loss = cross_entropy_lovasz(full_logits(net, case), case.tensors["in.labels"].long())
    loss.backward()
    assert loss.item() == pytest.approx(case.facts["train"]["loss"], rel=1e-5)
    after = official_tensors(net)
    trained = official_gradients(net)
    stored = [key for key in case.tensors if key.startswith("train.grad.")]
    assert {key.removeprefix("train.grad.") for key in stored} == set(trained)
    for name, grad in trained.items():
        expected = case.tensors[f"train.grad.{name}"]
        if expected.norm() < ROUNDING:
            assert grad.norm() < ROUNDING, name
        else:
            assert relative(grad, expected) < gradient_tolerance(name, case.config["depth"]), name
    for key, expected in case.tensors.items():
        if key.startswith("train.buffer_after."):
            assert relative(after[key.removeprefix("train.buffer_after.")], expected) < 1e-5, key
