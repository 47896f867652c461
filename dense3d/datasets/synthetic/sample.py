"""One sample: a scene, its cameras' frames, and the visible segments that the 2D layouts annotate."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from dense3d.datasets.synthetic.classes import CATEGORIES, CATEGORY_IDS, Category
from dense3d.datasets.synthetic.compositions import COMPOSITIONS
from dense3d.datasets.synthetic.renderer import Frame, Renderer
from dense3d.datasets.synthetic.scene import Scene

# A thing of which less than this fraction of the image is visible is not annotated (its pixels are void).
MIN_VISIBLE_FRACTION = 1e-3


@dataclass(frozen=True, eq=False)
class Sample:
    """What every writer receives.

    Args:
        split: ``"train"`` or ``"val"``.
        index: position in the split, from 0.
        scene: full 3D description: poses, sizes, textures, light.
        frames: one rendering a camera, in the composition's order.
    """

    split: str
    index: int
    scene: Scene
    frames: tuple[Frame, ...]


@dataclass(frozen=True, eq=False)
class VisibleSegment:
    """A visible region of one class: a thing, a heap of things (``iscrowd``), or all of one stuff class."""

    category: Category
    mask: np.ndarray
    iscrowd: bool = False

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    @property
    def bbox(self) -> list[int]:
        """Tight box [x, y, width, height] in pixels, as COCO writes it."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        x, y = int(columns[0]), int(rows[0])
        return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]


def make_sample(
    seed: int, split: str, index: int, size: tuple[int, int], composition: str = "room"
) -> Sample:
    """Compose and render one sample; it depends on these arguments alone.

    Args:
        seed: of the data set.
        split, index: which sample.
        size: width and height of the image in pixels.
        composition: a key of :data:`COMPOSITIONS`.
    """
    rng = np.random.default_rng([seed, zlib.crc32(split.encode()), index])
    scene, cameras = COMPOSITIONS[composition](rng, size)
    renderer = Renderer(scene)
    return Sample(split, index, scene, tuple(renderer.render(camera) for camera in cameras))


def visible_segments(scene: Scene, frame: Frame) -> list[VisibleSegment]:
    """Disjoint segments of a frame: things by instance, heaps as one crowd, stuff by class.

    Things that show less than ``MIN_VISIBLE_FRACTION`` of the image belong to no segment.
    """
    groups: dict[tuple[str, int], list[int]] = {}
    for item in scene.objects:
        if CATEGORIES[CATEGORY_IDS[item.category] - 1].isthing:
            key = ("cluster", item.cluster) if item.cluster else ("thing", item.instance_id)
            groups.setdefault(key, []).append(item.instance_id)
    segments = []
    for (kind, _), members in groups.items():
        mask = np.isin(frame.instance, members)
        if np.count_nonzero(mask) >= max(1, MIN_VISIBLE_FRACTION * mask.size):
            name = scene.by_id[members[0]].category
            category = CATEGORIES[CATEGORY_IDS[name] - 1]
            segments.append(VisibleSegment(category, mask, iscrowd=kind == "cluster"))
    for category in CATEGORIES:
        if not category.isthing and (mask := frame.category == category.id).any():
            segments.append(VisibleSegment(category, mask))
    return segments
