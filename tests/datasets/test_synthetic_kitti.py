"""Synthetic streets: what the label files say against the rendered geometry, read with KITTI's readers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dense3d.datasets.kitti import (
    KittiObjects,
    frame_id,
    list_frames,
    read_calibration,
    read_image_set,
    read_objects,
    write_objects,
)
from dense3d.datasets.synthetic import make_dataset, shapes
from dense3d.datasets.synthetic.renderer import Renderer
from dense3d.datasets.synthetic.road_users import SIZES, make_actor
from dense3d.datasets.synthetic.sample import Sample, make_sample
from dense3d.datasets.synthetic.writers.kitti import calibration_of, label_objects
from dense3d.evaluation.kitti.average_precision import class_flags, match
from dense3d.evaluation.kitti.files import read_pair
from dense3d.evaluation.kitti.frames import Comparison
from dense3d.evaluation.kitti.protocol import Protocol
from dense3d.ops import box_iou_3d
from dense3d.structures import (
    Boxes3D,
    alpha_from_rotation_y,
    occlusion_level,
    project_boxes,
    wrap_angle,
)

SEED, SIZE, COUNTS = 3, (414, 125), {"train": 10, "val": 3}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streets") / "kitti"
    make_dataset(folder, ("kitti",), **COUNTS, size=SIZE, seed=SEED, workers=1, progress=False)
    return folder


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [make_sample(SEED, "train", index, SIZE, "street") for index in range(COUNTS["train"])]


def boxes_of(objects: KittiObjects) -> tuple[KittiObjects, Boxes3D]:
    """Objects with 3D boxes, and these."""
    given = objects.select(objects.has_box3d)
    return given, Boxes3D(torch.from_numpy(given.boxes3d), "camera")


def test_files_lie_where_kitti_has_them(root: Path) -> None:
    train, val = (read_image_set(root / f"ImageSets/{name}.txt") for name in ("train", "val"))
    assert train == [frame_id(n) for n in range(COUNTS["train"])]
    assert len(val) == COUNTS["val"]
    assert read_image_set(root / "ImageSets/trainval.txt") == train + val
    assert list_frames(root / "training/label_2") == train + val == list_frames(root / "training/calib")
    assert list_frames(root / "training/image_2", ".png") == train + val
    for frame in train:
        assert cv2.imread(str(root / f"training/image_2/{frame}.png")).shape == (SIZE[1], SIZE[0], 3)


def test_there_is_something_of_everything(samples: list[Sample]) -> None:
    labels = [label_objects(s.scene, s.frames[0]) for s in samples]
    names = [name for frame in labels for name in frame.names]
    assert {"Car", "Pedestrian", "Cyclist", "DontCare"} == set(names)
    given = np.concatenate([boxes_of(frame)[0].values for frame in labels])
    assert set(given[:, 1]) == {0, 1, 2}
    assert 0.02 < (given[:, 0] > 0.1).mean() < 0.5
    assert given[:, 12].min() < 10
    assert 18 < given[:, 12].max() < 26  # the image is small


def test_files_hold_the_labels_of_the_scene(root: Path, samples: list[Sample]) -> None:
    for sample in samples:
        file = root / f"training/label_2/{frame_id(sample.index)}.txt"
        expected = label_objects(sample.scene, sample.frames[0])
        objects = read_objects(file)
        assert objects.names == expected.names
        assert np.array_equal(objects.values, expected.values)
        calibration = read_calibration(root / f"training/calib/{frame_id(sample.index)}.txt")
        np.testing.assert_allclose(
            calibration.P2, calibration_of(sample.frames[0].camera).P2, rtol=1e-9, atol=1e-9
        )


def test_2d_boxes_are_those_of_the_projected_3d_boxes(samples: list[Sample]) -> None:
    overlaps = []
    for sample in samples:
        objects, boxes = boxes_of(label_objects(sample.scene, sample.frames[0]))
        matrix = torch.from_numpy(calibration_of(sample.frames[0].camera).P2.copy())
        projected = project_boxes(boxes, matrix, SIZE)
        labelled = torch.from_numpy(objects.boxes2d)
        assert (labelled[:, :2] >= projected.boxes[:, :2] - 1).all()
        assert (labelled[:, 2:] <= projected.boxes[:, 2:] + 1).all()
        overlaps += box_iou_3d(*(_as_3d(b) for b in (projected.boxes, labelled)), aligned=True).tolist()
        alpha = alpha_from_rotation_y(boxes.heading, boxes.bottom_center)
        error = wrap_angle(alpha - torch.from_numpy(objects.alpha))
        assert error.abs().max() < 0.03  # two decimals, near objects
    assert np.median(overlaps) > 0.85
    assert min(overlaps) > 0.4


def _as_3d(boxes: torch.Tensor) -> torch.Tensor:
    """Rectangles (left, top, right, bottom) as boxes of height 1."""
    center, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    zero, one = torch.zeros(len(boxes), 1), torch.ones(len(boxes), 1)
    return torch.cat([center, zero, size, one, zero], 1).double()


def test_pixels_of_an_object_lie_in_its_3d_box(samples: list[Sample]) -> None:
    checked = 0
    for sample in samples:
        frame = sample.frames[0]
        calibration = calibration_of(frame.camera)
        _, boxes = boxes_of(label_objects(sample.scene, frame))
        world = boxes.to_world()
        for actor in sample.scene.actors:
            rows, columns = np.nonzero(np.isin(frame.instance, actor.members))
            if len(rows) < 30:
                continue
            points = calibration.unproject(np.stack([columns, rows], 1), frame.depth[rows, columns])
            points = torch.from_numpy(points[:, [2, 0, 1]] * [1, -1, -1])
            local = points[:, None] - world.center
            cosine, sine = world.heading.cos(), world.heading.sin()
            along = local[..., 0] * cosine + local[..., 1] * sine
            across = local[..., 1] * cosine - local[..., 0] * sine
            inside = (along.abs() < world.length / 2 + 0.05) & (across.abs() < world.width / 2 + 0.05)
            inside &= local[..., 2].abs() < world.height / 2 + 0.05
            if inside.float().mean(0).max() > 0.5:  # the actor is labelled and not a region
                assert inside.all(0).any()
                checked += 1
    assert checked > 15


def test_occlusion_is_what_other_objects_hide(samples: list[Sample]) -> None:
    """Each object is rendered again with the ground only: its pixels there are all that could be seen."""
    levels = []
    for sample in samples[:4]:
        scene, frame = sample.scene, sample.frames[0]
        labels = label_objects(scene, frame)
        for actor in scene.actors:
            kept = [o for o in scene.objects if o.category == "ground" or o.instance_id in actor.members]
            alone = replace(scene, objects=tuple(kept), actors=(actor,))
            free = Renderer(alone).render(frame.camera)
            own, _ = boxes_of(label_objects(alone, free))
            same = [row for row in labels.values if len(own) and np.array_equal(row[2:], own.values[0, 2:])]
            if not same:  # out of sight, or a region
                continue
            whole, shown = (np.isin(f.instance, actor.members).sum() for f in (free, frame))
            assert own.occluded[0] == 0
            assert same[0][1] == occlusion_level(shown / whole)
            levels.append(same[0][1])
    assert len(levels) > 8
    assert len(set(levels)) > 1


def test_road_users_do_not_run_into_each_other(samples: list[Sample]) -> None:
    for sample in samples:
        rows = [[*a.center, *a.size, a.yaw] for a in sample.scene.actors]
        overlap = box_iou_3d(*[torch.tensor(rows)] * 2).fill_diagonal_(0)
        assert overlap.max() == 0


@pytest.mark.parametrize("name", sorted(SIZES))
@pytest.mark.parametrize("seed", range(5))
def test_solids_fill_the_box_of_their_actor(name: str, seed: int) -> None:
    yaw, foot = 0.7 * seed, (3.0, -2.0)
    actor, solids = make_actor(np.random.default_rng(seed), name, foot, yaw, first_id=5)
    assert actor.members == tuple(range(5, 5 + len(solids)))
    points = []
    for solid in solids:
        vertices, _ = shapes.mesh(solid.shape)
        points.append(vertices @ solid.rotation.T + solid.center)
    points = np.concatenate(points) - actor.center
    turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    local = points @ turn.T
    np.testing.assert_allclose(local.max(0), np.array(actor.size) / 2, rtol=0.02)
    np.testing.assert_allclose(local.min(0), -np.array(actor.size) / 2, rtol=0.02)
    for value, (mean, deviation) in zip(actor.size, SIZES[name]):
        assert abs(value - mean) <= 2 * deviation + 1e-9


def test_labels_as_results_find_every_object(root: Path, tmp_path: Path) -> None:
    frames = read_image_set(root / "ImageSets/val.txt")
    for frame in frames:
        objects = read_objects(root / f"training/label_2/{frame}.txt")
        cared = objects.select(np.array(objects.names) != "DontCare").with_scores(0.5)
        write_objects(tmp_path / f"{frame}.txt", cared)
    pairs = read_pair(root, tmp_path, root / "ImageSets/val.txt")
    comparison = Comparison(pairs.labels, pairs.results)
    protocol = Protocol.of()
    for index in range(3):
        flags = class_flags(comparison, protocol, index, 2)
        matching = match(comparison, flags, 2, 0.7)
        assert len(matching.scores) == flags.ground_truths
