"""Decoder of Co-DINO."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.layers import MLP, coordinate_to_encoding, inverse_sigmoid
from mmdet.models.layers.transformer import DinoTransformerDecoder
from torch import Tensor, nn

EPS = 1e-3  # of the references' logits


class CoDINODecoder(DinoTransformerDecoder):
    """DINO's decoder with positions as the official code makes them: C / 2 sines for each of 4 coordinates.

    Some versions of mmdet take twice as many, and official weights do not fit theirs.
    """

    def _init_layers(self) -> None:
        super()._init_layers()
        dim = self.embed_dims
        self.ref_point_head = MLP(2 * dim, dim, dim, 2)

    def forward(
        self,
        query: Tensor,
        *,
        reference_points: Tensor,
        valid_ratios: Tensor,
        reg_branches: Sequence[nn.Module],
        **inputs: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Decode.

        Args:
            query: ``(B, Q, C)``.
            reference_points: boxes ``(B, Q, 4)``, CXCYWH in [0, 1] of the images' content.
            valid_ratios: share of each level that is content ``(B, levels, 2)``.
            reg_branches: box head of each layer.
            inputs: ``value``, masks and shapes for mmdet's layers.

        Returns:
            States of the L layers ``(L, B, Q, C)``, and the references before and after each
            ``(L + 1, B, Q, 4)``.
        """
        ratios = valid_ratios.repeat(1, 1, 2)[:, None]  # (B, 1, levels, 4)
        states, references = [], [reference_points]
        for layer, regress in zip(self.layers, reg_branches):
            on_levels = reference_points[:, :, None] * ratios  # (B, Q, levels, 4)
            sines = coordinate_to_encoding(on_levels[:, :, 0], num_feats=self.embed_dims // 2)
            query = layer(
                query,
                query_pos=self.ref_point_head(sines),
                reference_points=on_levels,
                valid_ratios=valid_ratios,
                **inputs,
            )
            moved = (regress(query) + inverse_sigmoid(reference_points, eps=EPS)).sigmoid()
            reference_points = moved.detach()
            states.append(self.norm(query))
            references.append(moved)
        return torch.stack(states), torch.stack(references)
