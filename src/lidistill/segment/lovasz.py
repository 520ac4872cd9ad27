"""The Lovász extension of the Jaccard loss: its definition in PyTorch, and compiled loops.

Shape letters: P points, C classes, T classes with a point.

References:
    Berman, Triki, Blaschko, "The Lovász-Softmax loss", CVPR 2018, equations 8 and 11.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from lidistill.compiled import compiled_exactly, compiling

_BITS: Final = 11
"""Of a key's upper half that one pass of the sort looks at."""
_PASSES: Final = 3
_DIGIT: Final = np.uint64((1 << _BITS) - 1)


def lovasz(probability_PC: Tensor, labels_P: Tensor) -> Tensor:
    """Scalar loss, mean over the classes that have a point.

    Args:
        probability_PC: Of each class.
        labels_P: int64 class of each point, every one of them below C.
    """
    on_cpu = probability_PC.device.type == "cpu" and probability_PC.dtype == torch.float32
    if on_cpu and compiling():
        return _CompiledLovasz.apply(probability_PC, labels_P)
    return lovasz_defined(probability_PC, labels_P)


def lovasz_defined(probability_PC: Tensor, labels_P: Tensor) -> Tensor:
    """See ``lovasz``; on any device."""
    present_T = torch.unique(labels_P)
    truth_PT = (labels_P[:, None] == present_T).to(probability_PC.dtype)
    error_PT = (truth_PT - probability_PC[:, present_T]).abs()
    order_PT = torch.sort(error_PT.detach(), dim=0, descending=True, stable=True).indices
    error_PT, truth_PT = error_PT.gather(0, order_PT), truth_PT.gather(0, order_PT)
    total_T = truth_PT.sum(0)
    intersection_PT = total_T - truth_PT.cumsum(0)
    union_PT = total_T + (1 - truth_PT).cumsum(0)
    jaccard_PT = 1 - intersection_PT / union_PT
    step_PT = torch.diff(jaccard_PT, dim=0, prepend=torch.zeros_like(jaccard_PT[:1]))
    return (error_PT * step_PT).sum(0).mean()


@compiled_exactly
def _sorted(keys_P: NDArray[np.uint64], spare_P: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Keys in the order of their upper halves, equal ones as they stand: a radix sort.

    Either array is what comes back, and the other is written, too.
    """
    starts = np.zeros((_PASSES, 1 << _BITS), np.int64)
    for key in keys_P:
        for i in range(_PASSES):
            starts[i, (key >> np.uint64(32 + _BITS * i)) & _DIGIT] += 1
    for i in range(_PASSES):
        start = 0
        for digit in range(1 << _BITS):
            count = starts[i, digit]
            starts[i, digit] = start
            start += count
        for key in keys_P:
            digit = (key >> np.uint64(32 + _BITS * i)) & _DIGIT
            spare_P[starts[i, digit]] = key
            starts[i, digit] += 1
        keys_P, spare_P = spare_P, keys_P
    return keys_P


@compiled_exactly
def _along_errors(
    probability_PC: NDArray[np.float32],
    labels_P: NDArray[np.int64],
    present_T: NDArray[np.int64],
    grad_CP: NDArray[np.float32],
) -> float:
    """Sum of the losses of all classes; the gradients of their mean are written, zeros kept."""
    one, num_points, loss = np.float32(1), len(labels_P), 0.0
    share = one / np.float32(len(present_T))
    keys_P, spare_P = np.empty(num_points, np.uint64), np.empty(num_points, np.uint64)
    for c in present_T:
        total = np.float32(0)
        for p in range(num_points):
            truth = np.float32(labels_P[p] == c)
            total += truth
            # An error is not negative, so that the order of its bits is its own.
            bits = np.float32(abs(truth - probability_PC[p, c])).view(np.uint32)
            keys_P[p] = (np.uint64(~bits) << np.uint64(32)) | np.uint64(p)
        inside, outside, before = np.float32(0), np.float32(0), np.float32(0)
        for key in _sorted(keys_P, spare_P):
            row = np.int64(key & np.uint64(0xFFFFFFFF))
            truth = np.float32(labels_P[row] == c)
            inside += truth
            outside += one - truth
            jaccard = one - (total - inside) / (total + outside)
            step, before = jaccard - before, jaccard
            difference = truth - probability_PC[row, c]
            loss += np.float64(abs(difference) * step)
            if difference > 0:
                grad_CP[c, row] = -share * step
            elif difference < 0:
                grad_CP[c, row] = share * step
    return loss


class _CompiledLovasz(torch.autograd.Function):
    """One walk along the sorted errors gives the loss and its gradients."""

    @staticmethod
    def forward(ctx: FunctionCtx, probability: Tensor, labels: Tensor) -> Tensor:
        counts = torch.bincount(labels, minlength=probability.shape[1])
        if len(counts) > probability.shape[1]:
            msg = f"a label is {len(counts) - 1}, but there are {probability.shape[1]} classes"
            raise IndexError(msg)
        present = counts.nonzero()[:, 0].numpy()
        arrays = probability.detach().contiguous().numpy(), labels.contiguous().numpy(), present
        grad = torch.zeros(probability.shape[1], len(labels))
        loss = _along_errors(*arrays, grad.numpy()) / len(present)
        ctx.save_for_backward(grad)
        return probability.new_tensor(loss)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, above: Tensor) -> tuple[Tensor, None]:
        (grad,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return (grad * above).t(), None
