"""Drawn annotations lie where they belong."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from dense3d.visualization.annotations import draw_sample, grid
from dense3d.visualization.colours import distinct_colours
from dense3d.visualization.instances import draw_instances
from dense3d.visualization.panels import draw_segmentation
from dense3d.visualization.panoptic import draw_panels

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


def test_predictions_are_drawn_as_annotations_are() -> None:
    mask = np.zeros((1, 480, 640), np.uint8)
    mask[0, 200:300, 300:400] = 1
    boxes, labels = np.array([[80.0, 120.0, 500.0, 400.0]]), np.array([1])
    image = np.full((480, 640, 3), 100, np.uint8)
    meta = dict(classes=("a", "b"), palette=[RED, BLUE])
    picture = draw_instances(image, boxes, np.array([0.5]), labels, mask.astype(bool), meta)
    sample = BaseDataElement(
        gt_instances=InstanceData(
            bboxes=torch.from_numpy(boxes), labels=torch.from_numpy(labels), masks=torch.from_numpy(mask)
        )
    )
    annotated = draw_sample(image, sample, ("a", "b"), [RED, BLUE], cell=(640, 480))
    assert picture.shape == annotated.shape
    assert np.array_equal(picture[130:], annotated[130:])  # above stands the name, here with its score
    assert tuple(picture[250, 350]) == (50, 50, 177)
    assert (image == 100).all()


@pytest.mark.parametrize("size", [(20, 30), (480, 640), (1, 3000), (3000, 1), (6000, 8000)])
def test_names_can_be_read_on_pictures_of_any_size(size) -> None:
    boxes = np.array([[0.2, 0.4, 0.8, 0.9]]) * np.tile(size[::-1], 2)
    picture = draw_instances(
        np.zeros((*size, 3), np.uint8), boxes, None, np.array([0]), None, dict(classes=["É"])
    )
    assert max(picture.shape) <= 4096
    if min(size) < 20:
        return
    plate = (picture == picture[tuple(np.argwhere(picture.any(-1))[0])]).all(-1)  # of one colour
    rows = np.flatnonzero(plate[:, : plate.shape[1] // 2].sum(1) > 4)
    assert len(rows) >= 12
    assert min(picture.shape[:2]) >= 480


def test_large_images_are_drawn_in_little_memory() -> None:
    image = np.zeros((6000, 8000, 3), np.uint8)
    masks = np.zeros((2, 6000, 8000), bool)
    masks[:, 1000:5000, 1000:7000] = True
    boxes = np.array([[1000.0, 1000, 7000, 5000]] * 2)
    tracemalloc.start()
    draw_instances(image, boxes, np.array([0.9, 0.8]), np.array([0, 1]), masks)
    ids = np.zeros((6000, 8000), np.int32)
    ids[1000:5000, 1000:7000] = 1
    draw_panels(image, {"prediction": (ids, [0])}, ("a",))
    draw_segmentation(image, [ids.astype(np.int64)], ("a", "b"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.7e9  # matplotlib took seven


def test_boxes_far_outside_and_without_end() -> None:
    boxes = np.array([[-1e9, -1e9, 1e9, 1e9], [5.0, 5, 5, 5], [50, 50, 10, 10]])
    picture = draw_instances(np.zeros((60, 60, 3), np.uint8), boxes, None, np.array([0, 1, 7]))
    assert picture.shape == (480, 480, 3)


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
