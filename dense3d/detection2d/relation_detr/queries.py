"""Where queries start: the choice of the best boxes that the cells of the levels propose.

Boxes are cxcywh in [0, 1] of the image's own content, not of the padded batch; ``valid_ratios`` convert. It
is the two-stage selection of Zhu et al., "Deformable DETR", section 4.2 and appendix A.4; the content
of the queries is learnt ("mixed query selection" of DINO, arXiv 2203.03605).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dense3d.layers.mlp import MLP


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
