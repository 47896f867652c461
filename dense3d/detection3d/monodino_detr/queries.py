"""Learnt queries: points with a fixed position (MonoDETR), or anchors that move (MonoDINO-DETR with DAB).

Both keep several groups of queries for training, of which the first alone predicts (Chen et al., "Group
DETR", ICCV 2023).
"""

from __future__ import annotations

from torch import Tensor, nn

from dense3d.layers.mlp import MLP
from dense3d.layers.sine_position import box_position


class PointQueries(nn.Module):
    """Content and position are learnt; the position tells the reference point.

    Args:
        number: queries of all groups, N.
        embed_dims: channels C.
    """

    def __init__(self, number: int, embed_dims: int):
        super().__init__()
        self.embedding = nn.Embedding(number, 2 * embed_dims)  # position, then content
        self.reference = nn.Linear(embed_dims, 2)
        nn.init.xavier_uniform_(self.reference.weight)
        nn.init.zeros_(self.reference.bias)

    def forward(self, number: int) -> tuple[Tensor, Tensor]:
        """Content ``(number, C)`` and reference points ``(number, 2)`` of the first ``number`` queries."""
        position, content = self.embedding.weight[:number].chunk(2, dim=-1)
        return content, self.reference(position).sigmoid()

    def position(self, layer: int, content: Tensor, references: Tensor) -> Tensor:
        """Position ``(N, C)`` of queries, the same in every layer.

        Args:
            layer: number of the decoder's layer.
            content: ``(B, N, C)``.
            references: ``(B, N, 2 or 6)``.
        """
        return self.embedding.weight[: content.shape[1]].chunk(2, dim=-1)[0]


class AnchorQueries(nn.Module):
    """Content and six-dimensional anchors are learnt; the position follows the anchor from layer to layer.

    Liu et al., "DAB-DETR", ICLR 2022, with the anchor (cx, cy, l, r, t, b).

    Args:
        number: queries of all groups, N.
        embed_dims: channels C.
    """

    def __init__(self, number: int, embed_dims: int):
        super().__init__()
        self.content = nn.Embedding(number, embed_dims)
        self.anchors = nn.Embedding(number, 6)
        self.position_head = MLP(3 * embed_dims, embed_dims, embed_dims, num_layers=2)
        self.position_scale = MLP(embed_dims, embed_dims, embed_dims, num_layers=2)

    def forward(self, number: int) -> tuple[Tensor, Tensor]:
        """Content ``(number, C)`` and anchors ``(number, 6)`` of the first ``number`` queries."""
        return self.content.weight[:number], self.anchors.weight[:number].sigmoid()

    def position(self, layer: int, content: Tensor, references: Tensor) -> Tensor:
        """Position ``(B, N, C)``; from the second layer on the content scales it.

        Args:
            layer: number of the decoder's layer.
            content: ``(B, N, C)``.
            references: ``(B, N, 6)``.
        """
        position = self.position_head(box_position(references, content.shape[-1] // 2))
        return position if layer == 0 else position * self.position_scale(content)


def by_group(queries: Tensor, groups: int) -> Tensor:
    """``(B, groups * Q, C)`` to ``(B * groups, Q, C)``.

    Example:
        >>> import torch
        >>> by_group(torch.rand(2, 6, 4), 3).shape
        torch.Size([6, 2, 4])
    """
    return queries.unflatten(1, (groups, -1)).flatten(0, 1)
