"""Sparse convolution: for each tap of the kernel rows are gathered, multiplied and added up.

Graham et al., "3D Semantic Segmentation with Submanifold Sparse Convolutional Networks", CVPR 2018.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from dense3d.errors import DataError
from dense3d.ops.dispatch import register_backend, select_backend

# tap of the kernel, rows that get a sum, rows that give to it; None for all rows in their order
Step = tuple[int, Tensor | None, Tensor | None]


MANY = 1 << 22  # values of a step's rows, above which a processor takes tap after tap


@dataclass(frozen=True, eq=False)
class JoinedSteps:
    """All pairs of a convolution, tap after tap.

    Attributes:
        taps: of each step.
        counts: pairs of each step.
        outputs, inputs: ``(P,)`` int64, rows of the pairs.
        order: ``(P,)`` int64, the pairs by their outputs.
        starts: ``(num_outputs,)`` int64, where those of each output start in ``order``.
    """

    taps: list[int]
    counts: list[int]
    outputs: Tensor
    inputs: Tensor
    order: Tensor
    starts: Tensor


class ConvRules:
    """Which rows of the input each tap of a kernel brings to which rows of the output.

    Args:
        steps: ``(tap, outputs, inputs)``, the rows int64 ``(P,)`` with no output twice within a step;
            ``None`` for both is the identity.
        num_outputs, num_inputs: rows.

    Example:
        >>> shift = ConvRules([(0, torch.tensor([0]), torch.tensor([1]))], num_outputs=2, num_inputs=2)
        >>> shift.reversed().steps
        [(0, tensor([1]), tensor([0]))]
    """

    def __init__(self, steps: Sequence[Step], num_outputs: int, num_inputs: int) -> None:
        self.steps = [step for step in steps if step[1] is None or len(step[1])]
        self.num_outputs, self.num_inputs = num_outputs, num_inputs

    @cached_property
    def _reversed(self) -> ConvRules:
        return ConvRules([(t, i, o) for t, o, i in self.steps], self.num_inputs, self.num_outputs)

    def reversed(self) -> ConvRules:
        """Outputs and inputs exchanged: the rules of the transposed convolution."""
        return self._reversed

    @cached_property
    def num_pairs(self) -> int:
        """Pairs of all taps."""
        return sum(self.num_inputs if outputs is None else len(outputs) for _, outputs, _ in self.steps)

    @cached_property
    def joined(self) -> JoinedSteps:
        """All steps in one; there is at least one pair."""
        device = next((outputs.device for _, outputs, _ in self.steps if outputs is not None), None)
        rows = torch.arange(self.num_inputs, device=device)
        pairs = [(rows, rows) if o is None else (o, i) for _, o, i in self.steps]
        outputs, inputs = (torch.cat(side) for side in zip(*pairs))
        numbers = outputs.bincount(minlength=self.num_outputs)
        return JoinedSteps(
            [tap for tap, _, _ in self.steps],
            [len(side) for side, _ in pairs],
            outputs,
            inputs,
            outputs.argsort(stable=True),
            numbers.cumsum(0) - numbers,
        )

    @cached_property
    def table(self) -> tuple[Tensor, Tensor]:
        """Inputs and outputs int32 ``(2, K, P)``, -1 behind the last pair, and int32 ``(K,)`` pairs of each
        tap up to the last that has one: the form that spconv takes."""
        device = next((outputs.device for _, outputs, _ in self.steps if outputs is not None), None)
        rows = torch.arange(self.num_inputs, dtype=torch.int32, device=device)
        pairs = {t: (rows, rows) if o is None else (i.int(), o.int()) for t, o, i in self.steps}
        taps = max(pairs, default=-1) + 1
        counts = torch.tensor([len(pairs[t][0]) if t in pairs else 0 for t in range(taps)], dtype=torch.int32)
        longest = int(counts.max()) if taps else 0
        found = torch.full((2, taps, longest), -1, dtype=torch.int32, device=device)
        for tap, pair in pairs.items():
            for side, index in enumerate(pair):
                found[side, tap, : len(index)] = index
        return found, counts


def sparse_conv(features: Tensor, weight: Tensor, rules: ConvRules, backend: str | None = None) -> Tensor:
    """``out[o] = sum over (tap, o, i) of weight[:, tap] @ features[i]``.

    On CUDA it runs in spconv where that is installed. Otherwise rows are gathered again in the backward pass
    instead of being kept, so that a layer remembers its input alone. Under autocast it computes in the lower
    precision.

    Args:
        features: ``(num_inputs, C)``.
        weight: ``(D, K, C)``.
        rules: of at most K taps.
        backend: take this implementation: ``"torch"``, ``"spconv"`` or ``"reference"``.

    Returns:
        ``(num_outputs, D)``, differentiable once.

    Raises:
        DataError: the features are not one row an input, or their channels are not the weight's.

    Example:
        >>> shift = ConvRules([(0, torch.tensor([0]), torch.tensor([1]))], 2, 2)  # row 0 gets row 1
        >>> sparse_conv(torch.tensor([[1.0], [2.0]]), torch.full((1, 1, 1), 3.0), shift).tolist()
        [[6.0], [0.0]]
    """
    if features.shape != (rules.num_inputs, weight.shape[2]):
        raise DataError(
            f"this convolution takes features ({rules.num_inputs}, {weight.shape[2]}), not "
            f"{tuple(features.shape)}"
        )
    device = features.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        features, weight = features.to(dtype), weight.to(dtype)
    return select_backend("sparse_conv", device, backend).implementation(features, weight, rules)


def sparse_conv_reference(features: Tensor, weight: Tensor, rules: ConvRules) -> Tensor:
    """The definition of :func:`sparse_conv`, tap by tap.

    Example:
        >>> same = ConvRules([(0, None, None)], 2, 2)
        >>> sparse_conv_reference(torch.tensor([[1.0], [2.0]]), torch.full((1, 1, 1), 3.0), same).tolist()
        [[3.0], [6.0]]
    """
    total = features.new_zeros(rules.num_outputs, len(weight))
    for tap, outputs, inputs in rules.steps:
        product = _rows(features, inputs) @ weight[:, tap].t()
        total = total + product if outputs is None else total.index_add(0, outputs, product)
    return total


class _SparseConv(torch.autograd.Function):
    """Gradients of a convolution that ``forward(features, weight, rules)`` computes."""

    @staticmethod
    def forward(ctx, features: Tensor, weight: Tensor, rules: ConvRules, convolve: Callable) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.rules = rules
        return convolve(features, weight, rules)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight = ctx.saved_tensors
        rules, of_features, of_weight = ctx.rules, None, None
        gradient = gradient.contiguous()
        if ctx.needs_input_grad[0]:
            of_features = _gathered(gradient, weight.transpose(0, 1), rules.reversed())
        if ctx.needs_input_grad[1] and _few(features, len(weight), rules):
            of_weight = _weight_gradient(features, gradient, weight, rules.joined)
        elif ctx.needs_input_grad[1]:
            of_weight = torch.zeros_like(weight)
            for tap, outputs, inputs in rules.steps:
                of_weight[:, tap] = _rows(gradient, outputs).t() @ _rows(features, inputs)
        return of_features, of_weight, None, None


def _gathered(values: Tensor, matrices: Tensor, rules: ConvRules) -> Tensor:
    """``(num_outputs, D)`` of values ``(num_inputs, C)`` and a matrix for each tap, ``(K, C, D)``."""
    if _few(values, matrices.shape[2], rules):
        return _gathered_at_once(values, matrices, rules.joined)
    total = values.new_zeros(rules.num_outputs, matrices.shape[2])
    for tap, outputs, inputs in rules.steps:
        product = _rows(values, inputs) @ matrices[tap]
        if outputs is None:
            total += product
        else:
            total.index_add_(0, outputs, product)
    return total


def _few(values: Tensor, channels: int, rules: ConvRules) -> bool:
    """Whether a processor, which loses time on many small steps, has memory for all rows at once."""
    return values.device.type == "cpu" and 0 < rules.num_pairs * max(values.shape[1], channels) <= MANY


def _gathered_at_once(values: Tensor, matrices: Tensor, joined: JoinedSteps) -> Tensor:
    """:func:`_gathered` with the rows of all taps side by side."""
    rows = values.index_select(0, joined.inputs)  # (P, C)
    products = values.new_empty(len(rows), matrices.shape[2])
    for tap, some, out in zip(joined.taps, rows.split(joined.counts), products.split(joined.counts)):
        torch.mm(some, matrices[tap], out=out)
    return F.embedding_bag(joined.order, products, joined.starts, mode="sum")


def _weight_gradient(features: Tensor, gradient: Tensor, weight: Tensor, joined: JoinedSteps) -> Tensor:
    """``(D, K, C)`` like the weight."""
    of_taps = weight.new_zeros(weight.shape[1], weight.shape[0], weight.shape[2])
    given = gradient.index_select(0, joined.outputs).split(joined.counts)
    taken = features.index_select(0, joined.inputs).split(joined.counts)
    for tap, some, others in zip(joined.taps, given, taken):
        torch.mm(some.t(), others, out=of_taps[tap])
    return of_taps.transpose(0, 1)


def _rows(values: Tensor, index: Tensor | None) -> Tensor:
    return values if index is None else values.index_select(0, index)


def _spconv_unavailable() -> str | None:
    """Why spconv cannot be used; None where it can."""
    try:
        importlib.import_module("spconv.pytorch.functional")
    except Exception as error:  # it loads compiled code, which fails with errors of many types
        return f"spconv cannot be imported ({type(error).__name__})"
    return None


def _by_torch(features: Tensor, weight: Tensor, rules: ConvRules) -> Tensor:
    return _SparseConv.apply(features, weight, rules, _forward_by_torch)


def _by_spconv(features: Tensor, weight: Tensor, rules: ConvRules) -> Tensor:
    return _SparseConv.apply(features, weight, rules, _forward_by_spconv)


def _forward_by_torch(features: Tensor, weight: Tensor, rules: ConvRules) -> Tensor:
    return _gathered(features, weight.permute(1, 2, 0), rules)


def _forward_by_spconv(features: Tensor, weight: Tensor, rules: ConvRules) -> Tensor:
    """By its native algorithm, which takes such rules; its backward pass would need a GPU."""
    from spconv.core import ConvAlgo
    from spconv.pytorch.functional import indice_conv

    pairs, counts = (part.to(features.device) for part in rules.table)
    if not pairs.numel():
        return features.new_zeros(rules.num_outputs, len(weight))
    filters = weight[:, : len(counts), None, None].contiguous()  # (D, K, 1, 1, C)
    return indice_conv(features.contiguous(), filters, pairs, counts, rules.num_outputs, ConvAlgo.Native)


register_backend(
    "sparse_conv", "spconv", device="cuda", implementation=_by_spconv, available=_spconv_unavailable
)
register_backend("sparse_conv", "torch", implementation=_by_torch)
register_backend("sparse_conv", "reference", implementation=sparse_conv_reference)
register_backend(
    "sparse_conv", "spconv", device="cpu", implementation=_by_spconv, available=_spconv_unavailable
)
