import itertools

import pytest
import torch
import torch.nn.functional as F

from lidistill.compiled import SWITCH
from lidistill.segment.losses import cross_entropy_lovasz, lovasz_softmax
from lidistill.segment.lovasz import lovasz, lovasz_defined


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


def tied(count, classes):
    """Logits with equal pairs, some of them certain, and labels."""
    torch.manual_seed(0)
    logits, labels = 3 * torch.randn(count, classes), torch.randint(classes - 1, (count,))
    logits[1::2] = logits[::2].clone()
    logits[: count // 10] = 100 * F.one_hot(labels[: count // 10], classes)
    logits[count // 10 : count // 5, 0] = 200
    return logits, labels


@pytest.mark.parametrize("count", [1, 2, 30, 3000])
def test_compiled_loops_give_the_definition_and_bit_for_bit_its_gradient(count):
    logits, labels = tied(count, 7)
    found, expected = [logits.softmax(1).requires_grad_() for _ in range(2)]
    loss, defined = lovasz(found, labels), lovasz_defined(expected, labels)
    torch.testing.assert_close(loss, defined, rtol=3e-7, atol=1e-7)
    (loss * 1).backward()
    defined.backward()
    assert torch.equal(found.grad, expected.grad)


def test_a_probability_that_is_no_number_comes_first_as_in_a_stable_sort():
    probability, labels = torch.rand(40, 3), torch.arange(40) % 3
    probability[20] = float("nan")
    found, expected = [probability.clone().requires_grad_() for _ in range(2)]
    loss = lovasz(found, labels)
    loss.backward()
    lovasz_defined(expected, labels).backward()
    assert loss.isnan()
    rest = torch.arange(40) != 20
    assert torch.equal(found.grad[rest], expected.grad[rest])


def test_without_compiled_loops_the_definition_runs(monkeypatch):
    logits, labels = tied(300, 5)
    expected = lovasz_softmax(logits, labels)
    monkeypatch.setenv(SWITCH, "0")
    torch.testing.assert_close(lovasz_softmax(logits, labels), expected)


def test_a_label_beyond_the_classes_is_named():
    with pytest.raises(IndexError, match="label is 3, but there are 3 classes"):
        lovasz_softmax(torch.rand(2, 3), torch.tensor([0, 3]))
