import pytest
import torch
from golden_cases import golden_files, read_tensors

from lidistill.segment.losses import cross_entropy_lovasz, lovasz_softmax

STORED = golden_files("losses/*.safetensors")


def value_and_gradient(loss, logits):
    logits = logits.clone().requires_grad_()
    value = loss(logits)
    value.backward()
    return value.item(), logits.grad


@pytest.mark.parametrize("file", STORED)
@pytest.mark.parametrize(
    ("loss", "value_key", "grad_key"),
    [
        (
            lambda logits, labels: cross_entropy_lovasz(logits, labels, lovasz_weight=0),
            "loss_lovasz0",
            "grad_lovasz0",
        ),
        (cross_entropy_lovasz, "loss_lovasz1", "grad_lovasz1"),
        (lovasz_softmax, "lovasz_only", "lovasz_only_grad"),
    ],
    ids=["cross-entropy", "both", "lovasz"],
)
def test_segmentation_losses_and_gradients_equal_the_reference(file, loss, value_key, grad_key):
    tensors, _ = read_tensors(file)
    cases = {name.split(".")[0] for name in tensors}
    assert cases
    for case in cases:
        labels = tensors[f"{case}.labels"].long()
        value, grad = value_and_gradient(
            lambda logits, labels=labels: loss(logits, labels), tensors[f"{case}.logits"]
        )
        assert value == pytest.approx(tensors[f"{case}.{value_key}"].item(), rel=1e-5, abs=1e-7)
        torch.testing.assert_close(grad, tensors[f"{case}.{grad_key}"], rtol=1e-4, atol=1e-6)
