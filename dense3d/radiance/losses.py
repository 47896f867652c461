"""The photometric loss of splatting (Kerbl et al., 2023, equation 7) where not all pixels count, and PSNR."""

from __future__ import annotations

import torch
from torch import Tensor

from dense3d.ops import structural_similarity

SSIM_WEIGHT = 0.2


def masked_photometric_loss(
    image: Tensor, target: Tensor, usable: Tensor | None = None, ssim_weight: float = SSIM_WEIGHT
) -> Tensor:
    """Weighted sum of the mean absolute difference and of 1 - SSIM; a scalar.

    Args:
        image, target: (H, W, 3) in 0..1.
        usable: (H, W) bool, pixels that count; what the others show has no influence at all. None for all.
        ssim_weight: share of 1 - SSIM.

    Example:
        >>> masked_photometric_loss(torch.zeros(16, 16, 3), torch.zeros(16, 16, 3)).item()
        0.0
    """
    if usable is not None:
        count = usable.sum() * image.shape[-1]
        if not count:
            return image.sum() * 0
        # Both are black there, so that windows that reach there compare what is known.
        image, target = (torch.where(usable[..., None], pixels, 0) for pixels in (image, target))
    else:
        count = image.numel()
    loss = (1 - ssim_weight) * (image - target).abs().sum() / count
    if ssim_weight:
        dissimilarity = 1 - structural_similarity(image, target)
        if usable is not None:
            dissimilarity = dissimilarity * usable[..., None]
        loss = loss + ssim_weight * dissimilarity.sum() / count
    return loss


def psnr(image: Tensor, target: Tensor, usable: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in dB of images in 0..1.

    Args:
        image, target: (H, W, 3).
        usable: (H, W) bool, pixels that count.

    Example:
        >>> round(psnr(torch.zeros(2, 2, 3), torch.full((2, 2, 3), 0.1)), 4)
        20.0
    """
    squared = (image - target) ** 2
    squared = squared.mean() if usable is None else squared[usable].mean()
    return float(-10 * torch.log10(squared.clamp(min=1e-10)))
