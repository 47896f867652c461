"""Synthetic data sets of point clouds: ``shapes`` with parts, ``rooms`` in Pointcept's folders.

``shapes``: ``{train,val}/{points,normals,parts,labels}.npy`` with all clouds of a split, and
``families.json``. ``rooms``: ``{train,val}/room_0000/{coord,color,normal,segment,instance,boxes}.npy``, and
``classes.json``; with views also ``room_0000/views/{transforms.json,images,depth}``. The same recipe gives
the same bytes on one version of Open3D.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dense3d.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    import numpy as np

    from dense3d.datasets.synthetic.rooms.sampling import Surfaces

CLOUD_LAYOUTS = ("shapes", "rooms")
SPLITS = ("train", "val")
# training and validation samples, points in each
DEFAULTS = {"shapes": (1050, 210, 2048), "rooms": (40, 10, 40_000)}
VIEW_NOISE = 0.004  # deviation of the sensor's noise, relative to full scale
VIEW_SIZE = (128, 96)  # of photographs of rooms, pixels
LEAST_POINTS = {"shapes": 16, "rooms": 1000}


@dataclass(frozen=True)
class CloudRecipe:
    """Everything that the files of such a data set depend on."""

    layouts: tuple[str, ...]
    train: int
    val: int
    points: int
    seed: int
    scan: bool = False
    generator_version: int = 1

    def __post_init__(self) -> None:
        if len(self.layouts) != 1 or self.layouts[0] not in CLOUD_LAYOUTS:
            raise ConfigError(f"one layout of {', '.join(CLOUD_LAYOUTS)} is made at once, not {self.layouts}")
        if min(self.train, self.val) < 0 or self.train + self.val == 0:
            raise ConfigError(
                f"train={self.train}, val={self.val}: the numbers of clouds must not be negative or both zero"
            )
        least = LEAST_POINTS[self.layouts[0]]
        if not least <= self.points <= 10_000_000:
            raise ConfigError(f"points={self.points}: {self.layouts[0]} have {least} to 10 million points")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed}: the seed must not be negative")


@dataclass(frozen=True)
class ViewedRecipe(CloudRecipe):
    """Of rooms with photographs; others keep the recipe that they always had."""

    views: int = 1
    size: tuple[int, int] = VIEW_SIZE

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layouts != ("rooms",) or self.views < 1 or min(self.size) < 16:
            raise ConfigError(
                f"views={self.views}, size={self.size}: rooms alone have photographs, of 16 pixels or more"
            )


def make_clouds(
    root: str | os.PathLike,
    layout: str,
    train: int | None = None,
    val: int | None = None,
    points: int | None = None,
    seed: int = 0,
    scan: bool = False,
    overwrite: bool = False,
    views: int = 0,
    size: tuple[int, int] = VIEW_SIZE,
) -> bool:
    """Make a data set of clouds, unless it is there already; whole or not at all.

    Args:
        root: folder to create.
        layout: ``"shapes"`` or ``"rooms"``.
        train, val: clouds in each split; 1050 and 210 shapes (each family as often), or 40 and 10 rooms.
        points: of each cloud; 2048 or 40,000.
        seed: sample ``index`` of a split depends only on seed, split, index, points and scan.
        scan: shapes as seen from one side, with noise and points of what is around them; rooms as seen from
            one to three places in them.
        overwrite: replace a synthetic data set of another recipe.
        views: photographs with depth of each room.
        size: width and height of them in pixels.

    Returns:
        True if it was made, False if it was there.

    Raises:
        ConfigError: an argument is out of range.
        DataError: ``root`` holds something else, or cannot be written.
        MissingDependencyError: Open3D is not installed.
    """
    from dense3d.datasets.synthetic.generate import made_whole

    if layout not in CLOUD_LAYOUTS:
        raise ConfigError(f"unknown layout {layout!r}{did_you_mean(layout, CLOUD_LAYOUTS)}")
    defaults = DEFAULTS[layout]
    counts = [usual if given is None else int(given) for given, usual in zip((train, val, points), defaults)]
    recipe = CloudRecipe((layout,), *counts, seed, scan)
    if views:
        recipe = ViewedRecipe((layout,), *counts, seed, scan, views=int(views), size=tuple(map(int, size)))
    write = _write_shapes if layout == "shapes" else _write_rooms
    return made_whole(root, recipe, overwrite, lambda folder: write(folder, recipe))


def _rng(recipe: CloudRecipe, split: str, index: int) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng([recipe.seed, zlib.crc32(split.encode()), index])


def _samples(recipe: CloudRecipe) -> Iterable[tuple[str, int]]:
    from dense3d.datasets.synthetic.generate import with_bar

    samples = [(split, index) for split in SPLITS for index in range(getattr(recipe, split))]
    return with_bar(iter(samples), len(samples), progress=True, noun="synthetic clouds, once")


def _write_shapes(folder: Path, recipe: CloudRecipe) -> None:
    import numpy as np

    from dense3d.datasets.synthetic.objects import FAMILIES, PART_NAMES, make_object

    made = {split: [] for split in SPLITS}
    for split, index in _samples(recipe):
        family = FAMILIES[index % len(FAMILIES)]
        made[split].append(make_object(family, _rng(recipe, split, index), recipe.points, recipe.scan))
    for split, clouds in made.items():
        if not clouds:
            continue
        (folder / split).mkdir()
        for name in ("points", "normals", "parts"):
            np.save(folder / split / f"{name}.npy", np.stack([getattr(cloud, name) for cloud in clouds]))
        np.save(folder / split / "labels.npy", np.array([cloud.label for cloud in clouds], dtype=np.int64))
    document = {family: list(PART_NAMES[family]) for family in FAMILIES}
    (folder / "families.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _write_rooms(folder: Path, recipe: CloudRecipe) -> None:
    import numpy as np

    from dense3d.datasets.synthetic.rooms import CLASSES, make_furnished_room

    for split, index in _samples(recipe):
        room, surfaces = make_furnished_room(_rng(recipe, split, index), recipe.points, recipe.scan)
        place = folder / split / f"room_{index:04d}"
        place.mkdir(parents=True)
        if isinstance(recipe, ViewedRecipe):
            _write_views(place / "views", surfaces, recipe, (split, index))
        arrays = dict(coord=room.points, color=room.colors, normal=room.normals)
        arrays |= dict(segment=room.labels.astype(np.int32), instance=room.instances.astype(np.int32))
        arrays["boxes"] = np.concatenate([room.boxes, room.box_labels[:, None]], axis=1)
        for name, values in arrays.items():
            np.save(place / f"{name}.npy", values)
    document = {"classes": list(CLASSES)}
    (folder / "classes.json").write_text(json.dumps(document) + "\n", encoding="utf-8")


def _write_views(folder: Path, surfaces: Surfaces, recipe: ViewedRecipe, sample: tuple[str, int]) -> None:
    import numpy as np

    from dense3d.datasets.synthetic.rooms import view_room
    from dense3d.datasets.synthetic.writers.posed import write_frames

    split, index = sample
    rng = np.random.default_rng([recipe.seed, zlib.crc32(split.encode()), index, 1])
    views = view_room(surfaces, rng, recipe.views, recipe.size)
    write_frames(folder, views, VIEW_NOISE, rng, hold_out=max(2, recipe.views))


def read_document(path: Path) -> dict:
    """``families.json`` or ``classes.json``.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ValueError("no table")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); make the data set again with dense3d make-synthetic"
        ) from None
    return document
