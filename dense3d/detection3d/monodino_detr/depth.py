"""Depth: a map of the foreground with tokens that queries attend to, and the depth of each query.

Zhang et al., "MonoDETR: Depth-guided Transformer for Monocular 3D Object Detection", ICCV 2023
(arXiv 2203.13310), sections 3.2 to 3.4. Bins whose width grows linearly with depth (LID) are those of Reading
et al., "Categorical Depth Distribution Network for Monocular 3D Object Detection", CVPR 2021, eq. 2: with
``delta = 2 (max - min) / (N (N + 1))``, bin k begins at ``min + delta k (k + 1) / 2``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.layers.sine_position import map_position
from dense3d.registry import MODELS


def bin_values(num_bins: int, depth_min: float, depth_max: float) -> Tensor:
    """The depth that stands for each bin, its near edge, and ``depth_max`` for the background: ``(N + 1,)``.

    Args:
        num_bins: N.
        depth_min: metres, where bin 0 begins.
        depth_max: metres, where the last bin ends.

    Example:
        >>> bin_values(3, 0.0, 12.0).tolist()
        [0.0, 2.0, 6.0, 12.0]
    """
    delta = 2 * (depth_max - depth_min) / (num_bins * (num_bins + 1))
    index = torch.arange(num_bins, dtype=torch.float64)
    edges = depth_min + delta * index * (index + 1) / 2
    return torch.cat([edges, edges.new_tensor([depth_max])]).float()


def bin_index(depth: Tensor, num_bins: int, depth_min: float, depth_max: float) -> Tensor:
    """The bin of each depth, int64; N, the background, for depths out of range or not finite.

    Args:
        depth: metres, any shape.
        num_bins: N.
        depth_min: metres.
        depth_max: metres.

    Example:
        >>> bin_index(torch.tensor([0.5, 2.5, 11.0, 13.0, -1.0]), 3, 0.0, 12.0).tolist()
        [0, 1, 2, 3, 3]
    """
    delta = 2 * (depth_max - depth_min) / (num_bins * (num_bins + 1))
    index = -0.5 + 0.5 * torch.sqrt(1 + 8 * (depth - depth_min) / delta)
    outside = ~torch.isfinite(index) | (index < 0) | (index > num_bins)
    return index.masked_fill(outside, num_bins).long()


@MODELS.register_module()
class PyramidDepthSource(nn.Module):
    """Mean of three neighbouring levels at the size of the middle one.

    Args:
        embed_dims: channels of all maps, a multiple of 32.

    Shape:
        ``(B, C, 2h, 2w)``, ``(B, C, h, w)``, ``(B, C, h / 2, w / 2)`` and further levels to ``(B, C, h, w)``.
    """

    def __init__(self, embed_dims: int = 256):
        super().__init__()
        self.fine = nn.Sequential(
            nn.Conv2d(embed_dims, embed_dims, 3, stride=2, padding=1), nn.GroupNorm(32, embed_dims)
        )
        self.middle = nn.Sequential(nn.Conv2d(embed_dims, embed_dims, 1), nn.GroupNorm(32, embed_dims))
        self.coarse = nn.Sequential(nn.Conv2d(embed_dims, embed_dims, 1), nn.GroupNorm(32, embed_dims))

    def forward(self, levels: Sequence[Tensor], relative_depth: Tensor | None = None) -> Tensor:
        """Features; there is no use for relative depth."""
        fine, middle, coarse = levels[:3]
        coarse = F.interpolate(coarse, middle.shape[-2:], mode="bilinear", align_corners=False)
        return (self.fine(fine) + self.middle(middle) + self.coarse(coarse)) / 3


@MODELS.register_module()
class RelativeDepthSource(nn.Module):
    """Relative depth, resized to the coarsest level and convolved.

    Args:
        embed_dims: channels of the features, a multiple of 32.

    Shape:
        levels, the last of them ``(B, C, h, w)``, and relative depth ``(B, 1, H, W)`` to ``(B, C, h, w)``.
    """

    def __init__(self, embed_dims: int = 256):
        super().__init__()
        self.convolution = nn.Sequential(
            nn.Conv2d(1, embed_dims, 3, padding=1), nn.GroupNorm(32, embed_dims), nn.ReLU()
        )

    def forward(self, levels: Sequence[Tensor], relative_depth: Tensor) -> Tensor:
        """Features of the relative depth; of the levels only the size is used."""
        size = levels[-1].shape[-2:]
        return self.convolution(F.interpolate(relative_depth, size, mode="bilinear", align_corners=False))


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

    def forward(self, query: Tensor, query_pos: Tensor) -> Tensor:
        """``(B, S, C)`` and their position ``(S, C)`` to ``(B, S, C)``."""
        placed = query + query_pos
        attended = self.self_attn(placed, placed, query, need_weights=False)[0]
        query = self.norm1(query + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(query)))
        return self.norm2(query + self.dropout(self.linear2(hidden)))


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


@dataclass
class Camera:
    """What geometry needs to know of each image of a batch."""

    focal: Tensor  # (B,) pixels
    image_height: Tensor  # (B,) pixels of the original image


def fused_depth(
    regressed: Tensor, heights: Tensor, boxes: Tensor, expected_depth: Tensor, camera: Camera
) -> Tensor:
    """Mean of the three estimates, ``(B, Q)`` in metres.

    Args:
        regressed: ``(B, Q)``, before :func:`regressed_depth`.
        heights: ``(B, Q)`` of the 3D boxes in metres.
        boxes: ``(B, Q, 6)``, see :mod:`dense3d.detection3d.monodino_detr.prediction`.
        expected_depth: ``(B, h, w)`` metres.
        camera: of the batch.
    """
    estimates = (
        regressed_depth(regressed),
        geometric_depth(heights, boxes, camera),
        map_depth(expected_depth, boxes),
    )
    return sum(estimates) / 3


def regressed_depth(value: Tensor) -> Tensor:
    """``1 / sigmoid(value) - 1``: exponentially falling, 1 m at 0.

    Example:
        >>> import torch
        >>> regressed_depth(torch.tensor([0.0, -3.0])).round(decimals=1).tolist()
        [1.0, 20.100000381469727]
    """
    return 1 / (value.float().sigmoid() + 1e-6) - 1


def geometric_depth(heights: Tensor, boxes: Tensor, camera: Camera) -> Tensor:
    """``focal * height / height of the 2D box in pixels``, which counts as one pixel at least: ``(B, Q)``.

    Gradients reach both heights.

    Example:
        >>> import torch
        >>> camera = Camera(torch.tensor([700.0]), torch.tensor([400.0]))
        >>> box = torch.tensor([[[0.5, 0.5, 0.1, 0.1, 0.125, 0.125]]])  # 100 pixels high
        >>> geometric_depth(torch.tensor([[1.5]]), box, camera).tolist()
        [[10.5]]
    """
    pixels = (boxes[..., 4] + boxes[..., 5]) * camera.image_height[:, None]
    return heights * camera.focal[:, None] / pixels.clamp(min=1.0)


def map_depth(expected_depth: Tensor, boxes: Tensor) -> Tensor:
    """The depth map at the centres, ``(B, Q)``: bilinear, its corners at those of the image, 0 outside.

    Gradients reach the map alone.
    """
    grid = boxes[..., :2].detach()[:, :, None] * 2 - 1  # (B, Q, 1, 2)
    sampled = F.grid_sample(expected_depth[:, None], grid.to(expected_depth.dtype), align_corners=True)
    return sampled[:, 0, :, 0]
