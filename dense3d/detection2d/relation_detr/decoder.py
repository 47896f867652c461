"""Decoder that refines boxes layer by layer, with the relation between boxes in its self-attention.

Hou et al., "Relation DETR", ECCV 2024 (arXiv 2407.11699), on top of DINO's decoder (arXiv 2203.03605).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.detection2d.relation_detr.references import box_head, box_logits, class_head
from dense3d.layers.deformable_attention import MultiScaleDeformableAttention, SpatialShapes
from dense3d.layers.mlp import MLP
from dense3d.layers.sine_position import box_position
from dense3d.registry import MODELS


class SelfAttention(nn.Module):
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

    def forward(self, content: Tensor, position: Tensor, bias: Tensor | None) -> Tensor:
        """Queries and keys are content and position, values the content.

        Args:
            content: ``(B, Q, C)``.
            position: ``(B, Q, C)``.
            bias: ``(B, heads, Q, Q)`` or ``(Q, Q)``, added to the scaled logits; -inf blocks.
        """
        channels = content.shape[-1]
        weights = self.in_proj_weight.split((2 * channels, channels))
        biases = self.in_proj_bias.split((2 * channels, channels))
        query, key = F.linear(content + position, weights[0], biases[0]).chunk(2, dim=-1)
        value = F.linear(content, weights[1], biases[1])
        heads = [t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (query, key, value)]
        bias = None if bias is None else bias.to(query.dtype)
        attended = F.scaled_dot_product_attention(*heads, attn_mask=bias)  # (B, heads, Q, C / heads)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class DecoderLayer(nn.Module):
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
        self.self_attn = SelfAttention(embed_dims, num_heads)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.linear1 = nn.Linear(embed_dims, feedforward_channels)
        self.linear2 = nn.Linear(feedforward_channels, embed_dims)
        self.norm3 = nn.LayerNorm(embed_dims)
        nn.init.xavier_uniform_(self.linear1.weight)
        nn.init.xavier_uniform_(self.linear2.weight)

    def forward(
        self,
        content: Tensor,
        position: Tensor,
        bias: Tensor | None,
        reference_boxes: Tensor,
        value: Tensor,
        spatial_shapes: SpatialShapes,
    ) -> Tensor:
        """``(B, Q, C)`` to ``(B, Q, C)``; ``reference_boxes`` are ``(B, Q, L, 4)`` in the padded batch."""
        content = self.norm2(content + self.self_attn(content, position, bias))
        attended = self.cross_attn(content + position, reference_boxes, value, spatial_shapes)
        content = self.norm1(content + attended)
        return self.norm3(content + self.linear2(F.relu(self.linear1(content))))


class RelationDecoder(nn.Module):
    """Stack of :class:`DecoderLayer` with class and box heads of its own for each layer.

    Args:
        num_layers: layers.
        num_classes: outputs of the class heads.
        relation: config of the relation encoder, ``dict(type="PositionRelation", ...)``; None: no relation.
        query_scale: scale the position of the queries by an MLP of their content from layer 1 on.
        with_cp: recompute each layer, with its relation, in the backward pass.
        **layer: arguments of :class:`DecoderLayer`.
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
        self.layers = nn.ModuleList(DecoderLayer(**layer) for _ in range(num_layers))
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
        content: Tensor,
        boxes: Tensor,
        values: list[Tensor],
        spatial_shapes: SpatialShapes,
        ratios: Tensor,
        blocked: Tensor | None = None,
        with_relation: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Decode.

        Args:
            content: ``(B, Q, C)``.
            boxes: initial references ``(B, Q, 4)`` cxcywh in [0, 1] of the image's content.
            values: of :meth:`project_values`.
            spatial_shapes: height and width of the L levels.
            ratios: valid ratios ``(B, L, 2)``.
            blocked: boolean ``(Q, Q)``, True where a query must not see another.
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
                content,
                boxes.detach(),
                pair,
                values[index],
                spatial_shapes,
                ratios,
                blocked,
            )
            if self.with_cp and self.training:
                content = checkpoint(self._step, *arguments, use_reentrant=False)
            else:
                content = self._step(*arguments)
            normed = self.norm(content)
            logits.append(self.class_head[index](normed))
            predictions.append((self.bbox_head[index](normed) + box_logits(boxes)).sigmoid())
            source, target = target, predictions[-1]
            if index + 1 < len(self.layers):
                # The next reference comes from the un-normalised content. Gradients reach it through the
                # next prediction only ("look forward twice").
                boxes = (self.bbox_head[index](content) + box_logits(boxes.detach())).sigmoid()
        return torch.stack(logits), torch.stack(predictions)

    def _step(
        self,
        layer: DecoderLayer,
        index: int,
        content: Tensor,
        boxes: Tensor,
        pair: tuple[Tensor, Tensor] | None,
        value: Tensor,
        spatial_shapes: SpatialShapes,
        ratios: Tensor,
        blocked: Tensor | None,
    ) -> Tensor:
        reference_boxes = boxes[:, :, None] * ratios  # (B, Q, L, 4)
        position = self.query_position(reference_boxes[:, :, 0])
        if index and self.query_scale is not None:
            position = position * self.query_scale(content)
        if pair is not None:
            bias = self.relation(*pair, blocked=blocked)
        else:
            bias = None if blocked is None else _blocking_bias(blocked, content)
        return layer(content, position, bias, reference_boxes, value, spatial_shapes)

    def query_position(self, boxes: Tensor) -> Tensor:
        """Position of queries ``(B, Q, C)`` from their boxes ``(B, Q, 4)`` in the padded batch."""
        return self.ref_point_head(box_position(boxes, self.embed_dims // 2))


def _blocking_bias(blocked: Tensor, like: Tensor) -> Tensor:
    return torch.zeros(blocked.shape, dtype=like.dtype, device=like.device).masked_fill(blocked, -torch.inf)
