"""Attention within a band of columns: a query sees the keys of its row at most ``reach - 1`` columns away."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import DataError

MIN_BLOCK = 32  # queries that are worth a call of their own


def band_mask(width: int, reach: int, device: torch.device | None = None) -> Tensor:
    """Which key column a query column sees: ``|q - k| < reach``, boolean ``(width, width)``.

    Raises:
        DataError: ``reach`` is below 1, so that no key would be seen.

    Example:
        >>> band_mask(4, 2).int().tolist()
        [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    """
    _check_reach(reach)
    return _mask(0, width, 0, width, reach, device)


def band_attention_reference(
    query: Tensor, key: Tensor, value: Tensor, reach: int, scale: float = 1.0
) -> Tensor:
    """What :func:`band_attention` computes, by the whole ``(N, W, W)`` table of products."""
    logits = scale * query @ key.transpose(1, 2)  # (N, W, W)
    mask = band_mask(query.shape[1], reach, query.device)
    return logits.masked_fill(~mask, float("-inf")).softmax(dim=-1) @ value


def band_attention(
    query: Tensor, key: Tensor, value: Tensor, reach: int, scale: float = 1.0, dropout: float = 0.0
) -> Tensor:
    """Softmax attention of rows of ``W`` columns in which column q sees the columns k with ``|q - k| <
    reach``.

    Queries are taken in blocks that meet only the keys that one of them sees, through torch's
    ``scaled_dot_product_attention``, whose kernels keep no table of products either.

    Args:
        query, key: ``(N, W, C)``; N counts rows of images.
        value: ``(N, W, D)``.
        reach: columns that are seen to each side, the query's own included; at least 1.
        scale: of the products of queries and keys; none by default.
        dropout: probability that a weight becomes 0, the others growing by 1 / (1 - dropout).

    Returns:
        ``(N, W, D)``.

    Raises:
        DataError: ``reach`` is below 1.

    Example:
        >>> rows = torch.arange(3.0).reshape(1, 3, 1)
        >>> band_attention(torch.zeros(1, 3, 1), rows, rows, reach=2).flatten().tolist()
        [0.5, 1.0, 1.5]
    """
    _check_reach(reach)
    width = query.shape[1]
    size = _block_size(width, reach)
    outputs = []
    for start in range(0, width, size):
        stop = min(start + size, width)
        first, last = max(start - reach + 1, 0), min(stop + reach - 1, width)
        # a band that is as wide as the row hides nothing: a table of that would be the largest of all
        seen = None if reach >= width else _mask(start, stop, first, last, reach, query.device)
        outputs.append(
            F.scaled_dot_product_attention(
                query[:, None, start:stop],
                key[:, None, first:last],
                value[:, None, first:last],
                attn_mask=seen,
                dropout_p=dropout,
                scale=scale,
            )[:, 0]
        )
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)


def _block_size(width: int, reach: int) -> int:
    """Whole rows where blocks would save less than a fifth of the products; else blocks of about half a
    reach."""
    size = max(reach // 2, MIN_BLOCK)
    mean_keys = min(width, 2 * reach - 1 + size)
    return width if mean_keys > 0.8 * width else size


def _mask(start: int, stop: int, first: int, last: int, reach: int, device: torch.device | None) -> Tensor:
    """``(stop - start, last - first)``: which of the keys ``first:last`` the queries ``start:stop`` see."""
    queries = torch.arange(start, stop, device=device)[:, None]
    keys = torch.arange(first, last, device=device)[None]
    return (queries - keys).abs() < reach


def _check_reach(reach: int) -> None:
    if reach < 1:
        raise DataError(f"attention within a band needs a reach of at least 1 column, not {reach}")
