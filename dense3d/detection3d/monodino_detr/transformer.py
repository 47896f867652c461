"""Encoder of the image, learnt queries, and the depth-guided decoder that refines their boxes.

Zhang et al., "MonoDETR", ICCV 2023 (arXiv 2203.13310), section 3.4, as the official code has it: queries
attend to depth first, then to each other and to the image, and groups of queries do not see each other. They
are points with a fixed position (MonoDETR), or anchors that move (MonoDINO-DETR with DAB), in several groups
for training, of which the first alone predicts (Chen et al., "Group DETR", ICCV 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.detection3d.monodino_detr.prediction import (
    centred_boxes,
    refined,
    sampling_references,
    torch_mlp,
)
from dense3d.errors import ConfigError
from dense3d.layers.deformable_attention import (
    DeformableEncoderLayer,
    MultiScaleDeformableAttention,
    SpatialShapes,
    cell_centres,
)
from dense3d.layers.mlp import MLP
from dense3d.layers.sine_position import box_position, map_position
from dense3d.registry import MODELS


class VisualEncoder(nn.Module):
    """Stack of :class:`~dense3d.layers.deformable_attention.DeformableEncoderLayer`.

    Args:
        num_layers: layers.
        num_levels: levels of the pyramid.
        embed_dims: channels.
        **layer: other arguments of the layers.

    Example:
        >>> encoder = VisualEncoder(1, 2, 16, num_heads=2, num_points=4, feedforward_channels=32)
        >>> memory, shapes = encoder([torch.rand(1, 16, 4, 6), torch.rand(1, 16, 2, 3)])
        >>> memory.shape, shapes
        (torch.Size([1, 30, 16]), [(4, 6), (2, 3)])
    """

    def __init__(self, num_layers: int, num_levels: int, embed_dims: int, **layer: int | float):
        super().__init__()
        self.level_embeds = nn.Parameter(torch.randn(num_levels, embed_dims))
        self.layers = nn.ModuleList(
            DeformableEncoderLayer(embed_dims, num_levels=num_levels, **layer) for _ in range(num_layers)
        )

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, SpatialShapes]:
        """Encode maps ``(B, C, h, w)``, one a level, into a memory ``(B, S, C)``; also their sizes."""
        shapes = [(level.shape[-2], level.shape[-1]) for level in levels]
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)  # (B, S, C)
        channels, device = tokens.shape[-1], tokens.device
        position = torch.cat(
            [
                map_position(shape, channels, device) + embedding
                for shape, embedding in zip(shapes, self.level_embeds)
            ]
        )  # (S, C)
        references = cell_centres(shapes, device)[None, :, None].expand(len(tokens), -1, len(shapes), -1)
        for layer in self.layers:
            tokens = layer(tokens, position, references, shapes)
        return tokens, shapes


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


class GroupSelfAttention(nn.Module):
    """Attention among the queries of a group.

    Queries and keys go through two parallel linear layers each before the attention's own projection, which
    the released models have from Conditional DETR, although both see the same sum of content and position.

    Args:
        embed_dims: channels.
        num_heads: heads.
        dropout: of the attention weights.
    """

    def __init__(self, embed_dims: int, num_heads: int, dropout: float):
        super().__init__()
        self.query_content = nn.Linear(embed_dims, embed_dims)
        self.query_position = nn.Linear(embed_dims, embed_dims)
        self.key_content = nn.Linear(embed_dims, embed_dims)
        self.key_position = nn.Linear(embed_dims, embed_dims)
        self.attention = nn.MultiheadAttention(embed_dims, num_heads, dropout, batch_first=True)

    def forward(self, query: Tensor, query_pos: Tensor, groups: int, attn_mask: Tensor | None) -> Tensor:
        """Attend.

        Args:
            query: ``(B, groups * Q, C)``.
            query_pos: ``(B, groups * Q, C)`` or without a batch.
            groups: number of groups.
            attn_mask: ``(B * groups, heads, Q, Q)``, added to the scaled logits.
        """
        placed = query + query_pos
        asking = self.query_content(placed) + self.query_position(placed)
        key = self.key_content(placed) + self.key_position(placed)
        grouped = (by_group(part, groups) for part in (asking, key, query))
        attn_mask = None if attn_mask is None else attn_mask.flatten(0, 1).to(asking.dtype)
        attended = self.attention(*grouped, attn_mask=attn_mask, need_weights=False)[0]
        return attended.reshape(query.shape)


class DepthGuidedDecoderLayer(nn.Module):
    """Attention to depth, queries and image, and a feed-forward network, each added and then normalised.

    Args:
        embed_dims: channels.
        num_heads: heads of all attentions.
        num_levels: levels of the pyramid.
        num_points: locations that a head samples on each level.
        feedforward_channels: channels within the feed-forward network.
        dropout: of all outputs and attention weights.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        feedforward_channels: int,
        dropout: float,
    ):
        super().__init__()
        self.depth_attn = nn.MultiheadAttention(embed_dims, num_heads, dropout, batch_first=True)
        self.norm_depth = nn.LayerNorm(embed_dims)
        self.self_attn = GroupSelfAttention(embed_dims, num_heads, dropout)
        self.norm_self = nn.LayerNorm(embed_dims)
        self.cross_attn = MultiScaleDeformableAttention(embed_dims, num_heads, num_levels, num_points)
        self.norm_cross = nn.LayerNorm(embed_dims)
        self.linear1 = nn.Linear(embed_dims, feedforward_channels)
        self.linear2 = nn.Linear(feedforward_channels, embed_dims)
        self.norm_out = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1 and not name.startswith("cross_attn"):
                nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        references: Tensor,
        seen: EncodedScene,
        groups: int,
        attn_mask: Tensor | None,
    ) -> Tensor:
        """``(B, groups * Q, C)`` to the same; ``references`` are ``(B, groups * Q, 2 or 6)``."""
        attended = self.depth_attn(query, seen.depth_tokens, seen.depth_tokens, need_weights=False)[0]
        query = self.norm_depth(query + self.dropout(attended))
        attended = self.self_attn(query, query_pos, groups, attn_mask)
        query = self.norm_self(query + self.dropout(attended))
        levels = len(seen.spatial_shapes)
        where = sampling_references(references)[:, :, None].expand(-1, -1, levels, -1)
        value = self.cross_attn.project_value(seen.memory)
        attended = self.cross_attn(query + query_pos, where, value, seen.spatial_shapes)
        query = self.norm_cross(query + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(query)))
        return self.norm_out(query + self.dropout(self.linear2(hidden)))


@dataclass
class EncodedScene:
    """What the decoder looks at."""

    memory: Tensor  # (B, S, C)
    spatial_shapes: SpatialShapes
    depth_tokens: Tensor  # (B, h * w, C)


class DepthGuidedDecoder(nn.Module):
    """Stack of :class:`DepthGuidedDecoderLayer` that refines the boxes of queries.

    Args:
        num_layers: layers.
        relation: config of a relation encoder, ``dict(type="PositionRelation", ...)``, whose bias of the 2D
            boxes acts in the self-attention from the second layer on (Relation-DETR); None: no relation.
        **layer: arguments of :class:`DepthGuidedDecoderLayer`.

    Raises:
        ConfigError: the relation has other heads than the layers, or there is no second layer.
    """

    def __init__(self, num_layers: int, relation: dict | None = None, **layer: int | float):
        super().__init__()
        embed_dims = layer["embed_dims"]
        self.layers = nn.ModuleList(DepthGuidedDecoderLayer(**layer) for _ in range(num_layers))
        self.box_heads = nn.ModuleList(torch_mlp(embed_dims, 6, 3) for _ in range(num_layers))
        nn.init.constant_(self.box_heads[0].layers[-1].bias[2:], -2.0)  # boxes begin small
        self.relation = MODELS.build(relation) if relation else None
        if self.relation is None:
            return
        if num_layers < 2:
            raise ConfigError(
                f"model.decoder_layers={num_layers}, but the relation acts from the second layer on and "
                "would never be trained: set decoder_layers to 2 or more, or relation=None"
            )
        if self.relation.num_heads != layer["num_heads"]:
            raise ConfigError(
                f"the relation has num_heads={self.relation.num_heads}, the decoder {layer['num_heads']}: "
                "give both the same number"
            )

    def forward(
        self, queries: PointQueries | AnchorQueries, number: int, groups: int, seen: EncodedScene
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Decode.

        Args:
            queries: learnt queries.
            number: how many of them, those of all groups together.
            groups: groups that do not see each other.
            seen: memory and depth.

        Returns:
            each layer's hidden states ``(B, number, C)``, its boxes ``(B, number, 6)``, and the references
            ``(B, number, 2 or 6)`` of the first layer.
        """
        batch = len(seen.memory)
        query, initial = (part.expand(batch, -1, -1) for part in queries(number))
        references, hidden, boxes = initial, [], []
        for index, (layer, box_head) in enumerate(zip(self.layers, self.box_heads)):
            query_pos = queries.position(index, query, references)
            attn_mask = self._relate([initial, *boxes], groups)
            query = layer(query, query_pos, references, seen, groups, attn_mask)
            hidden.append(query)
            boxes.append(refined(box_head(query), references))
            references = boxes[-1].detach()
        return hidden, boxes, initial

    def _relate(self, boxes: list[Tensor], groups: int) -> Tensor | None:
        """Bias ``(B * groups, heads, Q, Q)`` of the last two sets of boxes; None in the first layer."""
        if self.relation is None or len(boxes) < 2:
            return None
        source, target = boxes[-2:]
        source = source if source.shape[-1] == 6 else target  # a point has no size to measure with
        pair = (by_group(centred_boxes(part.detach()), groups) for part in (source, target))
        return self.relation(*pair)
