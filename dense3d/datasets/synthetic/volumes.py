"""Labelled volumes on disk: one folder a patient with the scan, its segmentation and the names of labels."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dense3d.datasets.synthetic.generate import made_whole
from dense3d.errors import ConfigError
from dense3d.optional import require

if TYPE_CHECKING:
    import numpy as np

VOLUMES = "volumes"  # the layout's name on the command line
# Axis directions of the files: scanners and tools differ, and readers have to cope.
ORIENTATIONS = ("RAS", "LPS", "LAS", "PIR", "ASL")


@dataclass(frozen=True)
class VolumeRecipe:
    """Everything that the bytes of the files depend on."""

    count: int
    size: tuple[int, int, int]
    seed: int
    layouts: tuple[str, ...] = (VOLUMES,)
    phantom_version: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"train={self.count}: at least one volume is made")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed}: the seed must not be negative")
        if len(self.size) != 3 or min(self.size) < 16 or max(self.size) > 1024:
            size = "x".join(map(str, self.size))
            raise ConfigError(
                f"size={size}: volumes have three sides of 16 to 1024 voxels, for instance 128x112x96"
            )


def make_volumes(
    root: str | os.PathLike,
    count: int = 4,
    size: tuple[int, int, int] = (128, 112, 96),
    seed: int = 0,
    overwrite: bool = False,
) -> bool:
    """Write phantoms as CT and MR in turn, unless they are there already.

    Args:
        root: folder to create, with ``body_000/ct.nii.gz`` (or ``mr.nii.gz``), ``body_000/seg.nii.gz`` and
            ``body_000/labels.json`` and so on. Files have different axis orders, which their affines state.
        count: number of volumes.
        size: voxels to the right, the front and the head.
        seed: of the first; the next ones count on.
        overwrite: replace a data set of another recipe.

    Returns:
        True if they were made, False if they were there.

    Raises:
        ConfigError: an argument is out of range.
        DataError: ``root`` holds something else, or cannot be written.
        MissingDependencyError: nibabel is not installed.
    """
    recipe = VolumeRecipe(count, tuple(int(side) for side in size), seed)
    require("nibabel", "writing volumes")
    return made_whole(root, recipe, overwrite, lambda folder: _write(folder, recipe))


def _write(folder: Path, recipe: VolumeRecipe) -> None:
    for index in range(recipe.count):
        write_body(folder / f"body_{index:03d}", recipe.size, recipe.seed + index, ("CT", "MR")[index % 2])


def write_body(folder: Path, size: tuple[int, int, int], seed: int, modality: str) -> Path:
    """One patient.

    Args:
        folder: to create.
        size: voxels to the right, the front and the head.
        seed: of the patient.
        modality: "CT" or "MR".

    Returns:
        The scan.
    """
    from dense3d.datasets.synthetic.phantom import make_phantom
    from dense3d.datasets.volumes import write_segmentation
    from dense3d.structures import Volume

    nibabel = require("nibabel", "writing volumes")
    volume, truth = make_phantom(size, seed, modality)
    stored, affine = _reoriented(volume.values, volume.affine, ORIENTATIONS[seed % len(ORIENTATIONS)])
    folder.mkdir(parents=True)
    path = folder / f"{modality.lower()}.nii.gz"
    image = nibabel.Nifti1Image(stored, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    path.write_bytes(_compressed(image.to_bytes()))
    own = Volume(stored, affine).canonical()
    write_segmentation(folder / "seg.nii.gz", truth.labels, own, truth.names, truth.colors)
    names = {str(label): name for label, name in truth.names.items()}
    (folder / "labels.json").write_text(json.dumps(names, indent=1) + "\n", encoding="utf-8")
    return path


def _reoriented(values: np.ndarray, affine: np.ndarray, codes: str) -> tuple[np.ndarray, np.ndarray]:
    """The samples of a canonical volume with axes that lead where the codes say, and their affine."""
    from dense3d.structures.volume_axes import CODES, AxisOrder

    axes = tuple(next(axis for axis in range(3) if code in CODES[axis]) for code in codes)
    flips = tuple(code == CODES[axis][0] for axis, code in zip(axes, codes))
    order = AxisOrder(axes, flips)
    return order.apply(values), affine @ order.index_affine(values.shape)


def _compressed(content: bytes) -> bytes:
    import gzip

    return gzip.compress(content, 6, mtime=0)
