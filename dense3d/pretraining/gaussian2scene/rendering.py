"""Predicted Gaussians against photographs: pictures, their targets, and losses on what the sensor saw."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import DataError
from dense3d.ops import rasterize_gaussians
from dense3d.ops.photometric import structural_similarity
from dense3d.pretraining.gaussian2scene.gaussian_head import SceneGaussians
from dense3d.pretraining.gaussian2scene.views import SceneViews


class Rendered(NamedTuple):
    """Pictures of B scenes from V places ``(B, V, h, w, 3)``, alphas and expected depths ``(B, V, h, w)``."""

    images: Tensor
    alphas: Tensor
    depths: Tensor


class RenderTargets(NamedTuple):
    """What pictures are to be.

    Attributes:
        images: ``(B, V, h, w, 3)`` RGB in 0..1.
        depths: ``(B, V, h, w)`` metres, 0 where unknown; or None.
        valid: ``(B, V, h, w)`` bool, pixels that count: those with a depth, or all without depth.
    """

    images: Tensor
    depths: Tensor | None
    valid: Tensor


def render_scenes(gaussians: SceneGaussians, views: SceneViews, size: tuple[int, int]) -> Rendered:
    """Render each scene from all its places, on black.

    Args:
        gaussians: of B scenes.
        views: their cameras, which do not scale.
        size: h and w of the pictures.
    """
    factors = [want / have for want, have in zip(size[::-1], views.size[::-1])]
    intrinsics = views.intrinsics.float().clone()
    factors = intrinsics.new_tensor(factors)[:, None]
    intrinsics[..., :2, 2] += 0.5  # from centres of pixels to corners, which the rasteriser counts from
    intrinsics[..., :2, :] *= factors
    found = []
    for scene, cameras, matrices in zip(zip(*gaussians), views.world_to_camera.float(), intrinsics):
        images, alphas, _ = rasterize_gaussians(
            *scene, cameras, matrices, size[1], size[0], render_mode="RGB+ED"
        )
        found.append((images[..., :3], alphas.squeeze(-1), images[..., 3]))
    return Rendered(*(torch.stack(parts) for parts in zip(*found)))


def render_targets(pictures: Tensor, depths: Tensor | None, size: tuple[int, int]) -> RenderTargets:
    """Photographs ``(B, V, 3, H, W)`` in 0..1 and depths ``(B, V, H, W)`` at the size of the pictures.

    Colours are means over pixels, depths those of the nearest pixel.

    Example:
        >>> render_targets(torch.ones(1, 2, 3, 4, 6), None, (2, 3)).valid.shape
        torch.Size([1, 2, 2, 3])
    """
    images = F.interpolate(pictures.flatten(0, 1), size=size, mode="area").unflatten(0, pictures.shape[:2])
    images = images.movedim(2, -1)
    if depths is None:
        return RenderTargets(images, None, torch.ones_like(images[..., 0], dtype=torch.bool))
    small = F.interpolate(depths.float(), size=size, mode="nearest-exact")
    return RenderTargets(images, small, small > 0)


def picture_loss(rendered: Rendered, targets: RenderTargets, ssim_weight: float) -> Tensor:
    """``(1 - w) L1 + w (1 - SSIM)``, means over the pixels that count.

    Windows of the similarity that reach beyond those find the target in both pictures.
    """
    valid = targets.valid[..., None]
    count = (3 * valid.sum()).clamp(min=1)
    filled = torch.where(valid, rendered.images, targets.images)
    l1 = (filled - targets.images).abs().sum() / count
    similarity = structural_similarity(filled, targets.images)
    return (1 - ssim_weight) * l1 + ssim_weight * ((1 - similarity) * valid).sum() / count


def depth_loss(rendered: Rendered, targets: RenderTargets) -> Tensor:
    """Mean difference of expected depths in metres over the pixels that count; 0 where there are none.

    Raises:
        DataError: the batch came without depth maps.
    """
    if targets.depths is None:
        raise DataError(
            "the loss depth of stage two compares with depth maps, and these scenes came without: give them "
            "depths, or leave depth out of weights"
        )
    error = (rendered.depths - targets.depths).abs()
    return (error * targets.valid).sum() / targets.valid.sum().clamp(min=1)


def signal_to_noise(rendered: Rendered, targets: RenderTargets) -> Tensor:
    """PSNR in decibels over the pixels of all pictures that count; of no use where there are none."""
    error = (rendered.images.clamp(0, 1) - targets.images).square().mean(dim=-1)
    mean = (error * targets.valid).sum() / targets.valid.sum().clamp(min=1)
    return -10 * mean.clamp(min=1e-10).log10()
