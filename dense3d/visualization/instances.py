"""Drawing objects on an image: boxes, masks, names and scores; of predictions and of ground truth alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from dense3d.visualization.canvas import SHORT_SIDE, blend, canvas, nearest
from dense3d.visualization.colours import Colour, class_colours
from dense3d.visualization.tags import draw_tag

OPACITY = 0.5


def draw_instances(
    image: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray | None,
    labels: np.ndarray,
    masks: Sequence[np.ndarray] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """Boxes with names and scores, and masks.

    Args:
        image: ``(H, W, 3)`` RGB uint8; small ones are enlarged and huge ones reduced, see
            :func:`dense3d.visualization.canvas.canvas`.
        boxes: ``(N, 4)`` x1, y1, x2, y2 in pixels.
        scores: ``(N,)``, or None.
        labels: ``(N,)``.
        masks: ``(N, H, W)`` bool or uint8, or None.
        meta: ``classes`` and ``palette`` of the data set.

    Returns:
        ``(H', W', 3)`` RGB picture.
    """
    picture, scale = canvas(image)
    meta = meta or {}
    classes = meta.get("classes") or ()
    names = class_names(labels, classes)
    if scores is not None:
        names = [f"{name} {score:.2f}" for name, score in zip(names, scores)]
    colours = class_colours(meta.get("palette"), len(classes))
    paint_instances(
        picture, boxes * np.tile(scale, 2), names, [colours[i % len(colours)] for i in labels], masks
    )
    return picture


def paint_instances(
    picture: np.ndarray,
    boxes: np.ndarray,
    names: Sequence[str],
    colours: Sequence[Colour],
    masks: Iterable[np.ndarray] | None = None,
) -> None:
    """Objects on a picture, in place; small ones last, so that they stay in view.

    Args:
        picture: ``(H, W, 3)`` RGB uint8.
        boxes: ``(N, 4)`` x1, y1, x2, y2 in pixels of the picture.
        names, colours: of each.
        masks: ``(h, w)`` of the same view at any size, bool or uint8.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    masks = list(masks) if masks is not None else [None] * len(boxes)
    thick = max(2, round(min(picture.shape[:2]) / SHORT_SIDE * 1.5))
    order = np.argsort(-(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), kind="stable")
    # Far outside, OpenCV's integers would overflow.
    limits = np.clip(boxes, -1e4, 1e5).round().astype(int).tolist()
    for i in order:
        if masks[i] is not None:
            _paint_mask(picture, masks[i], colours[i], thick)
        x1, y1, x2, y2 = limits[i]
        cv2.rectangle(picture, (x1, y1), (x2, y2), colours[i], thick, cv2.LINE_AA)
    for i in order:
        draw_tag(picture, names[i], limits[i][:2], colours[i])


def class_names(labels: Iterable[int], classes: Sequence[str]) -> list[str]:
    """Names of labels, numbers where there are no names.

    Example:
        >>> class_names([1, 5], ("cat", "dog"))
        ['dog', '5']
    """
    return [classes[i] if 0 <= i < len(classes) else str(int(i)) for i in labels]


def _paint_mask(picture: np.ndarray, mask: np.ndarray, colour: Colour, thick: int) -> None:
    """The mask's inside, half transparent, and its outline; only the part of the picture that it covers."""
    mask = np.ascontiguousarray(nearest(mask, picture.shape[1::-1])).astype(np.uint8, copy=False)
    x, y, width, height = cv2.boundingRect(mask)
    if not (width and height):
        return
    area = np.s_[y : y + height, x : x + width]
    blend(picture[area], np.array(colour), mask[area].astype(bool), OPACITY)
    outlines, _ = cv2.findContours(mask[area], cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(x, y))
    cv2.drawContours(picture, outlines, -1, colour, max(1, thick // 2), cv2.LINE_AA)
