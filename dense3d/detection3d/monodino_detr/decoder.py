"""Depth-guided decoder: queries attend to depth, to each other and to the image, and refine their boxes.

Zhang et al., "MonoDETR", ICCV 2023 (arXiv 2203.13310), section 3.4, as the official code has it: depth comes
first, and groups of queries do not see each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.detection3d.monodino_detr.boxes import centred_boxes, refined, sampling_references
from dense3d.detection3d.monodino_detr.heads import torch_mlp
from dense3d.detection3d.monodino_detr.queries import AnchorQueries, PointQueries, by_group
from dense3d.errors import ConfigError
from dense3d.layers.deformable_attention import MultiScaleDeformableAttention, SpatialShapes
from dense3d.registry import MODELS


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

    def forward(self, content: Tensor, position: Tensor, groups: int, bias: Tensor | None) -> Tensor:
        """Attend.

        Args:
            content: ``(B, groups * Q, C)``.
            position: ``(B, groups * Q, C)`` or without a batch.
            groups: number of groups.
            bias: ``(B * groups, heads, Q, Q)``, added to the scaled logits.
        """
        inputs = content + position
        query = self.query_content(inputs) + self.query_position(inputs)
        key = self.key_content(inputs) + self.key_position(inputs)
        grouped = (by_group(part, groups) for part in (query, key, content))
        bias = None if bias is None else bias.flatten(0, 1).to(query.dtype)
        attended = self.attention(*grouped, attn_mask=bias, need_weights=False)[0]
        return attended.reshape(content.shape)


class DecoderLayer(nn.Module):
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
        content: Tensor,
        position: Tensor,
        references: Tensor,
        scene: Scene,
        groups: int,
        bias: Tensor | None,
    ) -> Tensor:
        """``(B, groups * Q, C)`` to the same; ``references`` are ``(B, groups * Q, 2 or 6)``."""
        attended = self.depth_attn(content, scene.depth_tokens, scene.depth_tokens, need_weights=False)[0]
        content = self.norm_depth(content + self.dropout(attended))
        attended = self.self_attn(content, position, groups, bias)
        content = self.norm_self(content + self.dropout(attended))
        levels = len(scene.spatial_shapes)
        where = sampling_references(references)[:, :, None].expand(-1, -1, levels, -1)
        value = self.cross_attn.project_value(scene.memory)
        attended = self.cross_attn(content + position, where, value, scene.spatial_shapes)
        content = self.norm_cross(content + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(content)))
        return self.norm_out(content + self.dropout(self.linear2(hidden)))


@dataclass
class Scene:
    """What the decoder looks at."""

    memory: Tensor  # (B, S, C)
    spatial_shapes: SpatialShapes
    depth_tokens: Tensor  # (B, h * w, C)


class DepthGuidedDecoder(nn.Module):
    """Stack of :class:`DecoderLayer` that refines the boxes of queries.

    Args:
        num_layers: layers.
        relation: config of a relation encoder, ``dict(type="PositionRelation", ...)``, whose bias of the 2D
            boxes acts in the self-attention from the second layer on (Relation-DETR); None: no relation.
        **layer: arguments of :class:`DecoderLayer`.

    Raises:
        ConfigError: the relation has other heads than the layers, or there is no second layer.
    """

    def __init__(self, num_layers: int, relation: dict | None = None, **layer: int | float):
        super().__init__()
        embed_dims = layer["embed_dims"]
        self.layers = nn.ModuleList(DecoderLayer(**layer) for _ in range(num_layers))
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
        self, queries: PointQueries | AnchorQueries, number: int, groups: int, scene: Scene
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Decode.

        Args:
            queries: learnt queries.
            number: how many of them, those of all groups together.
            groups: groups that do not see each other.
            scene: memory and depth.

        Returns:
            each layer's hidden states ``(B, number, C)``, its boxes ``(B, number, 6)``, and the references
            ``(B, number, 2 or 6)`` of the first layer.
        """
        batch = len(scene.memory)
        content, initial = (part.expand(batch, -1, -1) for part in queries(number))
        references, hidden, boxes = initial, [], []
        for index, (layer, box_head) in enumerate(zip(self.layers, self.box_heads)):
            position = queries.position(index, content, references)
            bias = self._relate([initial, *boxes], groups)
            content = layer(content, position, references, scene, groups, bias)
            hidden.append(content)
            boxes.append(refined(box_head(content), references))
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
