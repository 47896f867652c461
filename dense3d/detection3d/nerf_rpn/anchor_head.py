"""The anchor-based head of NeRF-RPN: every anchor of a pyramid says whether it holds an object, and its box.

Hu et al., "NeRF-RPN: A general framework for object detection in NeRFs", CVPR 2023 (lyclyc52/NeRF_RPN), after
Ren et al., "Faster R-CNN", NeurIPS 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.detection3d.nerf_rpn.anchors import (
    RATIOS,
    SIZES,
    anchor_strides,
    assign_anchors,
    cell_anchors,
    draw_samples,
    inside,
    level_anchors,
)
from dense3d.detection3d.nerf_rpn.box_codes import bounds_of, decode_from, encode_from
from dense3d.detection3d.nerf_rpn.box_losses import LOSSES, oriented_loss, projection_loss
from dense3d.detection3d.nerf_rpn.selection import Proposals, cut_off
from dense3d.errors import ConfigError
from dense3d.layers.assignment import mean_number
from dense3d.registry import MODELS
from dense3d.structures.boxes3d import boxes_of_corners

BETA = 1 / 9  # of the smooth L1 loss
MIN_SIDE = 1e-3  # voxels


@dataclass
class AnchorPredictions:
    """Raw predictions of the ``N`` anchors of a batch's pyramid: levels, locations, anchors of a location.

    Attributes:
        logits: ``(B, N)`` of an object.
        codes: ``(B, N, 8)`` or ``(B, N, 6)``, see :mod:`~dense3d.detection3d.nerf_rpn.box_codes`.
        anchors: ``(N, 6)`` bounds in voxels.
        counts: anchors of each level.
        shapes, strides: of each level.
        side: greatest side of the padded grids.
    """

    logits: Tensor
    codes: Tensor
    anchors: Tensor
    counts: list[int]
    shapes: list[tuple[int, int, int]]
    strides: list[tuple[int, int, int]]
    side: int


@MODELS.register_module()
class AnchorHead3D(BaseModule):
    """Objectness and box of every anchor.

    Args:
        in_channels: of the pyramid's levels.
        sizes: of the anchors of each level, in voxels.
        ratios: their aspects; each stands for all orders of its sides. Sides are size times ratio.
        normalised: make the anchors of one size alike in volume instead.
        rotated: boxes turned about z; otherwise along the axes.
        num_convs: 3x3x3 convolutions, each followed by ReLU, before the predictions.
        positive_iou, negative_iou: see :func:`~dense3d.detection3d.nerf_rpn.anchors.assign_anchors`.
        num_samples, positive_share: of each scene in the losses.
        box_loss: ``"smooth_l1"`` of the codes, or of turned boxes ``"iou"``, ``"linear_iou"``, ``"giou"`` or
            ``"diou"``.
        box_weight, projection_weight: of the losses of boxes and of projected corners.
        score_threshold: least probability of an object.
        pre_nms, post_nms: most boxes of a level before suppression, and of a scene after it.
        iou_threshold: of the suppression within each level.
        init_cfg: see mmengine's ``BaseModule``.

    Raises:
        ConfigError: an option is unknown, or makes no sense with ``rotated``.

    Example:
        >>> head = AnchorHead3D(8, sizes=((8,), (16,)), num_convs=1)
        >>> found = head([torch.zeros(1, 8, 4, 4, 4), torch.zeros(1, 8, 2, 2, 2)], (16, 16, 16))
        >>> found.codes.shape  # 13 anchors at each of 64 + 8 locations
        torch.Size([1, 936, 8])
    """

    def __init__(
        self,
        in_channels: int,
        sizes: Sequence[Sequence[float]] = SIZES,
        ratios: Sequence[Sequence[float]] = RATIOS,
        normalised: bool = False,
        rotated: bool = True,
        num_convs: int = 4,
        positive_iou: float = 0.35,
        negative_iou: float = 0.2,
        num_samples: int = 256,
        positive_share: float = 0.5,
        box_loss: str = "smooth_l1",
        box_weight: float = 5.0,
        projection_weight: float = 0.0,
        score_threshold: float = 0.0,
        pre_nms: int = 2500,
        post_nms: int = 2500,
        iou_threshold: float = 0.3,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if box_loss not in LOSSES or (box_loss != "smooth_l1" and not rotated):
            known = ", ".join(map(repr, LOSSES if rotated else ("smooth_l1",)))
            raise ConfigError(
                f"box_loss={box_loss!r} of AnchorHead3D with rotated={rotated}: use one of {known}"
            )
        if not 0 <= negative_iou <= positive_iou <= 1:
            raise ConfigError(
                f"AnchorHead3D: negative_iou={negative_iou} must not exceed positive_iou={positive_iou}"
            )
        if len({len(level) for level in sizes}) != 1:
            raise ConfigError(f"sizes={sizes} of AnchorHead3D: all levels need equally many")
        self.rotated, self.code_size = rotated, 8 if rotated else 6
        self.positive_iou, self.negative_iou = positive_iou, negative_iou
        self.num_samples, self.positive_share = num_samples, positive_share
        self.box_loss, self.box_weight, self.projection_weight = box_loss, box_weight, projection_weight
        self.score_threshold, self.iou_threshold = score_threshold, iou_threshold
        self.pre_nms, self.post_nms = pre_nms, post_nms
        self.cells = [cell_anchors(level, ratios, normalised) for level in sizes]
        count = len(self.cells[0])
        layers: list[nn.Module] = []
        for _ in range(num_convs):
            layers += [nn.Conv3d(in_channels, in_channels, 3, padding=1), nn.ReLU(inplace=True)]
        self.conv = nn.Sequential(*layers)
        self.cls_logits = nn.Conv3d(in_channels, count, 1)
        self.bbox_pred = nn.Conv3d(in_channels, count * self.code_size, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def maps(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(B, A, X, Y, Z)`` and codes ``(B, A * 8, X, Y, Z)`` of one level."""
        hidden = self.conv(level)
        return self.cls_logits(hidden), self.bbox_pred(hidden)

    def forward(self, features: Sequence[Tensor], side: Sequence[int]) -> AnchorPredictions:
        """Raw predictions of a pyramid.

        Args:
            features: as many levels as ``sizes``.
            side: ``(X, Y, Z)`` of the padded grids, from which the anchors' places follow.
        """
        if len(features) != len(self.cells):
            raise ConfigError(
                f"AnchorHead3D has sizes for {len(self.cells)} levels and the pyramid has {len(features)}"
            )
        logits, codes, anchors, shapes, strides = [], [], [], [], []
        for level, cells in zip(features, self.cells):
            shapes.append(tuple(level.shape[2:]))
            strides.append(anchor_strides(side, shapes[-1]))
            anchors.append(level_anchors(cells.to(level.device), shapes[-1], strides[-1]))
            objectness, boxes = self.maps(level)
            logits.append(objectness.permute(0, 2, 3, 4, 1).flatten(1))
            codes.append(boxes.permute(0, 2, 3, 4, 1).reshape(len(level), -1, self.code_size))
        counts = [len(part) for part in anchors]
        return AnchorPredictions(
            torch.cat(logits, 1), torch.cat(codes, 1), torch.cat(anchors), counts, shapes, strides, max(side)
        )

    def valid(self, found: AnchorPredictions, sizes: Tensor) -> Tensor:
        """``(B, N)`` whether anchors belong to locations in the grids, whose sizes are ``(B, 3)``."""
        masks = [
            inside(shape, strides, sizes).flatten(1).repeat_interleave(len(cells), dim=1)
            for shape, strides, cells in zip(found.shapes, found.strides, self.cells)
        ]
        return torch.cat(masks, 1)

    def losses(
        self, found: AnchorPredictions, boxes: Sequence[Tensor], valid: Tensor | None
    ) -> dict[str, Tensor]:
        """Losses of raw predictions, of a random sample of the anchors.

        Args:
            found: of a batch.
            boxes: ``(K_i, 7)`` of each scene, in voxels.
            valid: of :meth:`valid`; None to count all.

        Returns:
            ``loss_objectness`` and ``loss_box``, and with a ``projection_weight`` ``loss_projection``;
            anchors are counted over all processes.
        """
        samples = []
        for scene, own in enumerate(boxes):
            mask = None if valid is None else valid[scene]
            labels, best = assign_anchors(
                found.anchors, own.float(), self.positive_iou, self.negative_iou, mask
            )
            positive, negative = draw_samples(labels, self.num_samples, self.positive_share)
            samples.append((positive, negative, own.float()[best[positive]]))
        return self.sampled_losses(found, samples)

    def sampled_losses(
        self, found: AnchorPredictions, samples: Sequence[tuple[Tensor, Tensor, Tensor]]
    ) -> dict[str, Tensor]:
        """Losses of given anchors.

        Args:
            found: of a batch.
            samples: of each scene rows of positive and of negative anchors, and the boxes ``(P, 7)`` that the
                positive ones answer for.
        """
        logits, labels, codes, anchors, wanted = [], [], [], [], []
        for scene, (positive, negative, own) in enumerate(samples):
            rows = torch.cat([positive, negative])
            logits.append(found.logits[scene, rows].float())
            labels.append(torch.cat([torch.ones_like(positive), torch.zeros_like(negative)]).float())
            codes.append(found.codes[scene, positive].float())
            anchors.append(found.anchors[positive])
            wanted.append(own if self.rotated else boxes_of_corners(bounds_of(own)))
        logits, codes, anchors, wanted = map(torch.cat, (logits, codes, anchors, wanted))
        count, positives = mean_number([float(len(logits)), float(len(codes))], logits.device)
        objectness = F.binary_cross_entropy_with_logits(logits, torch.cat(labels), reduction="sum") / count
        if self.box_loss == "smooth_l1":
            targets = encode_from(anchors, wanted, self.rotated)
            box = F.smooth_l1_loss(codes, targets, beta=BETA, reduction="sum")
        else:
            box = oriented_loss(decode_from(anchors, codes), wanted, self.box_loss).sum()
        losses = {"loss_objectness": objectness, "loss_box": box / count * self.box_weight}
        if self.projection_weight:
            projected = projection_loss(decode_from(anchors, codes), wanted, found.side).sum()
            losses["loss_projection"] = projected / positives * self.projection_weight
        return losses

    @torch.no_grad()
    def proposals(self, found: AnchorPredictions, sizes: Tensor, valid: Tensor | None) -> list[Proposals]:
        """Boxes of each scene; turned ones whose centre is not in the grid are dropped, others cut off there.

        Args:
            found: of a batch.
            sizes: ``(B, 3)`` of the grids before padding.
            valid: of :meth:`valid`; None to count all.
        """
        scenes = []
        for scene in range(len(found.logits)):
            scores = found.logits[scene].float().sigmoid()
            if valid is not None:
                scores = torch.where(valid[scene], scores, -1.0)
            rows, first = [], 0
            for count in found.counts:
                best = scores[first : first + count].topk(min(self.pre_nms, count)).indices
                rows.append(best + first)
                first += count
            levels = torch.cat([torch.full_like(part, level) for level, part in enumerate(rows)])
            rows = torch.cat(rows)
            boxes = decode_from(found.anchors[rows], found.codes[scene, rows].float())
            kept = Proposals(boxes, scores[rows], levels)
            kept = kept[kept.scores >= max(self.score_threshold, 0.0)]
            kept = self._within(kept, sizes[scene]).at_least(MIN_SIDE)
            scenes.append(kept.suppressed(self.iou_threshold, within_levels=True)[: self.post_nms])
        return scenes

    def _within(self, proposals: Proposals, size: Tensor) -> Proposals:
        if self.rotated:
            centres = proposals.boxes[:, :3]
            return proposals[((centres >= 0) & (centres <= size.to(centres))).all(1)]
        proposals.boxes = cut_off(proposals.boxes, size)
        return proposals
