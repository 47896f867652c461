"""Where queries start: cells of the padded levels, the box that each proposes, and the choice of the best.

Boxes are cxcywh in [0, 1] of the image's own content, not of the padded batch; ``valid_ratios`` convert. The
choice is the two-stage selection of Zhu et al., "Deformable DETR", section 4.2 and appendix A.4; the content
of the queries is learnt ("mixed query selection" of DINO, arXiv 2203.03605).
"""

from __future__ import annotations

from dataclasses import dataclass

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


def inverse_sigmoid(boxes: Tensor, eps: float = 1e-3) -> Tensor:
    """Inverse of the sigmoid, for boxes kept ``eps`` away from 0 and 1.

    Example:
        >>> inverse_sigmoid(torch.tensor([0.5, 0.0])).round(decimals=2).tolist()
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


@dataclass
class Selection:
    """Selected queries, the best first."""

    content: Tensor  # (B, K, C) learnt, by rank
    boxes: Tensor  # (B, K, 4) cxcywh in [0, 1], with gradient
    logits: Tensor  # (B, K, classes), with gradient
    index: Tensor  # (B, K) cells


class QueryHead(nn.Module):
    """One set of queries: how it ranks and refines proposals, and its learnt content.

    Args:
        num_queries: queries; fewer are selected where the memory has fewer cells.
        num_classes: outputs of the class head.
        embed_dims: channels.
    """

    def __init__(self, num_queries: int, num_classes: int, embed_dims: int):
        super().__init__()
        self.num_queries = num_queries
        self.class_head = class_head(embed_dims, num_classes)
        self.bbox_head = box_head(embed_dims)
        self.content = nn.Embedding(num_queries, embed_dims)


class ProposalSelection(nn.Module):
    """Selects by the highest class logit among all cells.

    The ranking needs no gradient, so only the selected cells are computed again with one: memory and time
    of the backward pass follow the number of queries, not the number of cells.

    Args:
        embed_dims: channels.
    """

    def __init__(self, embed_dims: int):
        super().__init__()
        self.enc_output = nn.Linear(embed_dims, embed_dims)
        self.enc_output_norm = nn.LayerNorm(embed_dims)
        nn.init.xavier_uniform_(self.enc_output.weight)
        nn.init.zeros_(self.enc_output.bias)

    def forward(
        self, head: QueryHead, memory: Tensor, proposals: Tensor, padding_mask: Tensor | None = None
    ) -> Selection:
        """Select the queries of ``head``.

        Args:
            head: ranks and refines.
            memory: ``(B, S, C)``.
            proposals: a box for every cell, ``(B, S, 4)`` cxcywh.
            padding_mask: boolean ``(B, S)``, True where padded.
        """
        valid = ((proposals > 0.01) & (proposals < 0.99)).all(-1)
        if padding_mask is not None:
            valid = valid & ~padding_mask
        with torch.no_grad():
            scores = self.proposal_scores(head, memory, valid)
        index = scores.topk(min(head.num_queries, scores.shape[1]), dim=1).indices
        memory, valid = _rows(memory, index), valid.gather(1, index)
        transformed = self._transform(memory, valid)  # (B, K, C)
        # An invalid cell proposes the box (1, 1, 1, 1), whatever its head says.
        logits = torch.logit(_rows(proposals, index)).masked_fill(~valid[..., None], torch.inf)
        return Selection(
            content=head.content.weight[: index.shape[1]].expand(len(memory), -1, -1),
            boxes=(head.bbox_head(transformed) + logits).sigmoid(),
            logits=head.class_head(transformed),
            index=index,
        )

    def proposal_scores(self, head: QueryHead, memory: Tensor, valid: Tensor) -> Tensor:
        """Highest class logit of every cell ``(B, S)``."""
        return head.class_head(self._transform(memory, valid)).amax(-1)

    def _transform(self, memory: Tensor, valid: Tensor) -> Tensor:
        return self.enc_output_norm(self.enc_output(memory.masked_fill(~valid[..., None], 0.0)))


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    return tensor.gather(1, index[..., None].expand(-1, -1, tensor.shape[-1]))
