"""Drawing ground truth or predictions of mmdet and mmseg data samples on images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from dense3d.visualization.colours import Colour, class_colours
from dense3d.visualization.instances import class_names, paint_instances
from dense3d.visualization.panoptic import draw_panoptic, panoptic_ground_truth
from dense3d.visualization.tags import draw_tag


def draw_sample(
    image: np.ndarray,
    sample: Any,
    classes: Sequence[str] = (),
    palette: Sequence[Colour] | None = None,
    cell: tuple[int, int] = (560, 420),
) -> np.ndarray:
    """Draw the ground truth of a data sample.

    Args:
        image: ``(H, W, 3)`` RGB, uint8.
        sample: data sample with ``gt_instances`` (boxes x1, y1, x2, y2 in pixels of ``image``) or
            ``gt_sem_seg``, or both; masks with ``gt_sem_seg`` are drawn as one panoptic map.
        classes: class names.
        palette: RGB colour of each class.
        cell: width and height in pixels that the picture is scaled to fit into, before it is drawn on.

    Returns:
        ``(H', W', 3)`` RGB picture.
    """
    scale = min(cell[0] / image.shape[1], cell[1] / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    colours = class_colours(palette, len(classes))
    instances = sample.get("gt_instances")
    if "gt_sem_seg" in sample and instances is not None and "masks" in instances:
        ids, labels = panoptic_ground_truth(sample)
        return draw_panoptic(picture, _padded(ids, image.shape), labels, classes, colours)
    if "gt_sem_seg" in sample:
        picture = _draw_label_map(picture, sample.gt_sem_seg.data[0].cpu().numpy(), classes, colours)
    if instances is not None and len(instances):
        _draw_instances(picture, instances, scale, classes, colours)
    return picture


def _padded(ids: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Void (0) to the right and below, where the batch is padded and the annotations are not."""
    return np.pad(ids, [(0, max(0, wanted - have)) for wanted, have in zip(size, ids.shape)])


def _draw_label_map(
    picture: np.ndarray, labels: np.ndarray, classes: Sequence[str], colours: list[Colour]
) -> np.ndarray:
    """Blend the classes' colours in and name large regions; pixels without a class stay as they are."""
    labels = cv2.resize(labels.astype(np.int32), picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    known = (labels >= 0) & (labels < len(classes or colours)) & (labels != 255)
    table = np.array(colours, dtype=np.uint8)
    blended = picture.copy()
    blended[known] = (0.5 * picture[known] + 0.5 * table[labels[known]]).astype(np.uint8)
    for label in np.unique(labels[known]) if classes else ():
        rows, columns = np.nonzero(labels == label)
        if len(rows) > 0.01 * labels.size:
            middle = np.lexsort((columns, rows))[len(rows) // 2]
            draw_tag(blended, classes[label], np.array([columns[middle], rows[middle]]), colours[label])
    return blended


def _draw_instances(
    picture: np.ndarray, instances: Any, scale: float, classes: Sequence[str], colours: list[Colour]
) -> None:
    boxes = instances.bboxes
    boxes = getattr(boxes, "tensor", boxes).detach().cpu().numpy() * scale  # (N, 4)
    labels = instances.labels.tolist()
    masks = mask_arrays(instances.masks) if "masks" in instances else None
    names = class_names(labels, classes)
    paint_instances(picture, boxes, names, [colours[label % len(colours)] for label in labels], masks)


def mask_arrays(masks: Any) -> np.ndarray:
    """``(N, H, W)`` uint8 of mmdet's bitmaps or polygons, or of a tensor."""
    if not isinstance(masks, torch.Tensor):
        masks = masks.to_tensor(torch.uint8, "cpu")
    return masks.detach().cpu().numpy().astype(np.uint8, copy=False)


def grid(pictures: Sequence[np.ndarray], columns: int, cell: tuple[int, int] = (560, 420)) -> np.ndarray:
    """Arrange pictures (H, W, 3), none larger than the cell of (width, height) pixels, in rows."""
    width, height = cell[0] + 4, cell[1] + 4
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * height, columns * width, 3), 40, dtype=np.uint8)
    for index, picture in enumerate(pictures):
        top = (index // columns) * height + (height - picture.shape[0]) // 2
        left = (index % columns) * width + (width - picture.shape[1]) // 2
        sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return sheet
