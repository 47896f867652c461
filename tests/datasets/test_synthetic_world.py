"""The random scenes: physically placed, varied, with occlusion, and drawn from the seed alone."""

from __future__ import annotations

import doctest
import math
from collections import Counter

import numpy as np
import pytest

import dense3d.datasets.synthetic.renderer as renderer_module
import dense3d.datasets.synthetic.textures as textures_module
import dense3d.datasets.synthetic.vectors as vectors_module
from dense3d.datasets.synthetic import THING_CLASSES, shapes
from dense3d.datasets.synthetic.compositions import COMPOSITIONS
from dense3d.datasets.synthetic.renderer import Renderer
from dense3d.datasets.synthetic.sample import make_sample
from dense3d.datasets.synthetic.scene import Scene, SceneObject
from dense3d.structures.camera import PinholeCamera

SCENES = 60


def compose(name: str) -> list[tuple[Scene, PinholeCamera]]:
    composed = [COMPOSITIONS[name](np.random.default_rng([3, index]), (80, 60)) for index in range(SCENES)]
    return [(scene, cameras[0]) for scene, cameras in composed]


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Scene, PinholeCamera]]:
    return compose("room")


@pytest.fixture(scope="module")
def close_ups() -> list[tuple[Scene, PinholeCamera]]:
    return compose("close_up")


def things_of(scene: Scene) -> list[SceneObject]:
    return [item for item in scene.objects if item.category in THING_CLASSES]


def world_vertices(item: SceneObject) -> np.ndarray:
    vertices, _ = shapes.mesh(item.shape)
    return vertices.astype(float) @ item.rotation.T + item.center


def test_examples() -> None:
    for module in (renderer_module, textures_module, vectors_module):
        assert doctest.testmod(module).failed == 0


def test_things_rest_on_the_ground_before_the_walls(scenes: list, close_ups: list) -> None:
    for scene, camera in scenes + close_ups:
        walls = [item for item in scene.objects if item.category == "wall"]
        for item in things_of(scene):
            vertices = world_vertices(item)
            assert vertices[:, 2].min() == pytest.approx(0, abs=1e-5)
            np.testing.assert_allclose(item.rotation @ item.rotation.T, np.eye(3), atol=1e-12)
            for wall in walls:
                outward = (vertices - wall.center) @ wall.rotation[:, 0]
                assert item.cluster or outward.max() < -wall.shape.size[0] / 2
        for wall in walls:
            assert (camera.position - wall.center) @ wall.rotation[:, 0] < 0


def test_every_class_size_and_texture_occurs(scenes: list) -> None:
    things = [item for scene, _ in scenes for item in things_of(scene) if not item.cluster]
    classes = Counter(item.category for item in things)
    assert set(classes) == set(THING_CLASSES)
    assert min(classes.values()) > 0.08 * len(things)
    assert {item.texture.kind for item in things} == set(textures_module.PATTERNS) - {"fractal"}  # for stereo
    assert any(item.cluster for scene, _ in scenes for item in things_of(scene))
    counts = Counter(sum(not item.cluster for item in things_of(scene)) for scene, _ in scenes)
    assert sum(counts[n] for n in range(2, 7)) > 0.75 * SCENES


def test_colour_does_not_tell_the_class(scenes: list) -> None:
    hues: dict[str, list[float]] = {}
    for scene, _ in scenes:
        for item in things_of(scene):
            red, green, blue = item.texture.first
            hue = math.atan2(math.sqrt(3) * (green - blue), 2 * red - green - blue)
            hues.setdefault(item.category, []).append(hue)
    # Hues of each class are spread around the circle: their mean direction is short.
    for values in hues.values():
        assert np.hypot(np.mean(np.cos(values)), np.mean(np.sin(values))) < 0.5


def test_many_things_are_partly_hidden_and_sizes_vary(scenes: list) -> None:
    visible, heights = [], []
    for scene, camera in scenes[:25]:
        together = Renderer(scene).render(camera).instance
        for item in things_of(scene):
            alone = Renderer(Scene((item,), scene.light, scene.sky)).render(camera).instance > 0
            if item.cluster or alone.sum() < 10:
                continue
            visible.append((together == item.instance_id).sum() / alone.sum())
            rows = np.flatnonzero(alone.any(axis=1))
            heights.append((rows[-1] - rows[0] + 1) / camera.height)
    hidden = np.mean(np.array(visible) < 0.9)
    assert 0.1 < hidden < 0.6
    assert np.mean(np.array(heights) > 0.12) > 0.85
    assert np.quantile(heights, 0.9) > 2 * np.quantile(heights, 0.1)


def test_close_ups_show_one_to_three_large_things_upright(scenes: list, close_ups: list) -> None:
    def heights(composed: list) -> list[float]:
        """Sides of the things' bounding spheres as the camera sees them, in multiples of the image's."""
        found = []
        for scene, camera in composed:
            for item in things_of(scene):
                depth = (item.center - camera.position) @ camera.rotation[:, 2]
                radius = np.linalg.norm(world_vertices(item) - item.center, axis=1).max()
                found.append(2 * radius * camera.intrinsics[1, 1] / depth / camera.height)
        return found

    counts = Counter(len(things_of(scene)) for scene, _ in close_ups)
    assert set(counts) <= {0, 1, 2, 3} and counts[0] <= 0.05 * SCENES and len(counts) >= 3
    assert np.median(heights(close_ups)) > 1.5 * np.median(heights(scenes))
    for scene, _ in close_ups:
        for item in things_of(scene):
            axis = item.rotation[:, 2]  # of symmetry: level for rings, which stand on their edge
            assert abs(axis[2]) == pytest.approx(0 if item.category == "torus" else 1, abs=1e-6)


def test_a_sample_depends_on_seed_split_and_index_alone() -> None:
    first, again = (make_sample(5, "train", 3, (64, 48)).frames[0] for _ in range(2))
    for name in ("rgb", "depth", "normal", "instance", "category"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    for other in ((6, "train", 3), (5, "val", 3), (5, "train", 4)):
        assert not np.array_equal(make_sample(*other, (64, 48)).frames[0].rgb, first.rgb)
