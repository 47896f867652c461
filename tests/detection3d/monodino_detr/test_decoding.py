"""What is encoded comes back: true boxes to targets to detections."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.datasets.kitti import read_calibration
from dense3d.datasets.kitti.mono_targets import encode_mono_targets
from dense3d.datasets.kitti.objects import KittiObjects, format_objects, parse_objects, read_objects
from dense3d.datasets.kitti.warp import ImageWarp
from dense3d.detection3d.monodino_detr.prediction import (
    PixelMap,
    Predictions,
    TopQueries,
    decode_frame,
    top_queries,
    unproject,
)
from dense3d.structures import KittiCalibration

NAMES = ("Pedestrian", "Car", "Cyclist")
CALIBRATION = KittiCalibration(
    **KittiCalibration.pinhole(721.5, (609.6, 172.9)).matrices()
    | {"P2": np.array([[721.5, 0, 609.6, 44.9], [0, 715.0, 172.9, 0.2], [0, 0, 1, 0.003]])}
)


def street(number: int = 30) -> KittiObjects:
    """Objects whose 2D box encloses the projected centre, off centre as in real labels."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(5, 50, number)
    sizes = rng.uniform((1.4, 0.6, 0.8), (1.9, 1.9, 4.5), (number, 3))
    places = np.column_stack((rng.uniform(-0.6, 0.6, number) * depth, np.full(number, 1.7), depth))
    seen, _ = CALIBRATION.project(places - np.outer(sizes[:, 0] / 2, (0, 1, 0)))
    margins = rng.uniform(0.6, 1.4, (number, 4)) * np.outer(40 * 20 / depth, (1.5, 1, 1.5, 1))
    boxes = np.column_stack((seen - margins[:, :2], seen + margins[:, 2:]))
    rest = np.zeros((number, 3))
    turns = rng.uniform(-np.pi, np.pi, number)
    names = tuple(NAMES[i % 3] for i in range(number))
    return KittiObjects(names, np.column_stack((rest, boxes, sizes, places, turns)))


def as_predictions(targets, num_queries: int = 50) -> Predictions:
    """Certain predictions of the targets, the other queries sure of nothing."""
    number = len(targets.rows)
    logits = torch.full((1, num_queries, 3), -20.0)
    boxes, sizes = torch.full((1, num_queries, 6), 0.5), torch.ones(1, num_queries, 3)
    headings, depths = torch.zeros(1, num_queries, 24), torch.zeros(1, num_queries, 2)
    rows = torch.arange(number)
    logits[0, rows, torch.from_numpy(targets.labels)] = 5.0 - rows / 50  # in the order of the file
    boxes[0, :number] = torch.from_numpy(targets.boxes_3d)
    sizes[0, :number] = torch.from_numpy(targets.size_3d)
    bins = torch.from_numpy(targets.heading_bin)
    headings[0, rows, bins] = 9.0
    headings[0, rows, 12 + bins] = torch.from_numpy(targets.heading_residual).float()
    depths[0, :number, 0] = torch.from_numpy(targets.depth)
    return Predictions(logits, boxes, sizes, headings, depths)


def come_back(objects: KittiObjects, calibration: KittiCalibration, warp: ImageWarp):
    targets = encode_mono_targets(objects, calibration, warp, NAMES)
    top = top_queries(as_predictions(targets), 50)
    pixels = PixelMap.of_warp(warp.matrix, warp.target)
    return targets.rows, decode_frame(top, 0, calibration.P2, pixels, NAMES, 0.2)


def angle_error(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(np.mod(a - b + np.pi, 2 * np.pi) - np.pi)


@pytest.mark.parametrize("source", [(1242, 375), (1224, 370), (801, 333)])
@pytest.mark.parametrize("target", [(1280, 384), (640, 192), (517, 301)])
def test_true_boxes_come_back(source, target):
    objects = street()
    rows, found = come_back(objects, CALIBRATION, ImageWarp(source, target, shift=(0.02, -0.03)))
    assert len(rows) > 5
    true = objects.select(rows)
    assert found.names == true.names
    np.testing.assert_allclose(found.boxes2d, true.boxes2d, atol=2e-3)
    np.testing.assert_allclose(found.dimensions, true.dimensions, atol=1e-5)
    np.testing.assert_allclose(found.location, true.location, atol=1e-4)
    assert angle_error(found.rotation_y, true.rotation_y).max() < 1e-5
    bearing = np.arctan2(true.boxes2d[:, [0, 2]].mean(1) - CALIBRATION.P2[0, 2], CALIBRATION.P2[0, 0])
    assert angle_error(found.alpha, true.rotation_y - bearing).max() < 1e-5


def test_real_labels_come_back(sample_data):
    """Alpha of KITTI's labels is that of the 3D centre, so only what is encoded is compared."""
    compared = 0
    for path in sorted((sample_data / "kitti/training/label_2").glob("*.txt")):
        calibration = read_calibration(path.parent.parent / "calib" / path.name)
        objects = read_objects(path)
        rows, found = come_back(objects, calibration, ImageWarp((1242, 375), (1280, 384)))
        true = objects.select(rows)
        np.testing.assert_allclose(found.boxes3d[:, :6], true.boxes3d[:, :6], atol=1e-3)
        assert (angle_error(found.rotation_y, true.rotation_y) < 1e-4).all()
        np.testing.assert_allclose(found.boxes2d, true.boxes2d, atol=1e-2)
        compared += len(rows)
    assert compared


def test_detections_are_lines_of_a_result_file():
    _, found = come_back(street(), CALIBRATION, ImageWarp((1242, 375), (1280, 384)))
    text = format_objects(found)
    np.testing.assert_array_equal(parse_objects(text, is_result=True).values, found.values)


def test_the_official_pixels_are_those_of_an_image_with_the_networks_aspect():
    points = np.random.default_rng(0).random((5, 2))
    warp = ImageWarp((640, 192), (1280, 384))
    ours = PixelMap.of_warp(warp.matrix, warp.target)(points)
    np.testing.assert_allclose(PixelMap.stretched((640, 192))(points), ours)


def test_the_pixel_map_inverts_the_warp():
    warp = ImageWarp((1242, 375), (1280, 384), crop_scale=0.97, shift=(0.03, 0.01))
    points = np.random.default_rng(0).uniform(0, 300, (5, 2))
    unit = warp.move_points(points) / warp.target
    np.testing.assert_allclose(PixelMap.of_warp(warp.matrix, warp.target)(unit), points)


def test_unprojected_points_are_seen_where_they_were():
    points = np.random.default_rng(0).uniform((-10, -1, 5), (10, 2, 50), (20, 3))
    pixels, depth = CALIBRATION.project(points)
    pixels = pixels * (depth / points[:, 2])[:, None]  # what P2 adds to the depth is left out
    np.testing.assert_allclose(unproject(pixels, points[:, 2], CALIBRATION.P2), points)


def test_the_best_pairs_of_query_and_class():
    logits = torch.tensor([[[3.0, 2.0, -5.0], [1.0, -1.0, 4.0]]])
    rest = [torch.arange(2.0)[None, :, None].expand(1, 2, size) for size in (6, 3, 24, 2)]
    top = top_queries(Predictions(logits, *rest), 3)
    assert top.labels.tolist() == [[2, 0, 1]]
    assert top.depths[0, :, 0].tolist() == [1.0, 0.0, 0.0]
    torch.testing.assert_close(top.scores, torch.tensor([[4.0, 3.0, 2.0]]).sigmoid())


def test_uncertain_depth_lowers_the_score():
    top = TopQueries(
        torch.tensor([[1, 1]]),
        torch.tensor([[0.9, 0.1]]),
        torch.full((1, 2, 6), 0.25),
        torch.ones(1, 2, 3),
        torch.zeros(1, 2, 24),
        torch.tensor([[[10.0, 0.5], [10.0, 0.0]]]),
    )
    found = decode_frame(top, 0, CALIBRATION.P2, PixelMap.stretched((100, 50)), NAMES, 0.2)
    np.testing.assert_allclose(found.scores, [0.9 * np.exp(-0.5)], rtol=1e-6)
    empty = decode_frame(top, 0, CALIBRATION.P2, PixelMap.stretched((100, 50)), NAMES, 0.95)
    assert len(empty) == 0
    assert empty.is_result
