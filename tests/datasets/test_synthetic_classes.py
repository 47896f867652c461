"""Synthetic images of single solids: a folder a class; solids stand on the floor and in the picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

from dense3d.datasets.class_folder import read_classes
from dense3d.datasets.layouts import check_layout
from dense3d.datasets.synthetic.generate import ensure_dataset
from dense3d.datasets.synthetic.shapes import mesh
from dense3d.datasets.synthetic.single_object import OBJECTS, compose_object


def test_a_data_set_is_a_folder_a_class(tmp_path):
    root = ensure_dataset(
        tmp_path / "classes", layouts=("classes",), train=24, val=6, size=(48, 40), workers=1, progress=False
    )
    names = tuple(sorted(OBJECTS))
    assert len(names) == 10 and read_classes(root / "train", root / "classes.txt") == names
    images = sorted((root / "train").rglob("*.png"))
    assert len(images) == 24 and Image.open(images[0]).size == (48, 40)
    assert len({path.parent.name for path in images}) > 5
    report = check_layout("class_folders", root)
    assert report.ok  # classes without an image are notes
    other = ensure_dataset(
        tmp_path / "again", layouts=("classes",), train=24, val=6, size=(48, 40), workers=1, progress=False
    )
    for path in images:
        assert path.read_bytes() == (other / path.relative_to(root)).read_bytes()


def test_solids_stand_on_the_floor_within_the_picture():
    inside = []
    for index in range(80):
        scene, (camera,) = compose_object(np.random.default_rng([5, index]), (64, 64))
        (actor,), thing = scene.actors, scene.objects[0]
        assert actor.name in OBJECTS and OBJECTS[actor.name][0] == thing.category
        vertices = mesh(thing.shape)[0].astype(float) @ thing.rotation.T + thing.center
        np.testing.assert_allclose(vertices[:, 2].min(), 0, atol=1e-5)
        np.testing.assert_allclose(thing.rotation @ thing.rotation.T, np.eye(3), atol=1e-9)
        pixel = camera.project(thing.center[None])[0][0]
        inside.append(bool((pixel > 0).all() and (pixel < 64).all()))
    assert np.mean(inside) > 0.9
