"""Alpha compositing of samples along rays (Max, "Optical Models for Direct Volume Rendering", 1995).

With straight colours c_i and opacities a_i of samples i = 0 .. S-1 from the eye on::

    T_0 = 1,  T_{i+1} = T_i (1 - a_i)        what is left of the light behind sample i
    w_i = T_i a_i                            how much sample i is seen
    C   = sum_i w_i c_i + T_S background     premultiplied colour

A medium of extinction s (1 / length) has the opacity ``1 - exp(-s d)`` over a length d. Radiance fields and
volumes of scalars are composited by the same function; depths are composited as one more colour.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dense3d.ops.dispatch import register_backend, select_backend


class Composited(NamedTuple):
    """What :func:`composite` gives for rays of any batch shape ``(...)`` with S samples and C channels."""

    values: Tensor  # (..., C), premultiplied; the background is in it
    weights: Tensor  # (..., S), how much each sample is seen
    transmittance: Tensor  # (...), the share of the light from behind the last sample

    @property
    def opacity(self) -> Tensor:
        """``(...)``: the sum of the weights."""
        return 1 - self.transmittance

    def depth(self, distances: Tensor) -> Tensor:
        """``(...)``: mean distance of what is seen, weighted; infinite where nothing is.

        Args:
            distances: (..., S) along the ray, in any unit.
        """
        total = self.weights.sum(-1)
        mean = (self.weights * distances).sum(-1) / torch.where(total > 0, total, 1)
        return torch.where(total > 0, mean, torch.inf)


def alpha_from_extinction(extinction: Tensor, lengths: Tensor | float) -> Tensor:
    """Opacity ``1 - exp(-extinction * length)`` of segments of a medium.

    Args:
        extinction: (...), 1 / length, not negative.
        lengths: broadcastable, lengths of the segments.

    Example:
        >>> alpha_from_extinction(torch.tensor([0.0, 2.0]), 0.5)
        tensor([0.0000, 0.6321])
    """
    return -torch.expm1(-extinction * lengths)


def corrected_alpha(alpha: Tensor, length: Tensor | float, reference: float) -> Tensor:
    """Opacity over ``length`` of what has the opacity ``alpha`` over ``reference``: 1 - (1 - a)^(l / r).

    Args:
        alpha: (...) in 0 .. 1.
        length: length of the segments, in the unit of ``reference``.
        reference: length that the opacities were chosen for, positive.

    Example:
        >>> corrected_alpha(torch.tensor([0.75]), 0.5, reference=1.0)
        tensor([0.5000])
    """
    return 1 - (1 - alpha) ** (length / reference)


def composite(
    values: Tensor,
    alpha: Tensor,
    background: Tensor | None = None,
    min_transmittance: float = 0.0,
    *,
    backend: str | None = None,
) -> Composited:
    """Composite the samples of rays, the first sample nearest to the eye.

    Args:
        values: (..., S, C) straight colours or other features of the samples.
        alpha: (..., S) their opacities, 0 .. 1; see :func:`alpha_from_extinction`.
        background: (C,) or (..., C), seen through what is left; black unless given.
        min_transmittance: samples before which less light than this is left count nothing, nor do those
            behind them (early termination).
        backend: take this implementation: ``"numba"`` or ``"reference"``.

    Returns:
        colours, weights and transmittance. Differentiates with respect to ``values``, ``alpha`` and
        ``background``; the gradient of the numba path is not itself differentiable.

    Raises:
        ValueError: shapes do not fit.

    Example:
        >>> red_then_blue = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
        >>> result = composite(red_then_blue, torch.tensor([[0.25, 1.0]]))
        >>> result.values, result.opacity
        (tensor([[0.2500, 0.0000, 0.7500]]), tensor([1.]))
    """
    if values.shape[:-1] != alpha.shape:
        raise ValueError(
            f"composite needs one opacity a sample: values {tuple(values.shape)} have "
            f"{tuple(values.shape[:-1])} samples and alpha is {tuple(alpha.shape)}"
        )
    chosen = select_backend("composite", values.device.type, backend)
    return chosen.implementation(values, alpha, background, min_transmittance)


def composite_reference(
    values: Tensor, alpha: Tensor, background: Tensor | None = None, min_transmittance: float = 0.0
) -> Composited:
    """:func:`composite` in torch on any device: it defines the result, and differentiates twice."""
    before = transmittance(alpha)[..., :-1]
    alpha = torch.where(before < min_transmittance, 0, alpha)
    weights = before * alpha
    left = (1 - alpha).prod(-1)
    total = (weights[..., None] * values).sum(-2)
    return Composited(total if background is None else total + left[..., None] * background, weights, left)


def transmittance(alpha: Tensor) -> Tensor:
    """``(..., S + 1)``: the light left before each of the samples of opacity ``alpha`` and behind the last.

    Example:
        >>> transmittance(torch.tensor([0.5, 0.5]))
        tensor([1.0000, 0.5000, 0.2500])
    """
    start = torch.ones_like(alpha[..., :1]) if alpha.shape[-1] else alpha.new_ones(*alpha.shape[:-1], 1)
    return torch.cat([start, (1 - alpha).cumprod(-1)], -1)


class _Composite(torch.autograd.Function):
    """The numba kernels; arrays (R, S, C), (R, S), (R, C)."""

    @staticmethod
    def forward(ctx, values, alpha, background, min_transmittance):
        from dense3d.ops.volume_rendering_cpu import composite_forward

        ctx.save_for_backward(values, alpha, background)
        ctx.min_transmittance = min_transmittance
        return composite_forward(values, alpha, background, min_transmittance)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_values, grad_weights, grad_left):
        from dense3d.ops.volume_rendering_cpu import composite_backward

        grads = grad_values, grad_weights, grad_left
        return *composite_backward(*ctx.saved_tensors, ctx.min_transmittance, *grads), None


def _composite_numba(values, alpha, background, min_transmittance) -> Composited:
    batch, (samples, channels) = alpha.shape[:-1], values.shape[-2:]
    dtype = torch.promote_types(values.dtype, alpha.dtype)
    dtype = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    if background is None:
        background = values.new_zeros(channels)
    rays = math.prod(batch)
    background = background.to(dtype).expand(*batch, channels).reshape(rays, channels)
    flat = values.to(dtype).reshape(rays, samples, channels), alpha.to(dtype).reshape(rays, samples)
    total, weights, left = _Composite.apply(*flat, background, float(min_transmittance))
    result_dtype = values.dtype if values.is_floating_point() else dtype
    parts = total.reshape(*batch, channels), weights.reshape(alpha.shape), left.reshape(batch)
    return Composited(*(part.to(result_dtype) for part in parts))


def numba_unavailable() -> str | None:
    """Why the compiled kernels cannot be used; None where they can."""
    try:
        import dense3d.ops.volume_rendering_kernels  # noqa: F401
    except Exception as error:  # numba checks its NumPy and its LLVM at import, with errors of many types
        return f"numba cannot be imported ({error})"
    return None


register_backend(
    "composite", "numba", device="cpu", implementation=_composite_numba, available=numba_unavailable
)
register_backend("composite", "reference", implementation=composite_reference)
