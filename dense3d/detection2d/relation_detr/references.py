"""Where things are: padding masks, valid ratios, reference points, proposals, and the logits of boxes.

Boxes are cxcywh in [0, 1] of the image's own content, not of the padded batch; ``valid_ratios`` convert.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.layers.deformable_attention import SpatialShapes
from dense3d.layers.mlp import MLP


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


def cell_centres(spatial_shapes: SpatialShapes, ratios: Tensor) -> Tensor:
    """Centres of all cells, ``(B, S, 2)`` as (x, y) in the image's own content.

    Args:
        spatial_shapes: height and width of each level.
        ratios: ``(B, L, 2)`` of :func:`valid_ratios`.

    Example:
        >>> cell_centres([(1, 2)], torch.ones(1, 1, 2)).tolist()
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
        centres: ``(B, S, 2)`` of :func:`cell_centres`.
    """
    sides = [
        centres.new_full((height * width,), 0.05 * 2**level)
        for level, (height, width) in enumerate(spatial_shapes)
    ]
    sides = torch.cat(sides)[None, :, None].expand(len(centres), -1, 2)
    return torch.cat((centres, sides), dim=-1)


def box_logits(boxes: Tensor, eps: float = 1e-3) -> Tensor:
    """Inverse of the sigmoid, for boxes kept ``eps`` away from 0 and 1.

    Example:
        >>> box_logits(torch.tensor([0.5, 0.0])).round(decimals=2).tolist()
        [0.0, -6.909999847412109]
    """
    boxes = boxes.clamp(0, 1)
    return torch.log(boxes.clamp(min=eps) / (1 - boxes).clamp(min=eps))


def class_head(embed_dims: int, num_classes: int, prior: float = 0.01) -> nn.Linear:
    """Linear map to class logits whose bias gives every class the probability ``prior`` at first."""
    head = nn.Linear(embed_dims, num_classes)
    nn.init.constant_(head.bias, torch.logit(torch.tensor(prior, device="cpu")).item())
    return head


def box_head(embed_dims: int) -> MLP:
    """MLP that refines a box in logit space; at first it leaves every box where it is."""
    head = MLP(embed_dims, embed_dims, 4, num_layers=3)
    nn.init.zeros_(head.layers[-1].weight)
    return head
