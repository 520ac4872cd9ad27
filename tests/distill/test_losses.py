import pytest
import torch
import torch.nn.functional as F

from lidistill.distill.losses import cosine_distillation, distillation_distances


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
