"""The anchor-free head of NeRF-RPN: whether each location of a pyramid lies in an object, and its box.

Hu et al., "NeRF-RPN: A general framework for object detection in NeRFs", CVPR 2023 (lyclyc52/NeRF_RPN), after
Tian et al., "FCOS", ICCV 2019.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmcv.cnn import Scale
from mmengine.dist import all_reduce
from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.detection3d.nerf_rpn.box_codes import decode_at
from dense3d.detection3d.nerf_rpn.box_losses import (
    AXIS_ALIGNED_LOSSES,
    LOSSES,
    axis_aligned_loss,
    oriented_loss,
    projection_loss,
)
from dense3d.detection3d.nerf_rpn.location_targets import (
    LEVEL_RANGES,
    LocationTargets,
    assign_locations,
    centreness,
    inside,
    level_locations,
)
from dense3d.detection3d.nerf_rpn.selection import Proposals, cut_off
from dense3d.errors import ConfigError
from dense3d.layers.assignment import mean_number
from dense3d.ops import sigmoid_focal_loss
from dense3d.registry import MODELS

PRIOR = 0.01  # probability of an object that training begins with
PROJECTION_RESOLUTION = 160
LEAST_CENTRENESS = 1e-6


@dataclass
class LocationPredictions:
    """Raw predictions, a tensor a level, finest first.

    Attributes:
        logits: ``(B, 1, X, Y, Z)`` of an object.
        codes: ``(B, 8, X, Y, Z)`` or ``(B, 6, X, Y, Z)`` in strides (in voxels with
            ``normalised_targets=False``), see :mod:`~dense3d.detection3d.nerf_rpn.box_codes`.
        centreness: ``(B, 1, X, Y, Z)`` logits.
    """

    logits: list[Tensor]
    codes: list[Tensor]
    centreness: list[Tensor]


@MODELS.register_module()
class FCOSHead3D(BaseModule):
    """Objectness, box and centreness of every location.

    Args:
        in_channels: of the pyramid's levels.
        strides: of the levels.
        rotated: boxes turned about z; otherwise along the axes.
        num_convs: convolutions of each of the two towers.
        num_groups: of their group norms.
        normalised_targets: distances in strides, by ReLU; False for voxels, by the exponential function,
            which is then taken of the corners' offsets, too, as officially.
        centreness_on_boxes: predict the centreness from the tower of boxes; False from that of objectness.
        centre_radius: see :func:`~dense3d.detection3d.nerf_rpn.location_targets.assign_locations`.
        level_ranges: the greatest distances in voxels that each level answers for.
        box_loss: ``"iou"``, ``"linear_iou"``, ``"giou"``, ``"diou"`` (of turned boxes only) or
            ``"smooth_l1"``.
        offset_loss: add the smooth L1 loss of the corners' offsets, of turned boxes.
        box_weight: of the loss of boxes.
        projection_weight: of the loss of projected corners within it, of turned boxes.
        score_threshold: an objectness must be greater.
        pre_nms: most boxes of a level and scene before suppression.
        iou_threshold: of the suppression, over all levels together.
        post_nms: most boxes of a scene, boxes that tie with the last one aside; 0 for no limit.
        min_size: least side of a box in voxels.
        init_cfg: see mmengine's ``BaseModule``.

    Raises:
        ConfigError: an option is unknown, or makes no sense with ``rotated``.

    Example:
        >>> head = FCOSHead3D(32, (4, 8), num_convs=1, level_ranges=((-1, 8), (8, 99)))
        >>> found = head([torch.zeros(1, 32, 4, 4, 4), torch.zeros(1, 32, 2, 2, 2)])
        >>> [tuple(codes.shape) for codes in found.codes]
        [(1, 8, 4, 4, 4), (1, 8, 2, 2, 2)]
    """

    def __init__(
        self,
        in_channels: int,
        strides: Sequence[int],
        rotated: bool = True,
        num_convs: int = 4,
        num_groups: int = 32,
        normalised_targets: bool = True,
        centreness_on_boxes: bool = True,
        centre_radius: float = 1.5,
        level_ranges: Sequence[Sequence[float]] = LEVEL_RANGES,
        box_loss: str = "iou",
        offset_loss: bool = False,
        box_weight: float = 1.0,
        projection_weight: float = 0.0,
        score_threshold: float = 0.0,
        pre_nms: int = 2500,
        iou_threshold: float = 0.3,
        post_nms: int = 2500,
        min_size: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        _check_options(strides, level_ranges, rotated, box_loss, offset_loss, projection_weight)
        self.strides, self.level_ranges = tuple(strides), tuple((low, high) for low, high in level_ranges)
        self.rotated, self.normalised_targets = rotated, normalised_targets
        self.centreness_on_boxes, self.centre_radius = centreness_on_boxes, centre_radius
        self.box_loss, self.offset_loss, self.box_weight = box_loss, offset_loss, box_weight
        self.projection_weight, self.score_threshold = projection_weight, score_threshold
        self.pre_nms, self.iou_threshold, self.post_nms = pre_nms, iou_threshold, post_nms
        self.min_size = min_size
        self.cls_tower = _tower(in_channels, num_convs, num_groups)
        self.bbox_tower = _tower(in_channels, num_convs, num_groups)
        self.cls_logits = nn.Conv3d(in_channels, 1, 3, padding=1)
        self.bbox_pred = nn.Conv3d(in_channels, 8 if rotated else 6, 3, padding=1)
        self.centerness = nn.Conv3d(in_channels, 1, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in self.strides)
        self._draw_weights()

    def _draw_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)
        nn.init.constant_(self.cls_logits.bias, -math.log((1 - PRIOR) / PRIOR))

    def forward(self, features: Sequence[Tensor], side: Sequence[int] | None = None) -> LocationPredictions:
        """Raw predictions of a pyramid.

        Args:
            features: as many levels as ``strides``.
            side: of the grids, which other heads need.
        """
        if len(features) != len(self.strides):
            raise ConfigError(
                f"FCOSHead3D has {len(self.strides)} strides and the pyramid {len(features)} levels"
            )
        found = LocationPredictions([], [], [])
        for scale, level in zip(self.scales, features):
            objectness, boxes = self.cls_tower(level), self.bbox_tower(level)
            codes = scale(self.bbox_pred(boxes))
            if self.normalised_targets:
                codes = torch.cat([codes[:, :6].relu(), codes[:, 6:]], 1)
            else:
                codes = codes.float().exp()
            found.logits.append(self.cls_logits(objectness))
            found.codes.append(codes)
            found.centreness.append(self.centerness(boxes if self.centreness_on_boxes else objectness))
        return found

    def in_voxels(self, found: LocationPredictions) -> list[Tensor]:
        """Codes with distances in voxels."""
        if not self.normalised_targets:
            return found.codes
        scaled = zip(found.codes, self.strides)
        return [torch.cat([codes[:, :6] * stride, codes[:, 6:]], 1) for codes, stride in scaled]

    def targets(self, found: LocationPredictions, boxes: Sequence[Tensor]) -> list[LocationTargets]:
        """Targets of each level, distances in the units of the predictions.

        Args:
            found: of a batch.
            boxes: ``(K_i, 7)`` of each scene, in voxels.
        """
        levels = []
        for logits, stride, size_range in zip(found.logits, self.strides, self.level_ranges):
            locations = level_locations(logits.shape[2:], stride, logits.device)
            scenes = [
                assign_locations(locations, own.float(), stride, size_range, self.centre_radius, self.rotated)
                for own in boxes
            ]
            positive, codes = (torch.cat(parts) for parts in zip(*scenes))
            if self.normalised_targets:
                codes[:, :6] /= stride
            levels.append(LocationTargets(positive, codes))
        return levels

    def valid(self, found: LocationPredictions, sizes: Tensor) -> list[Tensor]:
        """``(B, N)`` of each level: whether locations lie in the grids, whose sizes are ``(B, 3)``."""
        shapes = ((logits.shape[2:], stride) for logits, stride in zip(found.logits, self.strides))
        return [inside(level_locations(shape, stride, sizes.device), sizes) for shape, stride in shapes]

    def losses(
        self, found: LocationPredictions, boxes: Sequence[Tensor], valid: Sequence[Tensor] | None
    ) -> dict[str, Tensor]:
        """Losses of raw predictions.

        Args:
            found: of a batch.
            boxes: ``(K_i, 7)`` of each scene, in voxels.
            valid: of :meth:`valid`; None to count all locations.

        Returns:
            ``loss_cls``, ``loss_box`` and ``loss_centreness``.
        """
        targets = self.targets(found, boxes)
        kept = slice(None) if valid is None else torch.cat([level.reshape(-1) for level in valid])
        positive = torch.cat([level.positive for level in targets])[kept]
        logits, codes, centre = (
            torch.cat([level.float().permute(0, 2, 3, 4, 1).flatten(0, 3) for level in levels])[kept]
            for levels in (found.logits, found.codes, found.centreness)
        )
        wanted = torch.cat([level.codes for level in targets])[kept][positive]
        count = mean_number(float(positive.sum()), positive.device)
        labels = torch.where(positive, 0, 1)  # the only class, or background
        classification = sigmoid_focal_loss(logits, labels, reduction="sum") / count
        codes, centre = codes[positive], centre[positive, 0]
        central = centreness(wanted[:, :6])
        total = central.sum()
        all_reduce(total, op="mean")
        box = self._box_loss(codes, wanted, central) / total.clamp(min=LEAST_CENTRENESS)
        central_loss = F.binary_cross_entropy_with_logits(centre, central, reduction="sum") / count
        return {
            "loss_cls": classification,
            "loss_box": box * self.box_weight,
            "loss_centreness": central_loss,
        }

    def _box_loss(self, codes: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
        """Sum over positive locations, each by its weight; boxes are decoded at the origin."""
        if not len(codes):
            return codes.sum()
        origin = torch.zeros_like(codes[:, :3])
        if self.box_loss == "smooth_l1":
            loss = F.smooth_l1_loss(codes, wanted, reduction="none").sum(1)
        elif self.rotated:
            loss = oriented_loss(decode_at(origin, codes), decode_at(origin, wanted), self.box_loss)
        else:
            loss = axis_aligned_loss(codes, wanted, self.box_loss)
        if self.offset_loss and self.box_loss != "smooth_l1":
            loss = loss + F.smooth_l1_loss(codes[:, 6:], wanted[:, 6:], reduction="none").sum(1)
        if self.projection_weight:
            boxes = decode_at(origin, codes), decode_at(origin, wanted)
            projected = projection_loss(*boxes, PROJECTION_RESOLUTION)  # (8, P, 2)
            loss = loss + self.projection_weight * projected.mean((0, 2))
        return (loss * weights).sum()

    @torch.no_grad()
    def proposals(
        self, found: LocationPredictions, sizes: Tensor, valid: Sequence[Tensor] | None
    ) -> list[Proposals]:
        """Boxes of each scene.

        Args:
            found: of a batch.
            sizes: ``(B, 3)`` of the grids before padding; boxes along the axes are cut off there.
            valid: of :meth:`valid`; None to count all locations.
        """
        codes = self.in_voxels(found)
        scenes = []
        for scene in range(len(found.logits[0])):
            levels = [
                self._of_level(
                    found.logits[level][scene],
                    found.centreness[level][scene],
                    codes[level][scene],
                    level,
                    None if valid is None else valid[level][scene],
                )
                for level in range(len(codes))
            ]
            every = Proposals.joined(levels)
            if not self.rotated:
                every.boxes = cut_off(every.boxes, sizes[scene])
            scenes.append(self._best(every.at_least(self.min_size).suppressed(self.iou_threshold)))
        return scenes

    def _of_level(
        self, logits: Tensor, central: Tensor, codes: Tensor, level: int, valid: Tensor | None
    ) -> Proposals:
        """The best boxes of one level of a scene, by objectness times centreness."""
        locations = level_locations(logits.shape[1:], self.strides[level], logits.device)
        objectness = logits.float().sigmoid().flatten()
        candidates = objectness > self.score_threshold
        candidates = candidates if valid is None else candidates & valid
        rows = candidates.nonzero().flatten()
        scores = objectness[rows] * central.float().sigmoid().flatten()[rows]
        scores, best = scores.topk(min(self.pre_nms, len(rows)))
        rows = rows[best]
        boxes = decode_at(locations[rows], codes.float().flatten(1).T[rows])
        return Proposals(boxes, scores.sqrt(), torch.full_like(rows, level))

    def _best(self, proposals: Proposals) -> Proposals:
        if not 0 < self.post_nms < len(proposals.scores):
            return proposals
        return proposals[proposals.scores >= proposals.scores[self.post_nms - 1]]


def _tower(channels: int, num_convs: int, num_groups: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(num_convs):
        convolution = nn.Conv3d(channels, channels, 3, padding=1)
        layers += [convolution, nn.GroupNorm(num_groups, channels), nn.ReLU()]
    return nn.Sequential(*layers)


def _check_options(
    strides: Sequence[int],
    level_ranges: Sequence[Sequence[float]],
    rotated: bool,
    box_loss: str,
    offset_loss: bool,
    projection_weight: float,
) -> None:
    if len(level_ranges) != len(strides):
        raise ConfigError(
            f"FCOSHead3D has {len(strides)} levels and {len(level_ranges)} level_ranges: give each level one"
        )
    if box_loss not in LOSSES:
        raise ConfigError(f"box_loss={box_loss!r} of FCOSHead3D: use one of {', '.join(map(repr, LOSSES))}")
    turned = {
        f"box_loss={box_loss!r}": box_loss not in AXIS_ALIGNED_LOSSES,
        "offset_loss=True": offset_loss,
        f"projection_weight={projection_weight}": projection_weight > 0,
    }
    refused = [option for option, there in turned.items() if there and not rotated]
    if refused:
        raise ConfigError(
            f"{refused[0]} of FCOSHead3D needs rotated=True: boxes along the axes have no such loss"
        )
