"""What ViDT learns from annotated images: boxes with labels; for ViDT+ mask vectors and labels of tokens.

Token labels: ViDT+ (arXiv 2204.07962), section 4.3. Every token learns which share of its cell each class
covers, and in row 0 which share is covered at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert

from dense3d.detection2d.vidt.mask_vectors import MaskVectors
from dense3d.errors import DataError
from dense3d.layers.box_matching import BoxTargets
from dense3d.layers.deformable_attention import SpatialShapes

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample


@dataclass
class Targets(BoxTargets):
    """Boxes and labels, and what ViDT+ learns beside them."""

    vectors: Tensor | None = None  # (T, K) of the masks of all images, one image's after the other's
    shares: list[Tensor] | None = None  # (B, h_i, w_i, token classes) of each level, see class_shares


def targets_of(
    samples: Sequence[DetDataSample],
    canvas: tuple[int, int],
    coder: MaskVectors | None = None,
    token_classes: tuple[int, int] | None = None,
    shapes: SpatialShapes = (),
) -> Targets:
    """Targets of a batch.

    Args:
        samples: with ``gt_instances`` and ``img_shape``.
        canvas: height and width of the padded batch.
        coder: of mask vectors; None: none are learnt.
        token_classes: rows of the token labels, and what is added to a label to find its row; None: none.
        shapes: height and width of the levels whose tokens have labels.

    Raises:
        DataError: masks are needed, but an image has none.
    """
    labels = [sample.gt_instances.labels for sample in samples]
    targets = Targets.of(labels, [relative_boxes(sample) for sample in samples])
    if coder is None and token_classes is None:
        return targets
    masks = [image_masks(sample, canvas) for sample in samples]  # (n, H, W) each
    if coder is not None:
        boxes = [sample.gt_instances.bboxes for sample in samples]
        targets.vectors = torch.cat([coder.of_boxes(*pair) for pair in zip(masks, boxes)])
    if token_classes is not None:
        rows, first = token_classes
        images = [class_shares(m, label + first, rows, shapes) for m, label in zip(masks, labels)]
        targets.shares = [torch.stack(level) for level in zip(*images)]
    return targets


def relative_boxes(sample: DetDataSample) -> Tensor:
    """Annotated boxes ``(n, 4)`` as cxcywh in [0, 1] of the image's content."""
    boxes = sample.gt_instances.bboxes
    height, width = sample.img_shape[:2]
    return box_convert(boxes.float(), "xyxy", "cxcywh") / boxes.new_tensor([width, height, width, height])


def image_masks(sample: DetDataSample, canvas: tuple[int, int]) -> Tensor:
    """Masks ``(n, H, W)`` of an image's objects, False in the padding.

    Raises:
        DataError: the annotations have none.
    """
    instances = sample.gt_instances
    if "masks" not in instances:
        raise DataError(
            f"{sample.get('img_path') or 'an image'} comes without masks, from which ViDT+ learns its mask "
            "vectors and token labels: load them (LoadAnnotations with_mask=True), or train on boxes alone "
            "with model.mask_vectors=None and model.token_label=False"
        )
    masks = instances.masks
    if not isinstance(masks, Tensor):
        masks = masks.to_tensor(torch.bool, instances.bboxes.device)
    return F.pad(masks.bool(), (0, canvas[1] - masks.shape[2], 0, canvas[0] - masks.shape[1]))


def class_shares(masks: Tensor, rows: Tensor, num_rows: int, shapes: SpatialShapes) -> list[Tensor]:
    """Share of every cell that each class covers; where objects overlap, the first has the pixel.

    Args:
        masks: boolean ``(n, H, W)``.
        rows: of each object's class ``(n,)``.
        num_rows: rows of the result; row 0 is the share of all objects.
        shapes: height and width of the levels.

    Returns:
        ``(h, w, num_rows)`` of each level.

    Example:
        >>> masks = torch.tensor([[[1, 1, 0, 0]], [[1, 1, 1, 0]]]).bool()
        >>> class_shares(masks, torch.tensor([2, 1]), 3, [(1, 2)])[0].tolist()
        [[[1.0, 0.0, 1.0], [0.5, 0.5, 0.0]]]
    """
    present, owner = rows.unique(return_inverse=True)
    covered = torch.zeros(1 + len(present), *masks.shape[1:], device=masks.device)
    free = masks.new_ones(masks.shape[1:])
    for mask, index in zip(masks, owner + 1):
        covered[index] += mask & free
        free &= ~mask
    covered[0] = ~free
    found = []
    for shape in shapes:
        pooled = F.adaptive_avg_pool2d(covered, shape)
        level = covered.new_zeros(num_rows, *shape)
        level[present] = pooled[1:]
        level[0] = pooled[0]  # whatever class has this row
        found.append(level.permute(1, 2, 0))
    return found
