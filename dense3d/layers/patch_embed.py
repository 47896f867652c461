"""From an image to tokens: patches, and the tables of absolute positions that are added to them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
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


def resize_position_table(
    table: Tensor, source: Grid, target: Grid, antialias: bool = False, offset: float = 0.0
) -> Tensor:
    """Bicubic resize of a table of positions to another grid (``align_corners=False``, in float32).

    =================================  =========  ======
    official code                      antialias  offset
    =================================  =========  ======
    DeiT, MAE, ViT-Adapter, ViT-CoMer  no         0
    timm, DINOv2 with registers        yes        0
    DINOv2                             no         0.1
    =================================  =========  ======

    Args:
        table: ``(1, h * w, D)``, row-major.
        source: its grid ``(h, w)``.
        target: the wanted grid; the source's own gives the table as it is.
        antialias: low-pass filter when shrinking.
        offset: added to each target side before dividing by the source's; the quotient, not the ratio of
            sizes, then scales the sampling coordinates.

    Returns:
        ``(1, target rows * target columns, D)`` in the dtype of ``table``.

    Example:
        >>> table = torch.arange(4.0).view(1, 4, 1)
        >>> resize_position_table(table, (2, 2), (2, 2)).flatten().tolist()
        [0.0, 1.0, 2.0, 3.0]
        >>> resize_position_table(table, (2, 2), (3, 5)).shape
        torch.Size([1, 15, 1])
    """
    if source == target:
        return table
    grid = table.float().transpose(1, 2).unflatten(2, source)  # (1, D, h, w)
    if offset:
        size = {"scale_factor": tuple((t + offset) / s for t, s in zip(target, source))}
    else:
        size = {"size": target}
    grid = F.interpolate(grid, mode="bicubic", align_corners=False, antialias=antialias, **size)
    return grid.flatten(2).transpose(1, 2).to(table.dtype)


def sincos_position_table(grid: Grid, dim: int) -> Tensor:
    """MAE's fixed table: half of the channels encode the column, the other half the row.

    Each half is ``[sin(p w), cos(p w)]`` with ``w_k = 10000 ** (-k / (d / 2))`` and d = ``dim / 2`` channels,
    He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022 (official code: column first).

    Args:
        grid: rows and columns.
        dim: channels, a multiple of four.

    Returns:
        ``(1, rows * columns, dim)``, row-major.

    Example:
        >>> sincos_position_table((1, 2), 4)[0, 1].tolist()  # column 1, row 0
        [0.8414709568023682, 0.5403022766113281, 0.0, 1.0]
    """
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    count = dim // 4
    frequencies = 10000.0 ** (-torch.arange(count, dtype=torch.float64) / count)
    halves = []
    for position in (columns, rows):
        angles = position.flatten()[:, None] * frequencies  # (N, d / 2)
        halves += [angles.sin(), angles.cos()]
    return torch.cat(halves, dim=1).float()[None]
