"""Attention with an additive bias of the logits, such as relative positions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHORT = 64  # keys; on a CPU, fewer are quicker in plain operations than in the fused kernel


def biased_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """``softmax(scale * query @ key.T + bias) @ value``.

    On PyTorch's fused kernels, except on a CPU for windows of a few tokens and for a bias that learns: there
    is none for it, and PyTorch's way around computes everything in float32.

    Args:
        query, key, value: ``(B, heads, N, C)``.
        bias: of shape ``(B or 1, heads or 1, N or 1, N)``, or a mask that is True where keys take part.
        dropout: share of the weights that are dropped.
        scale: of the products; ``C ** -0.5`` unless given.

    Example:
        >>> x = torch.eye(2)[None, None]
        >>> apart = torch.tensor([[0.0, -1e4], [-1e4, 0.0]], requires_grad=True)[None, None]
        >>> biased_attention(x, x, x, apart).tolist()
        [[[[1.0, 0.0], [0.0, 1.0]]]]
    """
    if query.device.type != "cpu" or bias is None or not _plain(key, bias):
        bias = bias.to(query.dtype) if bias is not None and bias.is_floating_point() else bias
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=dropout, scale=scale
        )
    query = query * (query.shape[-1] ** -0.5 if scale is None else scale)
    weights = (query @ key.transpose(-2, -1) + bias.to(query.dtype)).softmax(-1)
    return F.dropout(weights, dropout) @ value


def _plain(key: Tensor, bias: Tensor) -> bool:
    """Whether plain operations are the better way on a CPU."""
    learns = bias.requires_grad and torch.is_grad_enabled()
    return bias.is_floating_point() and (learns or key.shape[-2] <= SHORT)
