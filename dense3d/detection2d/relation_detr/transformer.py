"""Encoder with a memory of all its layers, and the decoder with the relation between boxes in its attention.

Hou et al., "Relation DETR", ECCV 2024 (arXiv 2407.11699), on top of DINO's decoder (arXiv 2203.03605).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.detection2d.relation_detr.queries import box_head, class_head, inverse_sigmoid
from dense3d.layers.deformable_attention import (
    DeformableEncoderLayer,
    MultiScaleDeformableAttention,
    SpatialShapes,
)
from dense3d.layers.mlp import MLP
from dense3d.layers.sine_position import box_position
from dense3d.registry import MODELS


class Encoder(nn.Module):
    """Stack of :class:`~dense3d.layers.deformable_attention.DeformableEncoderLayer`.

    Args:
        num_layers: layers.
        memory_fusion: mix the input and the outputs of all layers into the memory, instead of taking the
            last output.
        with_cp: recompute each layer in the backward pass instead of keeping its activations.
        **layer: arguments of :class:`~dense3d.layers.deformable_attention.DeformableEncoderLayer`.
    """

    def __init__(self, num_layers: int, memory_fusion: bool = True, with_cp: bool = False, **layer: int):
        super().__init__()
        self.with_cp = with_cp
        self.layers = nn.ModuleList(DeformableEncoderLayer(**layer) for _ in range(num_layers))
        self.memory_fusion = None
        if memory_fusion:
            embed_dims = layer["embed_dims"]
            self.memory_fusion = nn.Sequential(
                nn.Linear(embed_dims * (num_layers + 1), embed_dims),
                nn.ReLU(),
                nn.Linear(embed_dims, embed_dims),
                nn.LayerNorm(embed_dims),
            )

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
            query_pos: ``(B, S, C)``, added to the queries of every layer.
            reference_points: ``(B, S, L, 2)``, each cell's place on every level.
            spatial_shapes: height and width of the L levels.
            padding_mask: boolean ``(B, S)``, True where padded.

        Returns:
            memory ``(B, S, C)``.
        """
        states = [query]
        for layer in self.layers:
            arguments = (states[-1], query_pos, reference_points, spatial_shapes, padding_mask)
            if self.with_cp and self.training:
                states.append(checkpoint(layer, *arguments, use_reentrant=False))
            else:
                states.append(layer(*arguments))
        if self.memory_fusion is None:
            return states[-1]
        return self.memory_fusion(torch.cat(states, dim=-1))


class RelationAttention(nn.Module):
    """Attention among queries with a bias for each pair; parameters of :class:`torch.nn.MultiheadAttention`.

    Args:
        embed_dims: channels.
        num_heads: heads.
    """

    def __init__(self, embed_dims: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dims, embed_dims))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dims))
        self.out_proj = nn.Linear(embed_dims, embed_dims)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.xavier_uniform_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, query_pos: Tensor, attn_mask: Tensor | None) -> Tensor:
        """Queries and keys have their position added, values have not.

        Args:
            query: ``(B, Q, C)``.
            query_pos: ``(B, Q, C)``.
            attn_mask: ``(B, heads, Q, Q)`` or ``(Q, Q)``, added to the scaled logits; -inf blocks.
        """
        channels = query.shape[-1]
        weights = self.in_proj_weight.split((2 * channels, channels))
        biases = self.in_proj_bias.split((2 * channels, channels))
        asking, key = F.linear(query + query_pos, weights[0], biases[0]).chunk(2, dim=-1)
        value = F.linear(query, weights[1], biases[1])
        heads = [t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (asking, key, value)]
        attn_mask = None if attn_mask is None else attn_mask.to(asking.dtype)
        attended = F.scaled_dot_product_attention(*heads, attn_mask=attn_mask)  # (B, heads, Q, C / heads)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class RelationDecoderLayer(nn.Module):
    """Self-attention, deformable cross-attention and feed-forward network, each added and then normalised.

    Args:
        embed_dims: channels.
        num_heads: heads of both attentions.
        num_levels: levels of the pyramid.
        num_points: locations that a head samples on each level.
        feedforward_channels: channels within the feed-forward network.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, num_levels: int, num_points: int, feedforward_channels: int
    ):
        super().__init__()
        self.cross_attn = MultiScaleDeformableAttention(embed_dims, num_heads, num_levels, num_points)
        self.norm1 = nn.LayerNorm(embed_dims)  # after the cross-attention, as the official names have it
        self.self_attn = RelationAttention(embed_dims, num_heads)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.linear1 = nn.Linear(embed_dims, feedforward_channels)
        self.linear2 = nn.Linear(feedforward_channels, embed_dims)
        self.norm3 = nn.LayerNorm(embed_dims)
        nn.init.xavier_uniform_(self.linear1.weight)
        nn.init.xavier_uniform_(self.linear2.weight)

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        attn_mask: Tensor | None,
        reference_boxes: Tensor,
        value: Tensor,
        spatial_shapes: SpatialShapes,
    ) -> Tensor:
        """``(B, Q, C)`` to ``(B, Q, C)``; ``reference_boxes`` are ``(B, Q, L, 4)`` in the padded batch."""
        query = self.norm2(query + self.self_attn(query, query_pos, attn_mask))
        attended = self.cross_attn(query + query_pos, reference_boxes, value, spatial_shapes)
        query = self.norm1(query + attended)
        return self.norm3(query + self.linear2(F.relu(self.linear1(query))))


class RelationDecoder(nn.Module):
    """Stack of :class:`RelationDecoderLayer` with class and box heads of its own for each layer.

    Args:
        num_layers: layers.
        num_classes: outputs of the class heads.
        relation: config of the relation encoder, ``dict(type="PositionRelation", ...)``; None: no relation.
        query_scale: scale the position of the queries by an MLP of their content from layer 1 on.
        with_cp: recompute each layer, with its relation, in the backward pass.
        **layer: arguments of :class:`RelationDecoderLayer`.
    """

    def __init__(
        self,
        num_layers: int,
        num_classes: int,
        relation: dict | None = None,
        query_scale: bool = True,
        with_cp: bool = False,
        **layer: int,
    ):
        super().__init__()
        embed_dims = layer["embed_dims"]
        self.embed_dims, self.with_cp = embed_dims, with_cp
        self.layers = nn.ModuleList(RelationDecoderLayer(**layer) for _ in range(num_layers))
        self.ref_point_head = MLP(2 * embed_dims, embed_dims, embed_dims, num_layers=2)
        self.query_scale = MLP(embed_dims, embed_dims, embed_dims, num_layers=2) if query_scale else None
        self.class_head = nn.ModuleList(class_head(embed_dims, num_classes) for _ in range(num_layers))
        self.bbox_head = nn.ModuleList(box_head(embed_dims) for _ in range(num_layers))
        self.norm = nn.LayerNorm(embed_dims)
        self.relation = MODELS.build(relation) if relation else None

    def project_values(self, memory: Tensor, padding_mask: Tensor | None = None) -> list[Tensor]:
        """Each layer's values of ``memory``, which several calls of :meth:`forward` may share."""
        return [layer.cross_attn.project_value(memory, padding_mask) for layer in self.layers]

    def forward(
        self,
        query: Tensor,
        boxes: Tensor,
        values: list[Tensor],
        spatial_shapes: SpatialShapes,
        ratios: Tensor,
        attn_mask: Tensor | None = None,
        with_relation: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Decode.

        Args:
            query: ``(B, Q, C)``.
            boxes: initial references ``(B, Q, 4)`` cxcywh in [0, 1] of the image's content.
            values: of :meth:`project_values`.
            spatial_shapes: height and width of the L levels.
            ratios: valid ratios ``(B, L, 2)``.
            attn_mask: boolean ``(Q, Q)``, True where a query must not see another.
            with_relation: use the relation encoder where there is one.

        Returns:
            class logits ``(layers, B, Q, classes)`` and boxes ``(layers, B, Q, 4)`` of every layer.
        """
        relation = self.relation if with_relation else None
        ratios = torch.cat((ratios, ratios), dim=-1)[:, None]  # (B, 1, L, 4)
        boxes = boxes.float()
        source, target = None, boxes  # the relation is that of the last two sets of boxes
        logits, predictions = [], []
        for index, layer in enumerate(self.layers):
            pair = (source.detach(), target.detach()) if relation is not None and index else None
            arguments = (
                layer,
                index,
                query,
                boxes.detach(),
                pair,
                values[index],
                spatial_shapes,
                ratios,
                attn_mask,
            )
            if self.with_cp and self.training:
                query = checkpoint(self._step, *arguments, use_reentrant=False)
            else:
                query = self._step(*arguments)
            normed = self.norm(query)
            logits.append(self.class_head[index](normed))
            predictions.append((self.bbox_head[index](normed) + inverse_sigmoid(boxes)).sigmoid())
            source, target = target, predictions[-1]
            if index + 1 < len(self.layers):
                # The next reference comes from the un-normalised state. Gradients reach it through the
                # next prediction only ("look forward twice").
                boxes = (self.bbox_head[index](query) + inverse_sigmoid(boxes.detach())).sigmoid()
        return torch.stack(logits), torch.stack(predictions)

    def _step(
        self,
        layer: RelationDecoderLayer,
        index: int,
        query: Tensor,
        boxes: Tensor,
        pair: tuple[Tensor, Tensor] | None,
        value: Tensor,
        spatial_shapes: SpatialShapes,
        ratios: Tensor,
        attn_mask: Tensor | None,
    ) -> Tensor:
        reference_boxes = boxes[:, :, None] * ratios  # (B, Q, L, 4)
        query_pos = self.query_position(reference_boxes[:, :, 0])
        if index and self.query_scale is not None:
            query_pos = query_pos * self.query_scale(query)
        if pair is not None:
            attn_mask = self.relation(*pair, attn_mask=attn_mask)
        elif attn_mask is not None:
            attn_mask = _additive(attn_mask, query)
        return layer(query, query_pos, attn_mask, reference_boxes, value, spatial_shapes)

    def query_position(self, boxes: Tensor) -> Tensor:
        """Position of queries ``(B, Q, C)`` from their boxes ``(B, Q, 4)`` in the padded batch."""
        return self.ref_point_head(box_position(boxes, self.embed_dims // 2))


def _additive(attn_mask: Tensor, like: Tensor) -> Tensor:
    zeros = torch.zeros(attn_mask.shape, dtype=like.dtype, device=like.device)
    return zeros.masked_fill(attn_mask, -torch.inf)
