"""Masks of point-wise spatial attention (Zhao et al., "PSANet", ECCV 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.ops.dispatch import register_backend

PSA_TYPES = ("collect", "distribute")


def psa_mask(x: Tensor, psa_type: str, mask_size: tuple[int, int]) -> Tensor:
    """Attention between all pairs of positions, from one mask around each position.

    Args:
        x: ``(B, mh * mw, H, W)``: at every position the weights of the positions around it.
        psa_type: ``"collect"``: a position receives by its own mask; ``"distribute"``: it gives by it.
        mask_size: ``(mh, mw)``, odd.

    Returns:
        ``(B, H * W, H, W)``: with ``"collect"`` at channel p and position q the weight of p for q, with
        ``"distribute"`` the weight of q for p; zero where p lies outside of q's mask.

    Raises:
        ValueError: ``psa_type`` is another word, or the number of channels is another.

    Example:
        >>> x = torch.arange(6.0).reshape(1, 3, 1, 2)  # masks of 1 x 3 at two positions
        >>> psa_mask(x, "collect", (1, 3)).flatten(1, 2)[0].tolist()
        [[2.0, 1.0], [4.0, 3.0]]
    """
    if psa_type not in PSA_TYPES:
        raise ValueError(f"psa_type must be one of {PSA_TYPES}, not {psa_type!r}")
    (mask_h, mask_w), (height, width) = mask_size, x.shape[2:]
    if x.shape[1] != mask_h * mask_w:
        raise ValueError(
            f"x has {x.shape[1]} channels, a mask of {mask_h} x {mask_w} needs {mask_h * mask_w}"
        )
    down = _differences(height, x.device)[:, None, :, None] + (mask_h - 1) // 2  # (H, 1, H, 1)
    right = _differences(width, x.device)[None, :, None, :] + (mask_w - 1) // 2  # (1, W, 1, W)
    inside = (down >= 0) & (down < mask_h) & (right >= 0) & (right < mask_w)
    channel = (down * mask_w + right).where(inside, 0)  # (H, W, H, W): other position, own position
    index = channel.flatten(0, 1).expand(len(x), -1, -1, -1)
    attention = x.gather(1, index) * inside.flatten(0, 1)
    if psa_type == "distribute":
        attention = attention.flatten(2).transpose(1, 2).reshape(attention.shape).contiguous()
    return attention


def _differences(size: int, device: torch.device) -> Tensor:
    """``other - own`` for all pairs of positions ``(size, size)``."""
    positions = torch.arange(size, device=device)
    return positions[:, None] - positions[None]


register_backend("psa_mask", "torch", implementation=psa_mask)
