"""Transformer decoder of kMaX-DeepLab: queries become the means of the pixels that they win."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.layers.transformer_block import DropPath
from dense3d.segmentation.kmax_deeplab.kmeans import assign_clusters, gather_clusters
from dense3d.segmentation.kmax_deeplab.layers import ConvNorm, batch_norm, folded, truncated_normal_
from dense3d.segmentation.kmax_deeplab.predictor import Prediction, Predictor


class QueryAttention(nn.Module):
    """Self-attention of queries; a batch norm of the logits stands for the usual scale.

    Args:
        channels: of the queries.
        key_channels: of queries and of keys inside, all heads together.
        value_channels: of values, all heads together.
        num_heads: heads.

    Shape:
        ``(B, channels, N)`` to the same.

    Example:
        >>> QueryAttention(16, 8, 16, num_heads=4)(torch.rand(1, 16, 5)).shape
        torch.Size([1, 16, 5])
    """

    def __init__(
        self, channels: int = 256, key_channels: int = 128, value_channels: int = 256, num_heads: int = 8
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.split = (key_channels, key_channels, value_channels)
        self.qkv = ConvNorm(channels, sum(self.split), dims=1, act=False, std=channels**-0.5)
        self.norm_logits = batch_norm(num_heads)
        self.norm_values = batch_norm(value_channels, dims=1)
        self.proj = ConvNorm(value_channels, channels, dims=1, act=False, gamma=0.0)

    def forward(self, queries: Tensor) -> Tensor:
        """What the queries learn from each other."""
        parts = self.qkv(queries).split(self.split, dim=1)
        query, key, value = (p.unflatten(1, (self.num_heads, -1)).transpose(2, 3) for p in parts)
        attended = self._attend(query, key, value)  # (B, M, N, d)
        return self.proj(F.gelu(self.norm_values(attended.transpose(2, 3).flatten(1, 2))))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if not self.norm_logits.training:
            # The folded norm scales each head's logits; its shift does not change the softmax.
            scale = folded(self.norm_logits)[0].view(-1, 1, 1).to(query.dtype)
            return F.scaled_dot_product_attention(query * scale, key, value, scale=1.0)
        logits = self.norm_logits(query @ key.transpose(-1, -2))  # (B, M, N, N)
        return logits.float().softmax(-1).to(value.dtype) @ value


class DecoderLayer(nn.Module):
    """Predict, gather the pixels that each query wins, attend among queries, feed forward.

    Args:
        num_classes: K, without void.
        pixel_channels: channels of the pixel decoder's map.
        channels: of the queries.
        feedforward_channels: inside the perceptron.
        drop_path: probability of leaving each residual branch out.

    Example:
        >>> layer = DecoderLayer(num_classes=3, pixel_channels=32)
        >>> queries, prediction = layer(torch.rand(1, 32, 4, 6), torch.rand(1, 256, 5))
        >>> queries.shape, prediction.logits.shape
        (torch.Size([1, 256, 5]), torch.Size([1, 5, 4]))
    """

    def __init__(
        self,
        num_classes: int,
        pixel_channels: int,
        channels: int = 256,
        feedforward_channels: int = 2048,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.pixel_proj = ConvNorm(pixel_channels, channels)
        self.query_proj = ConvNorm(channels, channels, dims=1)
        self.predictor = Predictor(num_classes, channels, channels)
        self.value_proj = ConvNorm(channels, channels, act=False, std=channels**-0.5)
        self.cluster_norm = batch_norm(channels, dims=1)
        self.cluster_proj = ConvNorm(channels, channels, dims=1, act=False, gamma=0.0)
        self.attention = QueryAttention(channels, channels // 2, channels)
        self.feedforward = nn.Sequential(
            ConvNorm(channels, feedforward_channels, dims=1),
            ConvNorm(feedforward_channels, channels, dims=1, act=False, gamma=0.0),
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, features: Tensor, queries: Tensor) -> tuple[Tensor, Prediction]:
        """Updated queries ``(B, C, N)`` and what the queries predict before the update.

        Args:
            features: ``(B, pixel_channels, h, w)``, not activated.
            queries: ``(B, channels, N)``.
        """
        pixels = self.pixel_proj(F.gelu(features))
        projected = self.query_proj(queries)
        prediction = self.predictor(projected, projected, pixels)
        assignment = assign_clusters(prediction.masks)
        clusters = gather_clusters(self.value_proj(pixels), assignment, queries.shape[2])
        # The norm takes the sums in the precision of its statistics; under autocast that is single.
        clusters = self.cluster_norm(clusters.to(self.cluster_norm.weight.dtype))
        queries = queries + self.drop_path(self.cluster_proj(clusters))
        # Official: attention sees the queries from before the k-means step.
        queries = F.gelu(queries + self.drop_path(self.attention(projected)))
        return F.gelu(queries + self.drop_path(self.feedforward(queries))), prediction


class Decoder(nn.Module):
    """Learnt cluster centres, refined on maps from coarse to fine, and the final prediction.

    Args:
        num_classes: K, without void.
        num_queries: N.
        pixel_channels: channels of the maps for the layers, and of the last for the final prediction.
        layers_per_map: decoder layers on each map.
        channels: of the queries.
        drop_path: probability of leaving each residual branch out.

    Example:
        >>> decoder = Decoder(3, num_queries=5, pixel_channels=(32, 16), layers_per_map=(1,))
        >>> outputs = decoder([torch.rand(1, 32, 4, 6), torch.rand(1, 16, 8, 12)])
        >>> [tuple(output.masks.shape) for output in outputs]
        [(1, 5, 4, 6), (1, 5, 8, 12)]
    """

    def __init__(
        self,
        num_classes: int,
        num_queries: int,
        pixel_channels: Sequence[int],
        layers_per_map: Sequence[int] = (2, 2, 2),
        channels: int = 256,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.cluster_centers = nn.Parameter(truncated_normal_(torch.empty(channels, num_queries), 1.0))
        self.map_of_layer = [i for i, number in enumerate(layers_per_map) for _ in range(number)]
        self.layers = nn.ModuleList(
            DecoderLayer(num_classes, pixel_channels[i], channels, drop_path=drop_path)
            for i in self.map_of_layer
        )
        self.class_proj = ConvNorm(channels, channels, dims=1)
        self.mask_proj = ConvNorm(channels, channels, dims=1)
        self.predictor = Predictor(num_classes, channels, pixel_channels[-1])

    def forward(self, features: Sequence[Tensor]) -> list[Prediction]:
        """One prediction a layer, and the final one on the last map.

        Args:
            features: ``(B, C_i, h, w)``: a map for each entry of ``layers_per_map``, then the finest.
        """
        queries = self.cluster_centers.expand(len(features[0]), -1, -1)
        predictions = []
        for layer, index in zip(self.layers, self.map_of_layer):
            queries, prediction = layer(features[index], queries)
            predictions.append(prediction)
        final = self.predictor(self.mask_proj(queries), self.class_proj(queries), features[-1])
        return [*predictions, final]
