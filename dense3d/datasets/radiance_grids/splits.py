"""Split files of radiance grids: ``*_split.npz`` with the scenes of each split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.files import atomic_write
from dense3d.structures.cloud_files.arrays import DAMAGE

SPLITS = ("train", "val", "test")
LAYOUT = "docs/nerf-mae.md"


def find_split_file(root: Path) -> Path:
    """The one split file of a data root.

    Raises:
        DataError: there is none, or more than one.
    """
    found = sorted(root.glob("*_split.npz"))
    if len(found) == 1:
        return found[0]
    what = f"holds {', '.join(path.name for path in found)}" if found else "holds no *_split.npz"
    raise DataError(f"{root} {what}: say which file tells the splits with split_file=NAME; see {LAYOUT}")


def read_split(path: Path, split: str) -> list[str]:
    """Scenes of a split, ``"all"`` for those of all.

    Raises:
        ConfigError: there is no such split in the file.
        DataError: the file cannot be read or lists nothing.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            lists = {name: [str(scene) for scene in file[name]] for name in file.files}
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; the layout is described in {LAYOUT}") from None
    except (*DAMAGE, AttributeError) as error:
        raise DataError(f"{path} cannot be read as a split file ({error}); copy it again") from None
    if split == "all":
        scenes = [scene for names in lists.values() for scene in names]
    elif f"{split}_scenes" in lists:
        scenes = lists[f"{split}_scenes"]
    else:
        known = [name.removesuffix("_scenes") for name in lists]
        raise ConfigError(f"{path} has no split {split!r}{did_you_mean(split, known)} (it has {known})")
    if not scenes:
        raise DataError(f"{path} lists no scene of the split {split!r}")
    return list(dict.fromkeys(scenes))


def write_split(path: Path, scenes: Mapping[str, Iterable[str]]) -> None:
    """Write the scenes of each split, in the released layout."""
    with atomic_write(path) as file:
        np.savez(file, **{f"{split}_scenes": np.array(list(names), str) for split, names in scenes.items()})
