"""Sparse convolution as gathered rows, a product and a sum for each tap of the kernel.

Graham et al., "3D Semantic Segmentation with Submanifold Sparse Convolutional Networks", CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# tap of the kernel, rows that get a sum, rows that give to it; None for all rows in their order
Step = tuple[int, Tensor | None, Tensor | None]


class Rules:
    """Which rows of the input each tap of a kernel brings to which rows of the output.

    Args:
        steps: ``(tap, outputs, inputs)``, the rows int64 ``(P,)`` with no output twice within a step;
            ``None`` for both is the identity.
        num_outputs, num_inputs: rows.
    """

    def __init__(self, steps: Sequence[Step], num_outputs: int, num_inputs: int) -> None:
        self.steps = [step for step in steps if step[1] is None or len(step[1])]
        self.num_outputs, self.num_inputs = num_outputs, num_inputs

    def reversed(self) -> Rules:
        """Outputs and inputs exchanged: the rules of the inverse convolution."""
        return Rules([(t, i, o) for t, o, i in self.steps], self.num_inputs, self.num_outputs)


def sparse_conv(features: Tensor, weight: Tensor, rules: Rules) -> Tensor:
    """``out[o] = sum over (tap, o, i) of weight[:, tap] @ features[i]``.

    Rows are gathered again in the backward pass instead of being kept, so that a layer remembers its input
    alone.

    Args:
        features: ``(num_inputs, C)``.
        weight: ``(D, K, C)``, floating as ``features`` or under autocast.
        rules: of K taps.

    Returns:
        ``(num_outputs, D)``.

    Example:
        >>> shift = Rules([(0, torch.tensor([0]), torch.tensor([1]))], 2, 2)  # row 0 gets row 1
        >>> sparse_conv(torch.tensor([[1.0], [2.0]]), torch.full((1, 1, 1), 3.0), shift).tolist()
        [[6.0], [0.0]]
    """
    if torch.is_autocast_enabled(features.device.type):
        dtype = torch.get_autocast_dtype(features.device.type)
        features, weight = features.to(dtype), weight.to(dtype)
    return _SparseConv.apply(features, weight, rules)


class _SparseConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: Tensor, weight: Tensor, rules: Rules) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.rules = rules
        return _gathered(features, weight.permute(1, 2, 0), rules)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, weight = ctx.saved_tensors
        rules, of_features, of_weight = ctx.rules, None, None
        gradient = gradient.contiguous()
        if ctx.needs_input_grad[0]:
            of_features = _gathered(gradient, weight.transpose(0, 1), rules.reversed())
        if ctx.needs_input_grad[1]:
            of_weight = torch.zeros_like(weight)
            for tap, outputs, inputs in rules.steps:
                of_weight[:, tap] = _rows(gradient, outputs).t() @ _rows(features, inputs)
        return of_features, of_weight, None


def _gathered(values: Tensor, matrices: Tensor, rules: Rules) -> Tensor:
    """``(num_outputs, D)`` of values ``(num_inputs, C)`` and a matrix for each tap, ``(K, C, D)``."""
    total = values.new_zeros(rules.num_outputs, matrices.shape[2])
    for tap, outputs, inputs in rules.steps:
        product = _rows(values, inputs) @ matrices[tap]
        if outputs is None:
            total += product
        else:
            total.index_add_(0, outputs, product)
    return total


def _rows(values: Tensor, index: Tensor | None) -> Tensor:
    return values if index is None else values.index_select(0, index)
