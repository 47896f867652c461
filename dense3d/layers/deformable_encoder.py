"""Encoder layer of the Deformable DETR family."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.layers.deformable_attention import MultiScaleDeformableAttention, SpatialShapes


class DeformableEncoderLayer(nn.Module):
    """Deformable self-attention and perceptron, each added and then normalised.

    Zhu et al., "Deformable DETR", ICLR 2021, section 4.1.

    Args:
        embed_dims: channels.
        num_heads: heads of the attention.
        num_levels: levels of the pyramid.
        num_points: locations that a head samples on each level.
        feedforward_channels: channels within the perceptron.
        dropout: of the attention's output and of both layers of the perceptron.

    Example:
        >>> import torch
        >>> layer = DeformableEncoderLayer(16, 2, 1, 4, 32)
        >>> tokens, points = torch.rand(1, 6, 16), torch.rand(1, 6, 1, 2)
        >>> layer(tokens, tokens, points, [(2, 3)]).shape
        torch.Size([1, 6, 16])
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        feedforward_channels: int,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.self_attn = MultiScaleDeformableAttention(embed_dims, num_heads, num_levels, num_points)
        self.norm1 = nn.LayerNorm(embed_dims)
        self.linear1 = nn.Linear(embed_dims, feedforward_channels)
        self.linear2 = nn.Linear(feedforward_channels, embed_dims)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.linear1.weight)
        nn.init.xavier_uniform_(self.linear2.weight)

    def forward(
        self,
        tokens: Tensor,
        position: Tensor,
        reference_points: Tensor,
        spatial_shapes: SpatialShapes,
        padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Encode.

        Args:
            tokens: ``(B, S, C)``, the levels' cells one after the other.
            position: ``(B, S, C)``, added to the queries.
            reference_points: ``(B, S, L, 2)``, each cell's place on every level.
            spatial_shapes: height and width of the L levels.
            padding_mask: boolean ``(B, S)``, True where padded.

        Returns:
            ``(B, S, C)``.
        """
        value = self.self_attn.project_value(tokens, padding_mask)
        attended = self.self_attn(tokens + position, reference_points, value, spatial_shapes)
        tokens = self.norm1(tokens + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(tokens)))
        return self.norm2(tokens + self.dropout(self.linear2(hidden)))
