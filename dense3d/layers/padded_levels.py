"""Levels of a padded batch: which cells are content, where they lie in it, and the box that each proposes.

Boxes are cxcywh in [0, 1] of the image's own content, not of the padded batch; :func:`valid_ratios` convert.
Zhu et al., "Deformable DETR", ICLR 2021, section 4.2 and appendix A.4.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.layers.deformable_attention import SpatialShapes


def padding_masks(
    batch_shape: tuple[int, int],
    sizes: list[tuple[int, int]],
    spatial_shapes: SpatialShapes,
    device: torch.device,
) -> list[Tensor]:
    """Which cells of each level lie in the padding: nearest interpolation of the mask of pixels.

    Args:
        batch_shape: height and width of the padded batch.
        sizes: height and width of each image's content.
        spatial_shapes: height and width of each level.
        device: of the result.

    Returns:
        a boolean ``(B, h, w)`` a level, True where padded.

    Example:
        >>> padding_masks((4, 4), [(4, 2)], [(2, 2)], torch.device("cpu"))[0].tolist()
        [[[False, True], [False, True]]]
    """
    extent = torch.tensor(sizes, device=device)
    rows = (torch.arange(batch_shape[0], device=device) >= extent[:, :1]).float()  # (B, H)
    columns = (torch.arange(batch_shape[1], device=device) >= extent[:, 1:]).float()  # (B, W)
    masks = []
    for height, width in spatial_shapes:
        below = F.interpolate(rows[:, None], size=height)[:, 0] > 0.5
        right = F.interpolate(columns[:, None], size=width)[:, 0] > 0.5
        masks.append(below[:, :, None] | right[:, None])
    return masks


def valid_ratios(masks: list[Tensor]) -> Tensor:
    """Share of each level, ``(B, L, 2)`` as (x, y), that is content: of its first row and first column.

    Args:
        masks: a boolean ``(B, h, w)`` a level, True where padded.
    """
    ratios = [
        torch.stack(((~mask[:, 0]).float().mean(1), (~mask[:, :, 0]).float().mean(1)), -1) for mask in masks
    ]
    return torch.stack(ratios, dim=1)


def content_centres(spatial_shapes: SpatialShapes, ratios: Tensor) -> Tensor:
    """Centres of all cells, ``(B, S, 2)`` as (x, y) in the image's own content.

    Args:
        spatial_shapes: height and width of each level.
        ratios: ``(B, L, 2)`` of :func:`valid_ratios`.

    Example:
        >>> content_centres([(1, 2)], torch.ones(1, 1, 2)).tolist()
        [[[0.25, 0.5], [0.75, 0.5]]]
    """
    centres = []
    for level, (height, width) in enumerate(spatial_shapes):
        x = (torch.arange(width, device=ratios.device) + 0.5) / (ratios[:, level, :1] * width)  # (B, w)
        y = (torch.arange(height, device=ratios.device) + 0.5) / (ratios[:, level, 1:] * height)  # (B, h)
        x, y = x[:, None].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)
        centres.append(torch.stack((x, y), dim=-1).flatten(1, 2))
    return torch.cat(centres, dim=1)


def proposal_boxes(spatial_shapes: SpatialShapes, centres: Tensor) -> Tensor:
    """A square box at every cell, cxcywh ``(B, S, 4)``: of side 0.05, on each next level twice that.

    Args:
        spatial_shapes: height and width of each level.
        centres: ``(B, S, 2)`` of :func:`content_centres`.
    """
    sides = [
        centres.new_full((height * width,), 0.05 * 2**level)
        for level, (height, width) in enumerate(spatial_shapes)
    ]
    sides = torch.cat(sides)[None, :, None].expand(len(centres), -1, 2)
    return torch.cat((centres, sides), dim=-1)
