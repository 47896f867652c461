"""Rooms of the synthetic world as radiance grids, in the layout of the NeRF-RPN and NeRF-MAE releases.

``features/<scene>.npz`` colour and opacity in 8 bits, ``obb/<scene>.npy`` and ``aabb/<scene>.npy`` boxes of
things that stand in the room, ``semantics/<scene>.npy`` classes of voxels, ``synthetic_split.npz``, and
``features_<N>`` with finer grids of the same rooms where they are asked for. With views also
``views/<scene>``: photographs with depth of the same room, in the world of its grid, in the layout of
sequences, and ``boxes.npy``, its oriented boxes in that world.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dense3d.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from dense3d.datasets.synthetic.rooms import RoomCloud
    from dense3d.datasets.synthetic.rooms.sampling import Surfaces
    from dense3d.structures import RadianceGrid

GRIDS = "grids"
SPLITS = ("train", "val")
DEFAULTS = (60, 20, 64)  # training and validation scenes, voxels of the longest side
POINTS = 60  # of the surfaces, times the square of the longest side
OPTICAL_DEPTH = 4.0  # of a voxel that a surface crosses whole
MARGIN = 0.02  # metres around the room
VIEW_SIZE = (240, 180)  # of photographs, pixels


@dataclass(frozen=True)
class GridRecipe:
    """Everything that the files of such a data set depend on."""

    layouts: tuple[str, ...]
    train: int
    val: int
    size: int
    seed: int
    finer: int | None = None
    generator_version: int = 1

    def __post_init__(self) -> None:
        if self.layouts != (GRIDS,):
            raise ConfigError(f"grids are made alone, not with {self.layouts}")
        if min(self.train, self.val) < 0 or self.train + self.val == 0:
            raise ConfigError(
                f"train={self.train}, val={self.val}: the numbers of scenes must not be negative or both zero"
            )
        for name, size in (("size", self.size), ("finer", self.finer)):
            if size is not None and not 8 <= size <= 512:
                raise ConfigError(f"{name}={size}: the longest side of a grid has 8 to 512 voxels")
        if self.finer is not None and self.finer <= self.size:
            raise ConfigError(f"finer={self.finer}: finer grids have more voxels than size={self.size}")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed}: the seed must not be negative")


@dataclass(frozen=True)
class ViewedGridRecipe(GridRecipe):
    """Of grids with photographs; others keep the recipe that they always had."""

    views: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.views < 1:
            raise ConfigError(f"views={self.views}: the number of photographs must not be negative")


def make_grids(
    root: str | os.PathLike,
    train: int | None = None,
    val: int | None = None,
    size: int | None = None,
    seed: int = 0,
    finer: int | None = None,
    overwrite: bool = False,
    views: int = 0,
) -> bool:
    """Make a data set of radiance grids, unless it is there already; whole or not at all.

    Args:
        root: folder to create.
        train, val: scenes in each split; 60 and 20.
        size: voxels of a grid's longest side; 64.
        seed: scene ``index`` of a split depends only on seed, split, index and sizes.
        finer: longest side of further grids of the same scenes, for super-resolution; None for none.
        overwrite: replace a synthetic data set of another recipe.
        views: photographs with depth of each room, 240 x 180 pixels.

    Returns:
        True if it was made, False if it was there.

    Raises:
        ConfigError: an argument is out of range.
        DataError: ``root`` holds something else, or cannot be written.
        MissingDependencyError: Open3D is not installed.
    """
    from dense3d.datasets.synthetic.generate import made_whole

    counts = [usual if given is None else int(given) for given, usual in zip((train, val, size), DEFAULTS)]
    recipe = GridRecipe((GRIDS,), *counts, seed, finer)
    if views:
        recipe = ViewedGridRecipe((GRIDS,), *counts, seed, finer, views=int(views))
    return made_whole(root, recipe, overwrite, lambda folder: _write(folder, recipe))


def voxelise(
    room: RoomCloud, size: int, coarse: RadianceGrid | None = None
) -> tuple[RadianceGrid, np.ndarray]:
    """A room's surfaces as a grid whose longest side has ``size`` voxels; they are cubes.

    A voxel's colour is the mean of the surface's in it. Its opacity is that of an optical depth that is
    proportional to the area of the surface in it.

    Args:
        room: points spread evenly over all surfaces.
        size: voxels of the longest side; the other sides are even.
        coarse: a grid of the same room, whose low corner and proportions are taken instead, as
            super-resolution needs it.

    Returns:
        The grid in 8 bits, and ``(W, L, H)`` uint8 labels of voxels: the class that most of its points have,
        counted from 1; 0 where there is no point.
    """
    import numpy as np

    from dense3d.datasets.synthetic.rooms import CLASSES
    from dense3d.structures import RadianceGrid

    if coarse is None:
        low, high = room.points.min(axis=0) - MARGIN, room.points.max(axis=0) + MARGIN
        edge = float((high - low).max()) / size
        shape = np.maximum(np.ceil((high - low) / edge - 1e-6).astype(int), 1)
        shape += shape % 2
        low = low - (shape * edge - (high - low)) / 2  # the room in the middle of its box
    else:
        factor = size / max(coarse.resolution)
        low, edge = coarse.bbox_min, float(coarse.voxel_size.max()) / factor
        shape = np.floor(np.array(coarse.resolution) * factor + 1e-6).astype(int)
    index = np.clip(((room.points - low) / edge).astype(int), 0, shape - 1)
    flat, voxels = np.ravel_multi_index(index.T, shape), int(shape.prod())
    count = np.bincount(flat, minlength=voxels)
    values = np.zeros((voxels, 4), np.float32)
    for channel in range(3):
        total = np.bincount(flat, room.colors[:, channel] / 255, minlength=voxels)
        values[:, channel] = total / np.maximum(count, 1)
    area = room.area / len(room.points)  # of the surface, for each point
    values[:, 3] = -np.expm1(-OPTICAL_DEPTH * count * area / edge**2)
    grid = RadianceGrid(
        values.reshape(*shape, 4), low, low + shape * edge, "alpha", delta=edge, source="a synthetic room"
    )
    classes = len(CLASSES)
    votes = np.bincount(flat * classes + room.labels, minlength=voxels * classes).reshape(voxels, classes)
    labels = np.where(count > 0, votes.argmax(axis=1) + 1, 0).astype(np.uint8)
    return grid.to_uint8(), labels.reshape(shape)


def boxes_of(room: RoomCloud, grid: RadianceGrid) -> np.ndarray:
    """``(N, 7)`` float32 boxes, in voxels, of the things that stand in a room, not of those on its walls."""
    import numpy as np

    from dense3d.datasets.synthetic.rooms import CLASSES
    from dense3d.datasets.synthetic.rooms.classes import ON_WALLS

    standing = [CLASSES[label] not in ON_WALLS for label in room.box_labels]
    return grid.boxes_to_voxel(room.boxes[np.array(standing, bool)]).astype(np.float32)


def _write(folder: Path, recipe: GridRecipe) -> None:
    import numpy as np

    from dense3d.datasets.radiance_grids.splits import write_split
    from dense3d.datasets.synthetic.generate import with_bar
    from dense3d.datasets.synthetic.rooms import make_furnished_room

    names = ["features", "obb", "aabb", "semantics", *([f"features_{recipe.finer}"] if recipe.finer else [])]
    for name in names:
        (folder / name).mkdir()
    samples = [(split, index) for split in SPLITS for index in range(getattr(recipe, split))]
    scenes: dict[str, list[str]] = {split: [] for split in SPLITS}
    for split, index in with_bar(iter(samples), len(samples), progress=True, noun="synthetic grids, once"):
        key = [recipe.seed, zlib.crc32(split.encode()), index]
        scene = f"{split}_{index:04d}"
        scenes[split].append(scene)
        points = POINTS * max(recipe.size, recipe.finer or 0) ** 2
        room, surfaces = make_furnished_room(np.random.default_rng(key), points)
        grid, labels = voxelise(room, recipe.size)
        boxes = boxes_of(room, grid)
        grid.save(folder / "features" / f"{scene}.npz", compressed=True)
        np.save(folder / "semantics" / f"{scene}.npy", labels)
        np.save(folder / "obb" / f"{scene}.npy", boxes)
        np.save(folder / "aabb" / f"{scene}.npy", corners_of(boxes))
        if recipe.finer:
            finer, _ = voxelise(room, recipe.finer, grid)
            finer.save(folder / f"features_{recipe.finer}" / f"{scene}.npz", compressed=True)
        if isinstance(recipe, ViewedGridRecipe):
            _write_views(folder / "views" / scene, surfaces, recipe.views, np.random.default_rng([*key, 1]))
            np.save(folder / "views" / scene / "boxes.npy", grid.boxes_to_world(boxes))
    write_split(folder / "synthetic_split.npz", {**scenes, "test": scenes["val"]})


def _write_views(folder: Path, surfaces: Surfaces, views: int, rng: np.random.Generator) -> None:
    """The last photograph is held out, of eight and more every eighth one."""
    from dense3d.datasets.synthetic.rooms import view_room
    from dense3d.datasets.synthetic.writers.posed import NOISE, write_frames

    frames = view_room(surfaces, rng, views, VIEW_SIZE)
    write_frames(folder, frames, NOISE, rng, hold_out=min(max(views, 2), 8))


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """``(N, 6)`` low and high corner of the upright boxes around oriented ones ``(N, 7)``.

    Example:
        >>> import numpy as np
        >>> corners_of(np.array([[2.0, 2.0, 1.0, 4.0, 2.0, 2.0, np.pi / 2]])).round(6).tolist()
        [[1.0, 0.0, 0.0, 3.0, 4.0, 2.0]]
    """
    import numpy as np

    cosine, sine = np.abs(np.cos(boxes[:, 6])), np.abs(np.sin(boxes[:, 6]))
    half = boxes[:, 3:6] / 2
    reach = np.stack(
        [half[:, 0] * cosine + half[:, 1] * sine, half[:, 0] * sine + half[:, 1] * cosine, half[:, 2]], 1
    )
    return np.concatenate([boxes[:, :3] - reach, boxes[:, :3] + reach], axis=1)
