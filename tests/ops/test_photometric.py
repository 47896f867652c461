"""SSIM and the photometric loss: sums over windows by hand, another package, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kornia.metrics import ssim
from scipy.ndimage import correlate

from dense3d.errors import ConfigError, DataError
from dense3d.ops import photometric_loss, structural_similarity


def pair(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    first = torch.rand(*shape, generator=random, dtype=torch.float64)
    return first, (first + 0.2 * torch.randn(*shape, generator=random, dtype=torch.float64)).clamp(0, 1)


def test_it_is_the_definition_with_zeros_around_the_picture():
    """Windowed means, variances and covariance by scipy's correlation with all 121 weights."""
    first, second = pair(14, 9, 2)
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    for channel in range(2):
        a, b = first[..., channel].numpy(), second[..., channel].numpy()
        mean_a, mean_b, aa, bb, ab = (
            correlate(x, window, mode="constant") for x in (a, b, a * a, b * b, a * b)
        )
        luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
        structure = (2 * (ab - mean_a * mean_b) + 9e-4) / (aa - mean_a**2 + bb - mean_b**2 + 9e-4)
        found = structural_similarity(first, second)[..., channel]
        np.testing.assert_allclose(found, luminance * structure, atol=1e-12)


def test_inside_of_the_picture_it_is_that_of_kornia():
    first, second = pair(2, 40, 33, 3)
    found = structural_similarity(first, second)[:, 5:-5, 5:-5]
    expected = ssim(first.movedim(-1, 1), second.movedim(-1, 1), window_size=11, padding="valid")
    torch.testing.assert_close(found, expected.movedim(1, -1), rtol=1e-6, atol=1e-6)


def test_the_loss_is_the_weighted_sum():
    first, second = pair(12, 13, 3)
    found = photometric_loss(first, second, ssim_weight=0.3)
    torch.testing.assert_close(found.loss, 0.7 * (first - second).abs().mean() + 0.3 * (1 - found.ssim))
    torch.testing.assert_close(found.ssim, structural_similarity(first, second).mean())
    same = photometric_loss(first, first)
    assert same.l1 == 0 and same.loss.abs() < 1e-12
    assert torch.autograd.gradcheck(
        lambda x: photometric_loss(x, second).loss, first.clone().requires_grad_(), fast_mode=True
    )


def test_float32_is_kept_under_autocast():
    first, second = (image.float() for image in pair(12, 13, 3))
    half = photometric_loss(first.bfloat16(), second.bfloat16())
    torch.testing.assert_close(half.l1, (first.bfloat16().float() - second.bfloat16().float()).abs().mean())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert photometric_loss(first, second).loss.dtype == torch.float32
    assert torch.isfinite(structural_similarity(first.half(), second.half())).all()


def test_pictures_of_different_sizes_are_named():
    with pytest.raises(
        DataError, match=r"one shape \(..., H, W, channels\), not \(4, 5, 3\) and \(5, 4, 3\)"
    ):
        structural_similarity(torch.zeros(4, 5, 3), torch.zeros(5, 4, 3))
    with pytest.raises(DataError, match="one shape"):
        photometric_loss(torch.zeros(4, 5, 3), torch.zeros(1, 5, 3))


def test_bytes_and_other_weights_are_named():
    bytes_, picture = torch.zeros(4, 5, 3).byte(), torch.zeros(4, 5, 3)
    with pytest.raises(DataError, match=r"not torch\.uint8: divide bytes by 255"):
        photometric_loss(picture, bytes_)
    with pytest.raises(ConfigError, match=r"ssim_weight must lie in 0 \.\. 1, not 2"):
        photometric_loss(picture, picture, ssim_weight=2)


def test_no_pictures_have_no_similarity():
    assert structural_similarity(torch.zeros(0, 4, 5, 3), torch.zeros(0, 4, 5, 3)).shape == (0, 4, 5, 3)
