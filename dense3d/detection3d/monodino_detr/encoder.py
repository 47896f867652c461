"""Visual encoder: deformable attention over a feature pyramid without padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dense3d.layers.deformable_attention import DeformableEncoderLayer, SpatialShapes
from dense3d.layers.sine_position import map_position


class VisualEncoder(nn.Module):
    """Stack of :class:`~dense3d.layers.deformable_attention.DeformableEncoderLayer`.

    Args:
        num_layers: layers.
        num_levels: levels of the pyramid.
        embed_dims: channels.
        **layer: other arguments of the layers.

    Example:
        >>> encoder = VisualEncoder(1, 2, 16, num_heads=2, num_points=4, feedforward_channels=32)
        >>> memory, shapes = encoder([torch.rand(1, 16, 4, 6), torch.rand(1, 16, 2, 3)])
        >>> memory.shape, shapes
        (torch.Size([1, 30, 16]), [(4, 6), (2, 3)])
    """

    def __init__(self, num_layers: int, num_levels: int, embed_dims: int, **layer: int | float):
        super().__init__()
        self.level_embeds = nn.Parameter(torch.randn(num_levels, embed_dims))
        self.layers = nn.ModuleList(
            DeformableEncoderLayer(embed_dims, num_levels=num_levels, **layer) for _ in range(num_layers)
        )

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, SpatialShapes]:
        """Encode maps ``(B, C, h, w)``, one a level, into a memory ``(B, S, C)``; also their sizes."""
        shapes = [(level.shape[-2], level.shape[-1]) for level in levels]
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)  # (B, S, C)
        channels, device = tokens.shape[-1], tokens.device
        position = torch.cat(
            [
                map_position(shape, channels, device) + embedding
                for shape, embedding in zip(shapes, self.level_embeds)
            ]
        )  # (S, C)
        references = torch.cat([cell_centres(shape, device) for shape in shapes])  # (S, 2)
        references = references[None, :, None].expand(len(tokens), -1, len(shapes), -1)
        for layer in self.layers:
            tokens = layer(tokens, position, references, shapes)
        return tokens, shapes


def cell_centres(shape: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Centres of a map's cells, ``(h * w, 2)`` as (x, y) in [0, 1], row by row.

    Example:
        >>> cell_centres((1, 2)).tolist()
        [[0.25, 0.5], [0.75, 0.5]]
    """
    y, x = ((torch.arange(size, device=device) + 0.5) / size for size in shape)
    return torch.cartesian_prod(y, x)[:, [1, 0]]
