"""The joint decoder: hidden patches of photographs and hidden groups of clouds from the visible ones.

Chen et al., "PiMAE: Point Cloud and Image Interactive Masked Autoencoders for 3D Object Detection", CVPR
2023, section 3.3 (BLVLab/PiMAE): one shared block, then blocks of each sense.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dense3d.layers.patch_embed import Grid, sincos_position_table
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.pointcloud.transformer import NORM_EPS, position_embedding, run_blocks, transformer_blocks
from dense3d.pretraining.gaussian2scene.encoders import PointTokens

IMAGE_EPS = 1e-6


class Decoded(NamedTuple):
    """What the decoder makes of a batch.

    Attributes:
        image_features: ``(B, L, d)``, after the image branch's norm.
        pixels: ``(B, L, p * p * 3)``.
        point_features: ``(B, H, d)`` of hidden groups.
        shared: ``(B, L + V + H, d)``, behind the shared blocks; None without any.
    """

    image_features: Tensor
    pixels: Tensor
    point_features: Tensor
    shared: Tensor | None


class JointDecoder(nn.Module):
    """Decoder of both senses.

    Args:
        encoder_dim: D, channels of the encoded tokens.
        patch_values: pixels times channels of a patch.
        group_size: k, points of a group.
        cross_values: C, values that are predicted for each point from the other sense; 0 for none.
        dim: d, channels of the decoder.
        shared_depth, image_depth, point_depth: blocks on both senses, on images, on clouds. Without shared
            blocks the senses do not meet here, and have no vectors that tell them apart.
        shared_heads, image_heads, point_heads: of their attention.
        mlp_ratio, image_mlp_ratio: widths of feed-forward networks of shared and image blocks; 4 of clouds.
        point_drop_path: stochastic depth of the last block on clouds.
    """

    def __init__(
        self,
        encoder_dim: int,
        patch_values: int,
        group_size: int,
        cross_values: int,
        dim: int = 192,
        shared_depth: int = 1,
        image_depth: int = 2,
        point_depth: int = 2,
        shared_heads: int = 3,
        image_heads: int = 3,
        point_heads: int = 3,
        mlp_ratio: float = 4.0,
        image_mlp_ratio: float = 4.0,
        point_drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        self.dim, self.group_size = dim, group_size
        self.image_embed, self.point_embed = nn.Linear(encoder_dim, dim), nn.Linear(encoder_dim, dim)
        self.image_mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.point_mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.point_position = position_embedding(dim)
        self.shared_norm = self.image_modality = self.point_modality = None
        self.shared_blocks = _blocks(dim, shared_depth, shared_heads, mlp_ratio)
        if shared_depth:
            self.shared_norm = nn.LayerNorm(dim, eps=IMAGE_EPS)
            self.image_modality = nn.Parameter(torch.zeros(1, 1, dim))
            self.point_modality = nn.Parameter(torch.zeros(1, 1, dim))
        self.image_blocks = _blocks(dim, image_depth, image_heads, image_mlp_ratio)
        self.image_norm = nn.LayerNorm(dim, eps=IMAGE_EPS)
        self.predict_pixels = nn.Linear(dim, patch_values)
        self.point_blocks = transformer_blocks(dim, point_depth, point_heads, point_drop_path)
        self.point_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.predict_points = nn.Linear(dim, 3 * group_size)
        self.predict_cross = nn.Linear(dim, cross_values * group_size) if cross_values else None

    def forward(
        self, image: Tensor, restore: Tensor, grid: Grid, points: PointTokens, hidden: Tensor
    ) -> Decoded:
        """Features and pixels.

        Args:
            image: ``(B, K, D)``, encoded visible patches.
            restore: ``(B, L)``, see :class:`~dense3d.pretraining.gaussian2scene.masking.PatchMask`.
            grid: rows and columns of the patches.
            points: encoded visible tokens of the clouds.
            hidden: ``(B, H, 3)``, centres of hidden groups.
        """
        table = position_table(grid, self.dim).to(image)
        tokens = self.image_embed(image)  # (B, K, d)
        missing = restore.shape[1] - tokens.shape[1]
        masked = self.image_mask_token.to(tokens.dtype).expand(len(tokens), missing, -1)
        tokens = torch.cat([tokens, masked], dim=1)
        pixels = tokens.gather(1, restore[..., None].expand(-1, -1, self.dim)) + table
        cloud, positions = self._cloud_tokens(points, hidden)
        shared = None
        if self.shared_norm is not None:
            joined = torch.cat([pixels + self.image_modality, cloud + positions + self.point_modality], dim=1)
            shared = self._shared(joined)
            pixels, cloud = shared.split([pixels.shape[1], cloud.shape[1]], dim=1)
            pixels = pixels + table
        for block in self.image_blocks:
            pixels = block(pixels)
        features = self.image_norm(pixels)
        cloud, _ = run_blocks(self.point_blocks, cloud, positions)
        found = self.point_norm(cloud[:, cloud.shape[1] - hidden.shape[1] :])
        return Decoded(features, self.predict_pixels(features), found, shared)

    def cloud_features(self, points: PointTokens, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(B, V, d)`` of visible tokens and ``(B, H, d)`` of hidden groups, of the cloud alone."""
        cloud, positions = self._cloud_tokens(points, hidden)
        if self.shared_norm is not None:
            cloud = self._shared(cloud + positions + self.point_modality)
        cloud, _ = run_blocks(self.point_blocks, cloud, positions)
        cloud = self.point_norm(cloud)
        return cloud[:, : points.features.shape[1]], cloud[:, points.features.shape[1] :]

    def points_of(self, features: Tensor) -> Tensor:
        """Points ``(B, H, k, 3)`` relative to their centres, of features ``(B, H, d)``."""
        return self.predict_points(features).unflatten(2, (self.group_size, 3))

    def cross_of(self, features: Tensor) -> Tensor:
        """Values ``(B, H, k, C)`` of the other sense, of features ``(B, H, d)``."""
        return self.predict_cross(features).unflatten(2, (self.group_size, -1))

    def _cloud_tokens(self, points: PointTokens, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Visible tokens, then mask tokens ``(B, V + H, d)``, and positions of both; not in order again."""
        tokens = self.point_embed(points.features)
        masked = self.point_mask_token.to(tokens.dtype).expand(len(tokens), hidden.shape[1], -1)
        positions = self.point_position(torch.cat([points.positions, hidden], dim=1))
        return torch.cat([tokens, masked], dim=1), positions

    def _shared(self, tokens: Tensor) -> Tensor:
        for block in self.shared_blocks:
            tokens = block(tokens)
        return self.shared_norm(tokens)


@lru_cache(maxsize=8)
def position_table(grid: Grid, dim: int) -> Tensor:
    """The fixed table ``(1, rows * columns, dim)`` of sines and cosines, on the CPU."""
    with torch.device("cpu"):
        return sincos_position_table(grid, dim)


def _blocks(dim: int, depth: int, num_heads: int, mlp_ratio: float) -> nn.ModuleList:
    return nn.ModuleList(
        TransformerBlock(dim, num_heads, mlp_ratio, norm_eps=IMAGE_EPS) for _ in range(depth)
    )
