"""Multi-scale deformable attention and its encoder layer, with parameter names of the official DETR family.

Equation 2 of Zhu et al., "Deformable DETR", ICLR 2021; boxes as references follow its section 4.2.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.ops import multi_scale_deformable_attention

SpatialShapes = list[tuple[int, int]]


class MultiScaleDeformableAttention(nn.Module):
    """Every query looks at a few learnt locations around its reference on each level of a pyramid.

    The map of values is a method of its own, so that two sets of queries can share it.

    Args:
        embed_dims: channels of queries, values and output.
        num_heads: heads; divides ``embed_dims``.
        num_levels: levels of the pyramid.
        num_points: locations that a head samples on each level.

    Example:
        >>> attention = MultiScaleDeformableAttention(embed_dims=16, num_heads=2, num_levels=1)
        >>> value = attention.project_value(torch.rand(1, 6, 16))
        >>> attention(torch.rand(1, 5, 16), torch.rand(1, 5, 1, 4), value, [(2, 3)]).shape
        torch.Size([1, 5, 16])
    """

    def __init__(self, embed_dims: int = 256, num_heads: int = 8, num_levels: int = 4, num_points: int = 4):
        super().__init__()
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(embed_dims, samples * 2)
        self.attention_weights = nn.Linear(embed_dims, samples)
        self.value_proj = nn.Linear(embed_dims, embed_dims)
        self.output_proj = nn.Linear(embed_dims, embed_dims)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Head k looks in its own direction, one cell further with every point; all weights are equal."""
        angle = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        direction = torch.stack((angle.cos(), angle.sin()), dim=-1)  # (heads, 2)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.num_points + 1).view(-1, 1)
        offsets = (direction[:, None, None] * steps).expand(-1, self.num_levels, -1, -1)
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for linear in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def project_value(self, value: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Values of the heads, zero where padded.

        Args:
            value: ``(B, S, C)``, the levels' cells one after the other.
            padding_mask: boolean ``(B, S)``, True where padded.

        Returns:
            ``(B, S, heads, C / heads)``.
        """
        value = self.value_proj(value)
        if padding_mask is not None:
            value = value.masked_fill(padding_mask[..., None], 0.0)
        return value.unflatten(-1, (self.num_heads, -1))

    def forward(
        self, query: Tensor, reference_points: Tensor, value: Tensor, spatial_shapes: SpatialShapes
    ) -> Tensor:
        """Attend.

        Args:
            query: ``(B, Q, C)``.
            reference_points: ``(B, Q, L, 2)`` as (x, y), or ``(B, Q, L, 4)`` as cxcywh, from 0 to 1 across
                the level, padding included.
            value: ``(B, S, heads, C / heads)`` of :meth:`project_value`.
            spatial_shapes: height and width of the L levels.

        Returns:
            ``(B, Q, C)``.
        """
        per_level = (self.num_heads, self.num_levels, self.num_points)
        offsets = self.sampling_offsets(query).unflatten(-1, (*per_level, 2))  # (B, Q, heads, L, P, 2)
        weights = self.attention_weights(query).unflatten(-1, (self.num_heads, -1)).softmax(-1)
        references = reference_points[:, :, None, :, None]  # (B, Q, 1, L, 1, 2 or 4)
        if references.shape[-1] == 2:
            cells = [[width, height] for height, width in spatial_shapes]
            unit = 1 / torch.tensor(cells, dtype=references.dtype, device=references.device)[:, None]
        else:
            unit = references[..., 2:] * (0.5 / self.num_points)
        locations = references[..., :2] + offsets * unit
        weights = weights.unflatten(-1, per_level[1:])
        return self.output_proj(multi_scale_deformable_attention(value, spatial_shapes, locations, weights))


def cell_centres(spatial_shapes: SpatialShapes, device: torch.device | None = None) -> Tensor:
    """Centres of the cells of all levels, ``(S, 2)`` as (x, y) in [0, 1], level by level and row by row.

    Args:
        spatial_shapes: height and width of each level.
        device: of the result.

    Example:
        >>> cell_centres([(1, 2), (1, 1)]).tolist()
        [[0.25, 0.5], [0.75, 0.5], [0.5, 0.5]]
    """
    centres = []
    for shape in spatial_shapes:
        y, x = ((torch.arange(size, device=device) + 0.5) / size for size in shape)
        centres.append(torch.cartesian_prod(y, x)[:, [1, 0]])
    return torch.cat(centres)


class DeformableEncoderLayer(nn.Module):
    """Deformable self-attention and feed-forward network, each added and then normalised.

    Zhu et al., "Deformable DETR", ICLR 2021, section 4.1.

    Args:
        embed_dims: channels.
        num_heads: heads of the attention.
        num_levels: levels of the pyramid.
        num_points: locations that a head samples on each level.
        feedforward_channels: channels within the feed-forward network.
        dropout: of the attention's output and of both layers of the feed-forward network.

    Example:
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
        query: Tensor,
        query_pos: Tensor,
        reference_points: Tensor,
        spatial_shapes: SpatialShapes,
        padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Encode.

        Args:
            query: ``(B, S, C)``, the levels' cells one after the other.
            query_pos: ``(B, S, C)``, added where locations and weights are computed from.
            reference_points: ``(B, S, L, 2)``, each cell's place on every level.
            spatial_shapes: height and width of the L levels.
            padding_mask: boolean ``(B, S)``, True where padded.

        Returns:
            ``(B, S, C)``.
        """
        value = self.self_attn.project_value(query, padding_mask)
        attended = self.self_attn(query + query_pos, reference_points, value, spatial_shapes)
        query = self.norm1(query + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(query)))
        return self.norm2(query + self.dropout(self.linear2(hidden)))
