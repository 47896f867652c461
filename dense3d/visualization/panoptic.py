"""Drawing panoptic maps: every segment in its colour, outlined and named, things and stuff alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from dense3d.datasets.panoptic.id_map import VOID
from dense3d.visualization.canvas import blend, canvas, nearest
from dense3d.visualization.colours import Colour, class_colours
from dense3d.visualization.panels import captioned
from dense3d.visualization.tags import draw_tag

OPACITY = 0.55
OUTLINE = (255, 255, 255)
LEAST_NAMED = 0.002  # smaller parts of the picture get no name
SPREAD = 60  # how far a channel of one thing's colour may be from its class's


def draw_panoptic(
    image: np.ndarray,
    ids: np.ndarray,
    labels: Sequence[int],
    classes: Sequence[str] = (),
    palette: Sequence[Colour] | None = None,
) -> np.ndarray:
    """Lay the segments of a panoptic map over an image.

    The first segment of a class has the class's colour, further ones have colours near it. Void stays as it
    is.

    Args:
        image: ``(H, W, 3)`` RGB, uint8.
        ids: ``(h, w)`` map of the same view at any size: 0 void, i the segment i - 1.
        labels: ``(S,)`` class of each segment.
        classes: class names; without them the labels are written.
        palette: RGB colour of each class.

    Returns:
        ``(H, W, 3)`` RGB picture.
    """
    ids = nearest(ids, image.shape[1::-1]).astype(np.int32, copy=False)
    colours = segment_colours(labels, class_colours(palette, len(classes)))
    table = np.array([(0, 0, 0), *colours], dtype=np.uint8)  # (S + 1, 3)
    picture = np.ascontiguousarray(image).copy()
    blend(picture, table[ids], ids != VOID, OPACITY)
    picture[_borders(ids)] = OUTLINE
    areas = np.bincount(ids.ravel(), minlength=len(labels) + 1)
    for number in np.argsort(-areas[1:]) + 1:  # names of small segments last, so that they stay in view
        if areas[number] >= max(1, LEAST_NAMED * ids.size):
            label = int(labels[number - 1])
            name = classes[label] if label < len(classes) else str(label)
            draw_tag(picture, name, _middle(ids == number), colours[number - 1], centred=True)
    return picture


def draw_panels(
    image: np.ndarray,
    maps: dict[str, tuple[np.ndarray, Sequence[int]]],
    classes: Sequence[str] = (),
    palette: Sequence[Colour] | None = None,
) -> np.ndarray:
    """Panoptic maps of one image side by side, each over the image and under its caption.

    Args:
        image: ``(H, W, 3)`` RGB, uint8; small ones are enlarged, huge ones reduced.
        maps: caption -> map and labels as :func:`draw_panoptic` takes them.
        classes, palette: as for :func:`draw_panoptic`.

    Returns:
        RGB picture.

    Example:
        >>> ids = np.array([[1, 2]]).repeat(64, 0).repeat(32, 1)
        >>> maps = {"ground truth": (ids, [0, 1]), "prediction": (ids, [0, 0])}
        >>> draw_panels(np.zeros((64, 64, 3), np.uint8), maps, ("sky", "sea")).shape
        (534, 1028, 3)
    """
    image, _ = canvas(image)
    return captioned({name: draw_panoptic(image, *found, classes, palette) for name, found in maps.items()})


def panoptic_ground_truth(sample: Any) -> tuple[np.ndarray, list[int]]:
    """Segments of a data sample that has both instances with masks and a map of classes.

    Args:
        sample: mmdet's, with ``gt_instances`` (``masks``, ``labels``) and ``gt_sem_seg``.

    Returns:
        ``(h, w)`` map as :func:`draw_panoptic` takes it, and the labels; one segment a class, and the
        instances on top. Labels of 255 are void.
    """
    semantic = sample.gt_sem_seg.sem_seg[0].cpu().numpy()
    masks = sample.gt_instances.masks
    masks = masks.cpu().numpy() if hasattr(masks, "cpu") else masks.to_ndarray()  # (N, h, w)
    masks = masks.astype(bool)
    alone = ~masks.any(axis=0) & (semantic != 255)  # not hidden by an instance
    present = np.unique(semantic[alone]).tolist()
    ids = np.zeros(semantic.shape, dtype=np.int32)
    for number, label in enumerate(present, start=1):
        ids[alone & (semantic == label)] = number
    for number, mask in enumerate(masks, start=len(present) + 1):
        ids[mask] = number
    return ids, [*present, *sample.gt_instances.labels.tolist()]


def segment_colours(labels: Sequence[int], palette: Sequence[Colour]) -> list[Colour]:
    """A colour a segment: the class's for the first of a class, near it for the others.

    Example:
        >>> colours = segment_colours([0, 1, 0], [(200, 0, 0), (0, 200, 0)])
        >>> colours[:2], colours[2] != colours[0]
        ([(200, 0, 0), (0, 200, 0)], True)
    """
    rng = np.random.default_rng(0)
    seen: set[int] = set()
    colours = []
    for label in map(int, labels):
        colour = np.array(palette[label % len(palette)])
        if label in seen:
            colour = np.clip(colour + rng.integers(-SPREAD, SPREAD + 1, size=3), 0, 255)
        seen.add(label)
        colours.append(tuple(colour.tolist()))
    return colours


def _borders(ids: np.ndarray) -> np.ndarray:
    """Pixels (H, W) whose right or lower neighbour belongs to another segment."""
    borders = np.zeros(ids.shape, dtype=bool)
    borders[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    borders[:-1] |= ids[:-1] != ids[1:]
    return borders


def _middle(mask: np.ndarray) -> np.ndarray:
    """x, y of the pixel deepest inside a mask: names stand on their segment, not between its parts."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return np.array([x, y])
