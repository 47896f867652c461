"""Image to patch tokens."""

from __future__ import annotations

from torch import Tensor, nn

Grid = tuple[int, int]  # rows and columns of the patches


class PatchEmbed(nn.Module):
    """Linear projection of square patches that do not overlap.

    Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, eq. 1.

    Args:
        patch_size: side of a patch in pixels.
        in_channels: channels of the image.
        dim: channels of a token.

    Shape:
        ``(B, in_channels, H, W)`` to tokens ``(B, h * w, dim)`` in row-major order and the grid ``(h, w)``,
        ``h = H // patch_size``: pixels right of and below the last whole patch are not seen.

    Example:
        >>> import torch
        >>> tokens, grid = PatchEmbed(16, 3, 8)(torch.zeros(2, 3, 32, 50))
        >>> tokens.shape, grid
        (torch.Size([2, 6, 8]), (2, 3))
    """

    def __init__(self, patch_size: int, in_channels: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> tuple[Tensor, Grid]:
        """Tokens and their grid."""
        features = self.proj(images)  # (B, D, h, w)
        return features.flatten(2).transpose(1, 2), (features.shape[2], features.shape[3])


def tokens_to_map(tokens: Tensor, grid: Grid) -> Tensor:
    """``(B, h * w, D)`` in row-major order to ``(B, D, h, w)``."""
    return tokens.transpose(1, 2).unflatten(2, grid).contiguous()


def map_to_tokens(features: Tensor) -> Tensor:
    """``(B, D, h, w)`` to ``(B, h * w, D)`` in row-major order."""
    return features.flatten(2).transpose(1, 2)
