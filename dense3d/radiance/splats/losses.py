"""Photometric loss of Gaussian splatting: 0.8 L1 + 0.2 (1 - SSIM) (Kerbl et al., 2023, equation 7)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from kornia.metrics import ssim
from torch import Tensor

SSIM_WEIGHT = 0.2
WINDOW = 11  # pixels; a Gaussian of deviation 1.5, as in Wang et al., IEEE TIP 2004


def structural_similarity(image: Tensor, target: Tensor) -> Tensor:
    """SSIM of each pixel and channel, with zeros around the images as in the reference code of splatting.

    kornia mirrors images at their borders; here they are padded before, and its border is cut off.

    Shape:
        two (H, W, C) -> the same.

    Example:
        >>> image = torch.rand(8, 9, 3)
        >>> torch.allclose(structural_similarity(image, image), torch.ones(8, 9, 3))
        True
    """
    pair = [F.pad(x.movedim(-1, 0)[None], (WINDOW // 2,) * 4) for x in (image, target)]
    return ssim(*pair, WINDOW, padding="valid")[0].movedim(0, -1)


def photometric_loss(
    image: Tensor, target: Tensor, usable: Tensor | None = None, ssim_weight: float = SSIM_WEIGHT
) -> Tensor:
    """Weighted sum of the mean absolute difference and of 1 - SSIM; a scalar.

    Args:
        image, target: (H, W, 3) in 0..1.
        usable: (H, W) bool, pixels that count; what the others show has no influence at all. None for all.
        ssim_weight: share of 1 - SSIM.

    Example:
        >>> photometric_loss(torch.zeros(16, 16, 3), torch.zeros(16, 16, 3)).item()
        0.0
    """
    if usable is not None:
        count = usable.sum() * image.shape[-1]
        if not count:
            return image.sum() * 0
        # Where nothing is known, both show the same: windows that reach there compare what is known.
        image = torch.where(usable[..., None], image, target)
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
