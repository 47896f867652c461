"""ViDT's decoder: deformable attention without an encoder, boxes refined layer by layer, and its heads.

Song et al., "ViDT", ICLR 2022 (arXiv 2110.03921), section 3.2; Zhu et al., "Deformable DETR", ICLR 2021.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmdet.models.layers import inverse_sigmoid
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.detection2d.vidt.body import resize_mask
from dense3d.layers.deformable_attention import MultiScaleDeformableAttention, SpatialShapes
from dense3d.layers.mlp import MLP
from dense3d.layers.padded_levels import content_centres, proposal_boxes, valid_ratios


@dataclass
class Memory:
    """Levels as one sequence, in the order in which the neck gives them."""

    tokens: Tensor  # (B, S, C)
    padding: Tensor | None  # (B, S), True where padded; None: nothing is
    shapes: SpatialShapes
    valid_ratios: Tensor  # (B, L, 2)


def flatten_levels(maps: Sequence[Tensor], padding: Tensor | None) -> Memory:
    """Levels one after the other.

    Args:
        maps: ``(B, C, h_i, w_i)``.
        padding: of the images, boolean ``(B, H, W)``; None: nothing is padding.
    """
    shapes = [(feature.shape[-2], feature.shape[-1]) for feature in maps]
    tokens = torch.cat([feature.flatten(2).transpose(1, 2) for feature in maps], dim=1)
    if padding is None:
        return Memory(tokens, None, shapes, tokens.new_ones(len(tokens), len(maps), 2, dtype=torch.float32))
    masks = [resize_mask(padding, shape) for shape in shapes]
    return Memory(tokens, torch.cat([m.flatten(1) for m in masks], dim=1), shapes, valid_ratios(masks))


class DecoderLayer(nn.Module):
    """Self-attention, deformable cross-attention and feed-forward network, each added and then normalised.

    Args:
        embed_dims: channels.
        num_heads: heads of both attentions.
        num_levels: levels of the pyramid.
        num_points: locations that a head samples on each level.
        feedforward_channels: channels within the feed-forward network.
        dropout: of the weights of the self-attention, and behind every part.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        feedforward_channels: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(embed_dims, num_heads, dropout, batch_first=True)
        self.self_attn_norm = nn.LayerNorm(embed_dims)
        self.cross_attn = MultiScaleDeformableAttention(embed_dims, num_heads, num_levels, num_points)
        self.cross_attn_norm = nn.LayerNorm(embed_dims)
        self.linear1 = nn.Linear(embed_dims, feedforward_channels)
        self.linear2 = nn.Linear(feedforward_channels, embed_dims)
        self.feedforward_norm = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)
        for linear in (self.self_attn.out_proj, self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, query: Tensor, position: Tensor, references: Tensor, memory: Memory) -> Tensor:
        """``(B, Q, C)`` to ``(B, Q, C)``; ``references`` are ``(B, Q, L, 2 or 4)`` in the padded batch."""
        placed = query + position
        attended = self.self_attn(placed, placed, query, need_weights=False)[0]
        query = self.self_attn_norm(query + self.dropout(attended))
        value = self.cross_attn.project_value(memory.tokens, memory.padding)
        attended = self.cross_attn(query + position, references, value, memory.shapes)
        query = self.cross_attn_norm(query + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(query)))
        return self.feedforward_norm(query + self.dropout(self.linear2(hidden)))


@dataclass
class Decoded:
    """States and boxes of the body's [DET] tokens and, after them, of every layer."""

    states: Tensor  # (layers + 1, B, Q, C)
    boxes: Tensor  # (layers + 1, B, Q, 4) cxcywh in [0, 1] of the image's content
    initial: Tensor  # (B, Q, 2) centres before any refinement


class ViDTDecoder(nn.Module):
    """Layers that refine [DET] tokens and their boxes; the body's tokens predict boxes of their own first.

    Args:
        num_layers: layers.
        box_refine: every layer has a box head of its own and starts from the box of the one before it;
            otherwise all share one, and boxes start from the first centres. A box is passed on without its
            gradient.
        with_cp: recompute each layer in the backward pass instead of keeping its activations.
        **layer: arguments of :class:`DecoderLayer`.

    Example:
        >>> layer = dict(embed_dims=16, num_heads=2, num_levels=1, num_points=2, feedforward_channels=32)
        >>> decoder = ViDTDecoder(2, **layer, dropout=0.0)
        >>> memory = flatten_levels([torch.rand(1, 16, 2, 3)], None)
        >>> decoder(torch.rand(1, 5, 16), torch.rand(1, 5, 16), memory).boxes.shape
        torch.Size([3, 1, 5, 4])
    """

    def __init__(self, num_layers: int, box_refine: bool = True, with_cp: bool = False, **layer) -> None:
        super().__init__()
        embed_dims = layer["embed_dims"]
        self.box_refine, self.with_cp = box_refine, with_cp
        self.layers = nn.ModuleList(DecoderLayer(**layer) for _ in range(num_layers))
        self.reference_points = nn.Linear(embed_dims, 2)
        nn.init.xavier_uniform_(self.reference_points.weight)
        nn.init.zeros_(self.reference_points.bias)
        head = prediction_mlp(embed_dims, 4)
        nn.init.zeros_(head.layers[-1].weight)
        nn.init.zeros_(head.layers[-1].bias)
        self.bbox_embed = copies(head, num_layers + 1, box_refine)
        nn.init.constant_(self.bbox_embed[0].layers[-1].bias[2:], -2.0)  # boxes start small

    def forward(self, query: Tensor, position: Tensor, memory: Memory, layers: int | None = None) -> Decoded:
        """Decode.

        Args:
            query: the body's [DET] tokens ``(B, Q, C)``.
            position: of the queries ``(B, Q, C)``.
            memory: the levels.
            layers: run the first layers only, as many; all unless given.
        """
        initial = self.reference_points(position).float().sigmoid()  # (B, Q, 2)
        states, boxes = [query], [self._box(0, query, initial)]
        for index, layer in enumerate(self.layers[:layers]):
            reference = boxes[-1].detach() if self.box_refine else initial
            ratios = memory.valid_ratios.repeat(1, 1, reference.shape[-1] // 2)[:, None]  # (B, 1, L, 2 or 4)
            arguments = (states[-1], position, reference[:, :, None] * ratios, memory)
            if self.with_cp and self.training:
                states.append(checkpoint(layer, *arguments, use_reentrant=False))
            else:
                states.append(layer(*arguments))
            boxes.append(self._box(index + 1, states[-1], reference))
        return Decoded(torch.stack(states), torch.stack(boxes), initial)

    def _box(self, index: int, state: Tensor, reference: Tensor) -> Tensor:
        """Boxes ``(B, Q, 4)`` from references that are boxes, or centres alone."""
        moved = of_layer(self.bbox_embed, index)(state).float()
        known = inverse_sigmoid(reference, eps=1e-5)
        return (moved + F.pad(known, (0, 4 - known.shape[-1]))).sigmoid()


class TokenLabelHead(nn.Module):
    """Class logits of the levels' tokens (ViDT+, arXiv 2204.07962, section 4.3).

    Args:
        embed_dims: channels.
        rows: of the logits.
    """

    def __init__(self, embed_dims: int, rows: int) -> None:
        super().__init__()
        self.enc_output = nn.Linear(embed_dims, embed_dims)
        self.enc_output_norm = nn.LayerNorm(embed_dims)
        self.token_embed = nn.Linear(embed_dims, rows)
        for linear in (self.enc_output, self.token_embed):
            nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(self.enc_output.bias)

    def forward(self, memory: Memory) -> list[Tensor]:
        """Logits ``(B, h, w, rows)`` of each level.

        Tokens in the padding, and those whose proposed box has a number outside of (0.01, 0.99), are zeros.
        """
        proposals = proposal_boxes(memory.shapes, content_centres(memory.shapes, memory.valid_ratios))
        hidden = ~((proposals > 0.01) & (proposals < 0.99)).all(-1)  # (B, S)
        if memory.padding is not None:
            hidden = hidden | memory.padding
        tokens = memory.tokens.masked_fill(hidden[..., None], 0.0)
        logits = self.token_embed(self.enc_output_norm(self.enc_output(tokens)))
        levels = logits.split([height * width for height, width in memory.shapes], dim=1)
        return [level.unflatten(1, shape) for level, shape in zip(levels, memory.shapes)]


def prediction_mlp(embed_dims: int, out_channels: int, hidden_channels: int | None = None) -> MLP:
    """Three linear layers with PyTorch's initial weights, as the official heads have them."""
    head = MLP(embed_dims, hidden_channels or embed_dims, out_channels, num_layers=3)
    for layer in head.layers:
        layer.reset_parameters()
    return head


def copies(head: nn.Module, number: int, separate: bool) -> nn.ModuleList:
    """Heads of all layers: copies with weights of their own, or one for all."""
    return nn.ModuleList([head, *(copy.deepcopy(head) for _ in range(number - 1))] if separate else [head])


def of_layer(heads: nn.ModuleList, index: int) -> nn.Module:
    """The head of a layer, or the one for all."""
    return heads[min(index, len(heads) - 1)]


def apply_heads(heads: nn.ModuleList, states: Tensor) -> Tensor:
    """Every layer's head on its states ``(L, B, Q, C)``: ``(L, B, Q, outputs)``."""
    if len(heads) == 1:
        return heads[0](states)
    return torch.stack([head(state) for head, state in zip(heads, states, strict=True)])
