"""A deformable encoder that images leave at depths of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn


class EarlyExitEncoder(BaseModule):
    """Takes the place of an encoder of mmdet's Deformable DETR family and of its parameters' names.

    The layers, the positions and the reference points are the same for all exits, so that leaving early only
    shortens the loop. Where the images of a batch leave at different depths, each layer computes those that
    go on and no others.

    Args:
        encoder: with ``layers``, ``embed_dims`` and ``get_encoder_reference_points``.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.layers = encoder.layers
        self.embed_dims = encoder.embed_dims
        self._points_of = encoder.get_encoder_reference_points
        self._depths: Sequence[int] | int = len(self.layers)
        self._reached: tuple[int, Tensor | None] | None = None  # of a walk: depth and state

    @contextlib.contextmanager
    def leaving_at(self, depths: Sequence[int] | int) -> Iterator[None]:
        """Within the context a pass stops at these depths: one a batch, or one an image."""
        before, self._depths = self._depths, depths
        try:
            yield
        finally:
            self._depths = before

    def walk(self, depths: Sequence[int]) -> Iterator[int]:
        """Each of some rising depths in turn; a pass goes on from where the pass before it stopped.

        Every pass within the loop has to be over the same batch.
        """
        self._reached = (0, None)
        try:
            for depth in depths:
                with self.leaving_at(depth):
                    yield depth
        finally:
            self._reached = None

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        key_padding_mask: Tensor | None,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        valid_ratios: Tensor,
        reference_points: Tensor | None = None,
    ) -> Tensor:
        """State of each image after its last layer, ``(B, N, C)``.

        Args:
            query: tokens of all levels ``(B, N, C)``.
            query_pos: their positions ``(B, N, C)``.
            key_padding_mask: ``(B, N)``, True where padded.
            spatial_shapes: height and width of the L levels, ``(L, 2)``.
            level_start_index: first token of each level ``(L,)``.
            valid_ratios: share of width and height that is no padding, ``(B, L, 2)``.
            reference_points: ``(B, N, L, 2)``; they follow from the shapes unless given.
        """
        if reference_points is None:
            reference_points = self._points_of(spatial_shapes, valid_ratios, device=query.device)
        shared = dict(spatial_shapes=spatial_shapes, level_start_index=level_start_index)
        own = dict(
            query_pos=query_pos,
            key_padding_mask=key_padding_mask,
            valid_ratios=valid_ratios,
            reference_points=reference_points,
        )
        first, state = self._start(query)
        for number, layer in enumerate(self.layers[first:], start=first):
            going = self._going(number, len(state))
            if not going:
                break
            if len(going) == len(state):
                state = layer(query=state, **own, **shared)
            else:
                rows = torch.tensor(going, device=state.device)
                part = {name: value if value is None else value[rows] for name, value in own.items()}
                state = state.index_copy(0, rows, layer(query=state[rows], **part, **shared))
        if self._reached is not None:
            self._reached = (self._depths, state)
        return state

    def _start(self, query: Tensor) -> tuple[int, Tensor]:
        """Layer to start with and the state before it."""
        depth, state = self._reached or (0, None)
        return (0, query) if state is None else (depth, state)

    def _going(self, number: int, batch: int) -> list[int]:
        """Images that layer ``number``, counted from 0, has to compute."""
        depths = [self._depths] * batch if isinstance(self._depths, int) else self._depths
        return [image for image, depth in enumerate(depths) if depth > number]
