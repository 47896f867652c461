"""From decoded queries to boxes.

Misra et al., "An End-to-End Transformer Model for 3D Object Detection", ICCV 2021, section 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from dense3d.detection3d.box_bins import bin_to_heading
from dense3d.detection3d.threedetr.position import SceneBounds


@dataclass
class BoxPredictions:
    """Boxes of Q queries from each of L layers of the decoder.

    Attributes:
        class_logits: ``(L, B, Q, NC + 1)``, the last for no object.
        centres: ``(L, B, Q, 3)``, with 0 and 1 at the scene's bounds.
        sizes: ``(L, B, Q, 3)``, shares of the scene's extent.
        heading_logits: ``(L, B, Q, NH)``. heading_rests: ``(L, B, Q, NH)``, in units of pi / NH.
        boxes: ``(L, B, Q, 7)``, metres, world frame.
    """

    class_logits: Tensor
    centres: Tensor
    sizes: Tensor
    heading_logits: Tensor
    heading_rests: Tensor
    boxes: Tensor

    def probabilities(self) -> tuple[Tensor, Tensor]:
        """Of classes ``(L, B, Q, NC)``, and of there being an object ``(L, B, Q)``."""
        probabilities = self.class_logits.softmax(dim=-1)
        return probabilities[..., :-1], 1 - probabilities[..., -1]


class BoxHeads(nn.ModuleDict):
    """Five networks on decoded queries: class, centre, size, heading's bin and rest.

    Args:
        dim: channels of a query.
        num_classes: NC.
        num_heading_bins: NH.
        dropout: behind each hidden layer.

    Example:
        >>> points = torch.rand(2, 5, 3)
        >>> bounds = SceneBounds(points.amin(1), points.amax(1))
        >>> heads = BoxHeads(8, num_classes=4, num_heading_bins=12)
        >>> heads(torch.rand(3, 2, 5, 8), points, bounds).boxes.shape
        torch.Size([3, 2, 5, 7])
    """

    def __init__(self, dim: int, num_classes: int, num_heading_bins: int, dropout: float = 0.3) -> None:
        outputs = {
            "classes": num_classes + 1,
            "centres": 3,
            "sizes": 3,
            "heading_bins": num_heading_bins,
            "heading_rests": num_heading_bins,
        }
        super().__init__(
            {name: point_network((dim, dim, dim), out, dropout) for name, out in outputs.items()}
        )

    def forward(self, queries: Tensor, places: Tensor, bounds: SceneBounds) -> BoxPredictions:
        """Boxes of queries ``(L, B, Q, dim)`` that stand at ``places`` ``(B, Q, 3)``, metres.

        A centre is half a metre at most from its query's place, along each axis.
        """
        flat = queries.flatten(0, 2)
        classes, offsets, sizes, bins, rests = (
            head(flat).float().unflatten(0, queries.shape[:3]) for head in self.values()
        )
        centres = places + offsets.sigmoid() - 0.5
        shares = sizes.sigmoid()
        number = bins.argmax(dim=-1)
        rest = rests.gather(-1, number[..., None])[..., 0] * (math.pi / bins.shape[-1])
        heading = bin_to_heading(number, rest, bins.shape[-1])
        boxes = torch.cat([centres, shares * bounds.extent, -heading[..., None]], dim=-1)
        return BoxPredictions(classes, bounds.normalised(centres), shares, bins, rests, boxes)


def point_network(channels: Sequence[int], out_channels: int, dropout: float) -> nn.Sequential:
    """Linear layers without bias, each with batch norm, ReLU and dropout, and a last one with bias."""
    layers: list[nn.Module] = []
    for a, b in pairwise(channels):
        layers += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU(inplace=True), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(channels[-1], out_channels))
