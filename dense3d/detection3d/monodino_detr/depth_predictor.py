"""Depth map of the foreground, and depth tokens that the decoder's queries attend to.

Zhang et al., "MonoDETR: Depth-guided Transformer for Monocular 3D Object Detection", ICCV 2023
(arXiv 2203.13310), section 3.2 and 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.detection3d.monodino_detr.bins import bin_values
from dense3d.layers.sine_position import map_position
from dense3d.registry import MODELS


@dataclass
class DepthPrediction:
    """Depth of a batch on a grid of h x w cells."""

    logits: Tensor  # (B, bins + 1, h, w), the last is background
    expected: Tensor  # (B, h, w) metres
    position: Tensor  # (B, h * w, C) embedding of the expected depth
    tokens: Tensor  # (B, h * w, C)


class DepthEncoderLayer(nn.Module):
    """Global self-attention and feed-forward network, each added and then normalised.

    Args:
        embed_dims: channels.
        num_heads: heads.
        feedforward_channels: channels within the feed-forward network.
        dropout: of attention weights, of both outputs and within the feed-forward network.
    """

    def __init__(self, embed_dims: int, num_heads: int, feedforward_channels: int, dropout: float):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(embed_dims, num_heads, dropout, batch_first=True)
        self.norm1 = nn.LayerNorm(embed_dims)
        self.linear1 = nn.Linear(embed_dims, feedforward_channels)
        self.linear2 = nn.Linear(feedforward_channels, embed_dims)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, tokens: Tensor, position: Tensor) -> Tensor:
        """``(B, S, C)`` and their position ``(S, C)`` to ``(B, S, C)``."""
        query = tokens + position
        attended = self.self_attn(query, query, tokens, need_weights=False)[0]
        tokens = self.norm1(tokens + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(tokens)))
        return self.norm2(tokens + self.dropout(self.linear2(hidden)))


class DepthPredictor(nn.Module):
    """Bins of depth for every cell, their mean, and tokens that know it.

    Args:
        source: config of what gives the features, such as ``dict(type="PyramidDepthSource")``.
        embed_dims: channels, a multiple of 32.
        num_bins: depth bins without the background.
        depth_min: metres, where the first bin begins.
        depth_max: metres, where the last one ends; a table has an embedding for every metre.
        num_heads: heads of the attention among cells.
        feedforward_channels: channels within its feed-forward network.
        num_layers: layers of attention.
        dropout: of these layers.
    """

    def __init__(
        self,
        source: dict,
        embed_dims: int = 256,
        num_bins: int = 80,
        depth_min: float = 1e-3,
        depth_max: float = 60.0,
        num_heads: int = 8,
        feedforward_channels: int = 256,
        num_layers: int = 1,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.depth_max = depth_max
        self.source = MODELS.build({"embed_dims": embed_dims, **source})
        self.head = nn.Sequential(*(part for _ in range(2) for part in _convolution(embed_dims)))
        self.classifier = nn.Conv2d(embed_dims, num_bins + 1, 1)
        self.encoder = nn.ModuleList(
            DepthEncoderLayer(embed_dims, num_heads, feedforward_channels, dropout) for _ in range(num_layers)
        )
        self.metres = nn.Embedding(int(depth_max) + 1, embed_dims)
        self.register_buffer("bin_values", bin_values(num_bins, depth_min, depth_max))

    def forward(self, levels: list[Tensor], relative_depth: Tensor | None = None) -> DepthPrediction:
        """Predict depth.

        Args:
            levels: feature pyramid.
            relative_depth: ``(B, 1, H, W)``, if the source uses it.
        """
        features = self.head(self.source(levels, relative_depth))  # (B, C, h, w)
        logits = self.classifier(features)
        weights = logits.float().softmax(dim=1)  # (B, bins + 1, h, w)
        expected = (weights * self.bin_values[:, None, None]).sum(dim=1)
        position = map_position(features.shape[-2:], features.shape[1], features.device)
        tokens = features.flatten(2).transpose(1, 2)  # (B, h * w, C)
        for layer in self.encoder:
            tokens = layer(tokens, position)
        depth_position = self.embed(expected.flatten(1))
        return DepthPrediction(logits, expected, depth_position, tokens + depth_position)

    def embed(self, depth: Tensor) -> Tensor:
        """Embedding ``(..., C)`` of depths ``(...)`` in metres, linear between whole metres.

        Gradients reach the depth through the weights of both neighbours. A depth that is NaN has no embedding
        but NaN.
        """
        depth = depth.clamp(0, self.depth_max)
        near = depth.detach().nan_to_num().floor().long()
        far = (near + 1).clamp(max=self.metres.num_embeddings - 1)
        share = (depth - near)[..., None]
        return self.metres(near) * (1 - share) + self.metres(far) * share


def _convolution(channels: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(32, channels), nn.ReLU()
