"""Drawn annotations lie where they belong."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from dense3d.visualization.annotations import draw_sample, grid
from dense3d.visualization.colours import distinct_colours

RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_boxes_and_masks_are_scaled_with_the_image() -> None:
    mask = torch.zeros(1, 20, 40, dtype=torch.bool)
    mask[0, 10:15, 20:30] = True
    instances = InstanceData(
        bboxes=torch.tensor([[8.0, 4.0, 36.0, 18.0]]), labels=torch.tensor([1]), masks=mask
    )
    sample = BaseDataElement(gt_instances=instances)
    picture = draw_sample(
        np.full((20, 40, 3), 100, np.uint8), sample, ("a", "b"), [RED, BLUE], cell=(400, 300)
    )
    assert picture.shape == (200, 400, 3)
    assert tuple(picture[100, 80]) == BLUE  # left edge of the box
    assert tuple(picture[125, 250]) == (50, 50, 177)  # half grey, half blue inside the mask
    assert tuple(picture[60, 250]) == (100, 100, 100)  # inside the box, outside the mask


def test_label_maps_leave_ignored_pixels_alone() -> None:
    labels = torch.full((1, 10, 20), 255)
    labels[0, :, 10:] = 1
    sample = BaseDataElement(gt_sem_seg=PixelData(data=labels))
    picture = draw_sample(
        np.full((10, 20, 3), 100, np.uint8), sample, ("a", "b"), [RED, BLUE], cell=(200, 200)
    )
    assert tuple(picture[5, 20]) == (100, 100, 100)
    assert tuple(picture[5, 190]) == (50, 50, 177)


def test_grid_keeps_pictures_apart() -> None:
    sheet = grid(
        [np.full((10, 20, 3), value, np.uint8) for value in (100, 150, 200)], columns=2, cell=(20, 10)
    )
    assert sheet.shape == (28, 48, 3)
    assert sorted(set(sheet[..., 0].ravel())) == [40, 100, 150, 200]


def test_colours_differ() -> None:
    colours = np.array(distinct_colours(24), dtype=float)
    distance = np.abs(colours[:, None] - colours[None]).max(-1) + 255 * np.eye(24)
    assert distance.min() > 20
