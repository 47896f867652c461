"""Transformer decoder of kMaX-DeepLab: queries become the means of the pixels that they win.

Yu et al., "k-means Mask Transformer", ECCV 2022 (arXiv:2207.04044), section 3.2. One step of k-means is a
cross-attention in which each pixel belongs to its best query alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.layers.transformer_block import DropPath
from dense3d.segmentation.kmax_deeplab.layers import ConvNorm, batch_norm, folded, truncated_normal_

# Share of queries that are expected to be void before training.
VOID_PRIOR = 0.9


@dataclass
class Prediction:
    """What the queries of one layer say."""

    logits: Tensor  # (B, N, K + 1), the last is void
    masks: Tensor  # (B, N, h, w) logits over the queries
    pixels: Tensor  # (B, 128, h, w), of unit length as predicted


class KMaXPredictor(nn.Module):
    """Masks as inner products of pixel features with a kernel of each query.

    Args:
        num_classes: K, without void.
        query_channels: channels of the queries.
        pixel_channels: channels of the map.
        kernel_channels: channels of pixel features and kernels.

    Example:
        >>> predictor = KMaXPredictor(num_classes=3)
        >>> queries, pixels = torch.zeros(1, 256, 5), torch.zeros(1, 256, 4, 6)
        >>> predictor(queries, queries, pixels).masks.shape
        torch.Size([1, 5, 4, 6])
    """

    def __init__(
        self,
        num_classes: int,
        query_channels: int = 256,
        pixel_channels: int = 256,
        kernel_channels: int = 128,
    ) -> None:
        super().__init__()
        # Makes a query void with probability VOID_PRIOR when all other logits are zero; it is no parameter.
        self.void_bias = math.log(num_classes * VOID_PRIOR / (1 - VOID_PRIOR))
        self.pixel_depthwise = ConvNorm(pixel_channels, pixel_channels, kernel_size=5, depthwise=True)
        self.pixel_proj = ConvNorm(pixel_channels, 256)
        self.pixel_output = ConvNorm(256, kernel_channels, bias=True, act=False, std=0.01)
        self.mask_kernel = ConvNorm(query_channels, kernel_channels, dims=1, act=False)
        self.mask_norm = batch_norm(1, gamma=0.1)
        self.class_proj = nn.Conv1d(query_channels, num_classes + 1, 1)
        truncated_normal_(self.class_proj.weight, 0.01)
        nn.init.zeros_(self.class_proj.bias)

    def forward(self, mask_queries: Tensor, class_queries: Tensor, pixels: Tensor) -> Prediction:
        """Predict.

        Args:
            mask_queries: ``(B, query_channels, N)``, from which kernels are made.
            class_queries: ``(B, query_channels, N)``, which are classified.
            pixels: ``(B, pixel_channels, h, w)``.
        """
        pixels = self.pixel_output(self.pixel_proj(self.pixel_depthwise(pixels)))
        pixels = F.normalize(pixels, dim=1)
        kernels = self.mask_kernel(mask_queries)
        masks = kernels.transpose(1, 2) @ pixels.flatten(2)  # (B, N, h * w)
        masks = self.mask_norm(masks[:, None])[:, 0].unflatten(2, pixels.shape[-2:])
        logits = self.class_proj(class_queries).transpose(1, 2)
        void = logits.new_zeros(logits.shape[-1])
        void[-1] = self.void_bias
        return Prediction(logits + void, masks, pixels)


@torch.no_grad()
def assign_clusters(logits: Tensor) -> Tensor:
    """Index of the cluster with the largest logit at every pixel, the first one among equals.

    Args:
        logits: ``(B, N, H, W)`` of N clusters.

    Returns:
        ``(B, H, W)``; there is no gradient.

    Example:
        >>> assign_clusters(torch.tensor([[[[1.0, 3.0]], [[2.0, 0.0]]]])).tolist()
        [[[1, 0]]]
    """
    return logits.argmax(dim=1)


def gather_clusters(values: Tensor, assignment: Tensor, num_clusters: int) -> Tensor:
    """Sum of the values of each cluster's pixels.

    The product of a one-hot assignment with the values, without that matrix of clusters and pixels: each
    pixel is added where it belongs. The gradient of a sum goes to its pixels as it is.

    Args:
        values: ``(B, C, H, W)``.
        assignment: ``(B, H, W)``, cluster of each pixel.
        num_clusters: N.

    Returns:
        ``(B, C, N)``, in single precision at least: a cluster may have tens of thousands of pixels, whose sum
        is beyond half precision. Clusters without pixels are zero.

    Example:
        >>> gather_clusters(torch.tensor([[[[1.0, 2.0, 4.0]]]]), torch.tensor([[[2, 0, 2]]]), 3).tolist()
        [[[2.0, 0.0, 5.0]]]
    """
    channels = values.shape[1]
    index = assignment.flatten(1)[:, None].expand(-1, channels, -1)  # (B, C, H * W)
    pixels = values.to(torch.promote_types(values.dtype, torch.float32)).flatten(2)
    return pixels.new_zeros(len(pixels), channels, num_clusters).scatter_add(2, index, pixels)


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


class KMaXDecoderLayer(nn.Module):
    """Predict, gather the pixels that each query wins, attend among queries, feed forward.

    Args:
        num_classes: K, without void.
        pixel_channels: channels of the pixel decoder's map.
        channels: of the queries.
        feedforward_channels: inside the feed-forward network.
        drop_path: probability of leaving each residual branch out.

    Example:
        >>> layer = KMaXDecoderLayer(num_classes=3, pixel_channels=32)
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
        self.predictor = KMaXPredictor(num_classes, channels, channels)
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


class KMaXDecoder(nn.Module):
    """Learnt cluster centres, refined on maps from coarse to fine, and the final prediction.

    Args:
        num_classes: K, without void.
        num_queries: N.
        pixel_channels: channels of the maps for the layers, and of the last for the final prediction.
        layers_per_map: decoder layers on each map.
        channels: of the queries.
        drop_path: probability of leaving each residual branch out.

    Example:
        >>> decoder = KMaXDecoder(3, num_queries=5, pixel_channels=(32, 16), layers_per_map=(1,))
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
            KMaXDecoderLayer(num_classes, pixel_channels[i], channels, drop_path=drop_path)
            for i in self.map_of_layer
        )
        self.class_proj = ConvNorm(channels, channels, dims=1)
        self.mask_proj = ConvNorm(channels, channels, dims=1)
        self.predictor = KMaXPredictor(num_classes, channels, pixel_channels[-1])

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
