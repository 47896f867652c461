"""What is predicted from a query's hidden state beside its box: class, size, heading and depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dense3d.detection3d.monodino_detr.fused_depth import Camera, fused_depth
from dense3d.layers.mlp import MLP

HEADING_BINS = 12


@dataclass
class Predictions:
    """What one decoder layer predicts of a batch's queries."""

    logits: Tensor  # (B, Q, classes)
    boxes: Tensor  # (B, Q, 6) projected centre and distances to the 2D box's sides, over the image's size
    sizes: Tensor  # (B, Q, 3) height, width, length in metres
    headings: Tensor  # (B, Q, 24) logits of 12 bins of the observation angle, then each bin's residual
    depths: Tensor  # (B, Q, 2) z of the centre in metres, logarithm of its uncertainty


class PredictionHeads(nn.Module):
    """Heads of one decoder layer.

    Args:
        embed_dims: channels.
        num_classes: classes; every class has the probability 0.01 at first.
    """

    def __init__(self, embed_dims: int, num_classes: int):
        super().__init__()
        self.classes = nn.Linear(embed_dims, num_classes)
        nn.init.constant_(self.classes.bias, -math.log(99))
        self.size = torch_mlp(embed_dims, 3, 2)
        self.heading = torch_mlp(embed_dims, 2 * HEADING_BINS, 2)
        self.depth = torch_mlp(embed_dims, 2, 2)

    def forward(self, hidden: Tensor, boxes: Tensor, expected_depth: Tensor, camera: Camera) -> Predictions:
        """Predict.

        Args:
            hidden: ``(B, Q, C)``.
            boxes: ``(B, Q, 6)`` of the same layer.
            expected_depth: ``(B, h, w)`` metres.
            camera: of the batch.
        """
        sizes = self.size(hidden)
        regressed, log_variance = self.depth(hidden).unbind(-1)
        depth = fused_depth(regressed, sizes[..., 0], boxes, expected_depth, camera)
        return Predictions(
            self.classes(hidden),
            boxes,
            sizes,
            self.heading(hidden),
            torch.stack((depth, log_variance), dim=-1),
        )


def torch_mlp(embed_dims: int, out_channels: int, num_layers: int) -> MLP:
    """MLP with the initial values that torch gives linear layers, as the official heads have them."""
    head = MLP(embed_dims, embed_dims, out_channels, num_layers)
    for layer in head.layers:
        layer.reset_parameters()
    return head
