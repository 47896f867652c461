"""What is predicted of a query: its box in six numbers, the heads for the rest, KITTI's objects from them.

The six numbers of a box are (cx, cy, l, r, t, b): ``cx, cy`` is the projection of the 3D box's centre,
``l, r, t, b`` are its distances to the left, right, top and bottom side of the 2D box; all over the image's
width or height. KITTI's boxes lie in the rectified reference camera's frame: x right, y down, z forward,
metres; the location is the centre of the bottom face.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.datasets.kitti.mono_targets import decode_heading
from dense3d.datasets.kitti.objects import KittiObjects
from dense3d.detection3d.monodino_detr.depth import Camera, fused_depth
from dense3d.layers.mlp import MLP

HEADING_BINS = 12


def box_corners(boxes: Tensor) -> Tensor:
    """Left, top, right, bottom ``(..., 4)`` of the 2D boxes of ``(..., 6)``.

    Example:
        >>> box_corners(torch.tensor([0.5, 0.5, 0.25, 0.125, 0.5, 0.25])).tolist()
        [0.25, 0.0, 0.625, 0.75]
    """
    cx, cy, left, right, top, bottom = boxes.unbind(-1)
    return torch.stack((cx - left, cy - top, cx + right, cy + bottom), dim=-1)


def centred_boxes(boxes: Tensor) -> Tensor:
    """The 2D boxes of ``(..., 6)`` as ``(..., 4)``: their own centre, width and height.

    Example:
        >>> centred_boxes(torch.tensor([0.5, 0.5, 0.25, 0.125, 0.5, 0.25])).tolist()
        [0.4375, 0.375, 0.375, 0.75]
    """
    cx, cy, left, right, top, bottom = boxes.unbind(-1)
    return torch.stack((cx + (right - left) / 2, cy + (bottom - top) / 2, left + right, top + bottom), dim=-1)


def sampling_references(references: Tensor) -> Tensor:
    """Where deformable attention looks: points ``(..., 2)`` as they are, boxes ``(..., 6)`` as ``(..., 4)``.

    The latter are the projected centre with the width and height of the 2D box, which is not centred on it.
    """
    if references.shape[-1] == 2:
        return references
    cx, cy, left, right, top, bottom = references.unbind(-1)
    return torch.stack((cx, cy, left + right, top + bottom), dim=-1)


def refined(offsets: Tensor, references: Tensor) -> Tensor:
    """Boxes ``(..., 6)`` in (0, 1): references moved by ``offsets`` in logit space.

    Args:
        offsets: ``(..., 6)``, output of a box head.
        references: ``(..., 6)``, or ``(..., 2)``, which move the centre alone.

    Example:
        >>> refined(torch.zeros(6), torch.tensor([0.25, 0.75])).round(decimals=4).tolist()
        [0.25, 0.75, 0.5, 0.5, 0.5, 0.5]
    """
    logits = torch.logit(references.float(), eps=1e-5)
    missing = offsets.shape[-1] - references.shape[-1]
    return (offsets + F.pad(logits, (0, missing))).sigmoid()


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


@dataclass
class TopQueries:
    """The pairs of query and class with the highest scores, the best first; K of each image."""

    labels: Tensor  # (B, K)
    scores: Tensor  # (B, K) of the class alone
    boxes: Tensor  # (B, K, 6)
    sizes: Tensor  # (B, K, 3)
    headings: Tensor  # (B, K, 24)
    depths: Tensor  # (B, K, 2)


@dataclass(frozen=True)
class PixelMap:
    """From the unit square of the network's input to pixels of the original image.

    Args:
        scale: (2,) pixels along x and y of the whole unit.
        offset: (2,) pixel at (0, 0).
    """

    scale: np.ndarray
    offset: np.ndarray

    @classmethod
    def stretched(cls, size: Sequence[float]) -> PixelMap:
        """The unit square covers an image of this width and height, as the official code assumes."""
        return cls(np.asarray(size, dtype=np.float64), np.zeros(2))

    @classmethod
    def of_warp(cls, matrix: np.ndarray, target: Sequence[float]) -> PixelMap:
        """The inverse of an even scaling (2, 3) into a result of this width and height."""
        factor = matrix[[0, 1], [0, 1]]
        return cls(np.asarray(target) / factor, -matrix[:, 2] / factor)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) in [0, 1] as pixels."""
        return points * self.scale + self.offset


def top_queries(predictions: Predictions, number: int) -> TopQueries:
    """Choose ``number`` pairs of query and class in each image; a query may come with several classes."""
    num_classes = predictions.logits.shape[-1]
    scores = predictions.logits.float().sigmoid().flatten(1)
    scores, index = scores.topk(min(number, scores.shape[1]), dim=1)
    query = index // num_classes

    def chosen(values: Tensor) -> Tensor:
        return values.float().gather(1, query[..., None].expand(-1, -1, values.shape[-1]))

    values = (predictions.boxes, predictions.sizes, predictions.headings, predictions.depths)
    return TopQueries(index % num_classes, scores, *map(chosen, values))


def decode_frame(
    top: TopQueries, index: int, P2: np.ndarray, pixels: PixelMap, names: Sequence[str], threshold: float
) -> KittiObjects:
    """Detections of image ``index``, in the order of their class scores.

    The score of a detection is that of its class times ``exp(-s)`` for the predicted uncertainty s of the
    depth, so that it may exceed 1. As in the official code, the depth that P2 adds to z is left out.

    Args:
        top: of a batch.
        index: of the image.
        P2: (3, 4) projection of the left colour camera.
        pixels: where the predictions lie in the image.
        names: of the classes.
        threshold: least score of the class.
    """
    kept = top.scores[index] >= threshold
    boxes, sizes, headings, depths = (
        part[index][kept].double().cpu().numpy() for part in (top.boxes, top.sizes, top.headings, top.depths)
    )
    scores = top.scores[index][kept].double().cpu().numpy() * np.exp(-depths[:, 1])
    corners = box_corners(torch.from_numpy(boxes)).numpy().reshape(-1, 2, 2)
    corners = pixels(corners).reshape(-1, 4)
    centres = unproject(pixels(boxes[:, :2]), depths[:, 0], P2)
    alpha, rotation = decode_angles(headings, (corners[:, 0] + corners[:, 2]) / 2, P2)
    nothing = np.zeros(len(boxes))  # truncation and occlusion are not predicted
    columns = (nothing, nothing, alpha, corners, sizes, centres + _half_height(sizes), rotation, scores)
    labels = top.labels[index][kept].tolist()
    return KittiObjects(tuple(names[label] for label in labels), np.column_stack(columns))


def unproject(pixels: np.ndarray, depth: np.ndarray, P2: np.ndarray) -> np.ndarray:
    """Points (N, 3) seen at ``pixels`` (N, 2), whose z is ``depth`` (N,).

    Example:
        >>> P2 = np.array([[700.0, 0, 600, 70], [0, 700, 170, 0], [0, 0, 1, 0]])
        >>> unproject(np.array([[670.0, 205.0]]), np.array([10.0]), P2).round(6).tolist()
        [[0.9, 0.5, 10.0]]
    """
    focal, centre = P2[[0, 1], [0, 1]], P2[:2, 2]
    planar = (pixels - centre) * depth[:, None] / focal - P2[:2, 3] / focal
    return np.column_stack((planar, depth))


def decode_angles(headings: np.ndarray, columns: np.ndarray, P2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Observation angles and rotations about y, both (N,) radians.

    Args:
        headings: (N, 24).
        columns: (N,) centre of the 2D box along x, pixels.
        P2: (3, 4).
    """
    bins = headings[:, :HEADING_BINS].argmax(axis=1)
    residuals = headings[np.arange(len(headings)), HEADING_BINS + bins]
    alpha = decode_heading(bins, residuals)
    rotation = alpha + np.arctan2(columns - P2[0, 2], P2[0, 0])
    return alpha, np.mod(rotation + np.pi, 2 * np.pi) - np.pi


def _half_height(sizes: np.ndarray) -> np.ndarray:
    """(N, 3) from the centre of a box to that of its bottom face."""
    return np.outer(sizes[:, 0] / 2, (0, 1, 0))
