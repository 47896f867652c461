"""Deformable encoder whose memory is a learnt mixture of all its layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.layers.deformable_attention import DeformableEncoderLayer, SpatialShapes


class Encoder(nn.Module):
    """Stack of :class:`~dense3d.layers.deformable_attention.DeformableEncoderLayer`.

    Args:
        num_layers: layers.
        memory_fusion: mix the input and the outputs of all layers into the memory, instead of taking the
            last output.
        with_cp: recompute each layer in the backward pass instead of keeping its activations.
        **layer: arguments of :class:`~dense3d.layers.deformable_attention.DeformableEncoderLayer`.
    """

    def __init__(self, num_layers: int, memory_fusion: bool = True, with_cp: bool = False, **layer: int):
        super().__init__()
        self.with_cp = with_cp
        self.layers = nn.ModuleList(DeformableEncoderLayer(**layer) for _ in range(num_layers))
        self.memory_fusion = None
        if memory_fusion:
            embed_dims = layer["embed_dims"]
            self.memory_fusion = nn.Sequential(
                nn.Linear(embed_dims * (num_layers + 1), embed_dims),
                nn.ReLU(),
                nn.Linear(embed_dims, embed_dims),
                nn.LayerNorm(embed_dims),
            )

    def forward(
        self,
        tokens: Tensor,
        position: Tensor,
        reference_points: Tensor,
        spatial_shapes: SpatialShapes,
        padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Encode.

        Args:
            tokens: ``(B, S, C)``, the levels' cells one after the other.
            position: ``(B, S, C)``, added to the queries of every layer.
            reference_points: ``(B, S, L, 2)``, each cell's place on every level.
            spatial_shapes: height and width of the L levels.
            padding_mask: boolean ``(B, S)``, True where padded.

        Returns:
            memory ``(B, S, C)``.
        """
        states = [tokens]
        for layer in self.layers:
            arguments = (states[-1], position, reference_points, spatial_shapes, padding_mask)
            if self.with_cp and self.training:
                states.append(checkpoint(layer, *arguments, use_reentrant=False))
            else:
                states.append(layer(*arguments))
        if self.memory_fusion is None:
            return states[-1]
        return self.memory_fusion(torch.cat(states, dim=-1))
