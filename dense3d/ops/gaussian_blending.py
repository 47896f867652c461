"""Front-to-back blending of projected Gaussians, tile by tile, in torch.

For each pixel, with d = mean - pixel centre and conic (A, B, C), of the Gaussians by depth:

    q = (A dx^2 + C dy^2) / 2 + B dx dy,    a = min(alpha_max, opacity exp(-q)),    T_0 = 1
    a below 1/255 is skipped;  T_{i+1} = T_i (1 - a);  where less than 1e-4 would be left, it ends before
    colour = sum T_i a_i c_i + T background,    alpha = 1 - T
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dense3d.ops.gaussian_conventions import ALPHA_MIN, STOP, Projected, Projection
from dense3d.ops.gaussian_projection import tile_range


class Blended(NamedTuple):
    """Pictures of C cameras."""

    images: Tensor  # (C, H, W, D), over the background
    alphas: Tensor  # (C, H, W, 1)
    counts: Tensor  # (C, H, W) int32: Gaussians that are in a pixel


def blend_reference(
    projected: Projected, colors: Tensor, backgrounds: Tensor, options: Projection
) -> Blended:
    """Blend the Gaussians of each tile.

    Args:
        projected: as :func:`dense3d.ops.project_gaussians` gives it.
        colors: ``(C, N, D)``.
        backgrounds: ``(C, D)``.
        options: size of the images, the convention and the size of tiles, which does not change the result
            with the boxes of gsplat.
    """
    pictures = [
        _blend_camera(Projected(*(part[c] for part in projected)), colors[c], backgrounds[c], options)
        for c in range(len(colors))
    ]
    if not pictures:
        size = (0, options.height, options.width)
        images = colors.new_zeros(*size, colors.shape[-1])
        return Blended(images, colors.new_zeros(*size, 1), colors.new_zeros(size, dtype=torch.int32))
    images, alphas, counts = (torch.stack(parts) for parts in zip(*pictures))
    return Blended(images, alphas, counts)


def _blend_camera(
    projected: Projected, colors: Tensor, background: Tensor, options: Projection
) -> tuple[Tensor, Tensor, Tensor]:
    """One camera: projected (N, ...), colors (N, D) -> (H, W, D), (H, W, 1), (H, W)."""
    tile = options.tile
    order = projected.depths.detach().argsort(stable=True)
    order = order[(projected.radii[order] > 0).all(-1)]  # front to back, what is seen
    means2d, radii = projected.means2d.detach()[order], projected.radii[order].to(colors.dtype)
    first, last = tile_range(means2d, radii, options.convention.square_boxes, tile)  # (n, 2)
    rows = []
    for y in range(-(-options.height // tile)):
        in_row = (first[:, 1] <= y) & (last[:, 1] > y)
        row = []
        for x in range(-(-options.width // tile)):
            chosen = order[in_row & (first[:, 0] <= x) & (last[:, 0] > x)]
            pixels = _pixel_centres(x * tile, y * tile, options, means2d)
            row.append(_blend_tile(pixels, projected, chosen, colors, background, options))
        rows.append([torch.cat(parts, 1) for parts in zip(*row)])
    images, alphas, counts = (torch.cat(parts, 0) for parts in zip(*rows))
    return images, alphas, counts


def _pixel_centres(left: int, top: int, options: Projection, like: Tensor) -> Tensor:
    """``(h, w, 2)`` of one tile; those at the right and lower edge may be smaller."""
    kind = dict(dtype=like.dtype, device=like.device)
    x = torch.arange(left, min(left + options.tile, options.width), **kind) + 0.5
    y = torch.arange(top, min(top + options.tile, options.height), **kind) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def _blend_tile(
    pixels: Tensor,
    projected: Projected,
    chosen: Tensor,
    colors: Tensor,
    background: Tensor,
    options: Projection,
) -> tuple[Tensor, Tensor, Tensor]:
    """The ``chosen`` (n,), front to back, on pixels (h, w, 2)."""
    rules = options.convention
    dx, dy = (projected.means2d[chosen] - pixels[..., None, :]).unbind(-1)  # (h, w, n)
    a, b, c = projected.conics[chosen].unbind(-1)  # (n,)
    q = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alpha = (projected.opacities[chosen] * torch.exp(-q)).clamp(max=rules.alpha_max)
    alpha = torch.where((q >= 0) & (alpha >= ALPHA_MIN), alpha, 0)
    left = (1 - alpha.detach()).cumprod(-1)
    goes_on = left >= STOP if rules.stop_is_left else left > STOP
    alpha = torch.where(goes_on, alpha, 0)
    light = torch.cat([alpha.new_ones(*alpha.shape[:2], 1), 1 - alpha], -1).cumprod(
        -1
    )  # (h, w, n + 1): before each, and behind the last
    image = (light[..., :-1] * alpha) @ colors[chosen] + light[..., -1:] * background
    return image, 1 - light[..., -1:], (alpha > 0).sum(-1).int()
