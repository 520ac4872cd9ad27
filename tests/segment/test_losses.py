import itertools

import pytest
import torch
import torch.nn.functional as F

from lidistill.segment import losses
from lidistill.segment.losses import _largest_first, cross_entropy_lovasz, lovasz_softmax


def jaccard_loss(wrong, truth):
    """1 - intersection over union when the points in ``wrong`` are predicted wrongly."""
    members = {i for i, is_member in enumerate(truth) if is_member}
    return 1 - len(members - wrong) / len(members | wrong)


def lovasz_by_definition(probability, labels):
    """Lovász extension, point by point in the order of their errors."""
    losses = []
    for c in sorted(set(labels.tolist())):
        truth = [label == c for label in labels.tolist()]
        errors = [
            1 - p if is_member else p
            for p, is_member in zip(probability[:, c].tolist(), truth, strict=True)
        ]
        order = sorted(range(len(errors)), key=lambda i, e=errors: -e[i])
        values = [jaccard_loss(set(order[:n]), truth) for n in range(len(order) + 1)]
        steps = [after - before for before, after in itertools.pairwise(values)]
        losses.append(sum(errors[i] * step for i, step in zip(order, steps, strict=True)))
    return sum(losses) / len(losses)


def test_lovasz_equals_its_definition():
    torch.manual_seed(0)
    logits, labels = torch.randn(20, 5).double(), torch.randint(4, (20,))
    expected = lovasz_by_definition(logits.softmax(1), labels)
    assert lovasz_softmax(logits, labels).item() == pytest.approx(expected)


def test_ignored_points_do_not_count():
    logits, labels = torch.randn(20, 5), torch.randint(4, (20,))
    padded = torch.cat([logits, torch.randn(6, 5)])
    with_ignored = torch.cat([labels, torch.full((6,), 255)])
    expected = cross_entropy_lovasz(logits, labels)
    torch.testing.assert_close(cross_entropy_lovasz(padded, with_ignored), expected)


def test_the_weights_of_both_parts_act():
    logits, labels = torch.randn(20, 5), torch.randint(5, (20,))
    plain = F.cross_entropy(logits, labels)
    torch.testing.assert_close(cross_entropy_lovasz(logits, labels, lovasz_weight=0), plain)
    both = cross_entropy_lovasz(logits, labels, lovasz_weight=2)
    torch.testing.assert_close(both, plain + 2 * lovasz_softmax(logits, labels))


@pytest.mark.parametrize("loss", [cross_entropy_lovasz, lovasz_softmax])
@pytest.mark.parametrize("count", [0, 3])
def test_where_every_point_is_ignored_the_loss_and_its_gradient_are_zero(loss, count):
    logits = torch.randn(count, 4, requires_grad=True)
    value = loss(logits, torch.full((count,), 255))
    value.backward()
    assert value.item() == 0
    assert torch.equal(logits.grad, torch.zeros(count, 4))


def test_errors_are_ordered_as_a_stable_sort_orders_them():
    torch.manual_seed(0)
    errors = torch.rand(3000, 7)
    errors[1::2] = errors[::2].clone()  # ties
    errors[:40] = 0
    errors[40:80] = 1
    errors[80] = float("nan")
    expected = torch.sort(errors, dim=0, descending=True, stable=True).indices
    assert torch.equal(_largest_first(errors), expected)
    assert torch.equal(_largest_first(errors.double()), expected)


def test_values_and_gradients_are_bit_for_bit_those_of_a_stable_sort(monkeypatch):
    torch.manual_seed(0)
    logits, labels = 3 * torch.randn(500, 6), torch.randint(6, (500,))
    logits[1::2] = logits[::2].clone()  # ties

    def values():
        leaf = logits.clone().requires_grad_()
        loss = cross_entropy_lovasz(leaf, labels)
        loss.backward()
        return loss.detach(), leaf.grad

    found = values()
    monkeypatch.setattr(
        losses, "_largest_first", lambda e: e.sort(dim=0, descending=True, stable=True).indices
    )
    assert all(torch.equal(a, b) for a, b in zip(found, values(), strict=True))
