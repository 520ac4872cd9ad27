import itertools

import pytest
import torch
import torch.nn.functional as F

from lidistill.distill.losses import (
    cosine_distillation,
    cross_entropy_lovasz,
    distillation_distances,
    lovasz_softmax,
)


def test_the_distance_is_that_of_unit_vectors():
    student = torch.tensor([[3.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])
    teacher = torch.tensor([[9.0, 0.0], [5.0, 0.0], [4.0, 0.0]])
    found = distillation_distances(student, teacher)
    torch.testing.assert_close(found, torch.tensor([0.0, 2**0.5, 2.0]))
    assert cosine_distillation(student, teacher).item() == pytest.approx((2**0.5 + 2) / 3)


def test_the_loss_equals_the_root_of_twice_one_minus_the_cosine():
    student, teacher = torch.randn(50, 8).double(), torch.randn(50, 8).double()
    cosine = F.cosine_similarity(student, teacher)
    expected = (2 - 2 * cosine).sqrt().mean()
    torch.testing.assert_close(cosine_distillation(student, teacher), expected)


def test_gradients_are_exact_and_do_not_reach_the_teacher():
    student = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda s: cosine_distillation(s, teacher.detach()), student)
    cosine_distillation(student, teacher).backward()
    assert teacher.grad is None


@pytest.mark.parametrize("student", [[1.0, 2.0, 2.0], [0.0, 0.0, 0.0], [1e-30, 0, 0]])
@pytest.mark.parametrize("teacher", [[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
def test_equal_and_zero_vectors_have_small_finite_gradients(student, teacher):
    x = torch.tensor([student], requires_grad=True)
    loss = cosine_distillation(x, torch.tensor([teacher]))
    loss.backward()
    assert loss.isfinite()
    assert x.grad.norm() < 1


def test_low_precision_features_are_compared_in_float32():
    student, teacher = torch.randn(9, 4), torch.randn(9, 4)
    low = distillation_distances(student.bfloat16(), teacher.half())
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, distillation_distances(student, teacher), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("shapes", [((0, 4), (0, 4)), ((3, 4), (3, 5)), ((3, 4), (2, 4))])
def test_nothing_to_compare_is_an_error(shapes):
    with pytest.raises(ValueError, match="at least one pair"):
        cosine_distillation(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


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
