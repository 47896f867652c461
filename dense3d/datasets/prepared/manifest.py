"""What a prepared folder says of itself: ``prepared.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dense3d.datasets.scan.schema import shortened
from dense3d.errors import DataError, did_you_mean
from dense3d.files import atomic_write

FORMAT = 1  # of the files; another one is refused
NAME = "prepared.json"
REDO = "prepare it anew: dense3d prepare {0} ROOT OUT"


@dataclass(frozen=True)
class Manifest:
    """What the scenes of a folder are, and how they were made.

    Args:
        dataset: ``"scannet"`` or ``"sunrgbd"``.
        classes: of things, in the order of the labels.
        axis_aligned: whether scans were turned so that walls run along x and y, and boxes have no yaw; False
            of boxes that are turned, or of scans as they were taken.
        labels: which annotation, such as ``"v1"`` of SUN RGB-D.
        max_points: of each scene; 0 for all.
        splits: ids of the scenes of each split.
        left_out: a sentence for each scene, and for each box of the others, that was left out.
        complete: all scenes are there.
        format: of the files.
        root: the folder of the data set; empty in files of older versions.
    """

    dataset: str
    classes: tuple[str, ...]
    axis_aligned: bool
    labels: str
    max_points: int
    splits: dict[str, tuple[str, ...]]
    left_out: tuple[str, ...] = ()
    complete: bool = False
    format: int = FORMAT
    root: str = ""

    def write(self, folder: Path) -> None:
        """Write it into a folder, whole or not at all."""
        with atomic_write(folder / NAME, "w") as file:
            json.dump(asdict(self), file, indent=1)

    @property
    def settings(self) -> dict[str, Any]:
        """What must be equal for a preparation to go on in the same folder."""
        names = ("format", "dataset", "classes", "axis_aligned", "labels", "max_points")
        return {name: getattr(self, name) for name in names}


def read_manifest(folder: Path) -> Manifest:
    """What a prepared folder says of itself.

    Raises:
        DataError: it says nothing, or was made in another format.
    """
    path = folder / NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ValueError("no table")
    except FileNotFoundError:
        raise DataError(
            f"{folder} has no {NAME}: it was not made by dense3d prepare; {REDO.format('scannet|sunrgbd')}"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); {REDO.format('scannet|sunrgbd')}") from None
    if document.get("format") != FORMAT:
        dataset = document.get("dataset")
        dataset = dataset if dataset in ("scannet", "sunrgbd") else "scannet|sunrgbd"
        raise DataError(
            f"{folder} was prepared in format {shortened(document.get('format'))}, but this version of "
            f"dense3d reads {FORMAT}; {REDO.format(dataset)}"
        )
    try:
        known = {field.name for field in fields(Manifest)}
        values = {name: value for name, value in document.items() if name in known}
        values["classes"], values["left_out"] = tuple(values["classes"]), tuple(values.get("left_out", ()))
        values["splits"] = {split: tuple(map(str, ids)) for split, ids in values["splits"].items()}
        return Manifest(**values)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error!r}); {REDO.format('scannet|sunrgbd')}") from None


def require_complete(folder: Path, split: str) -> Manifest:
    """The manifest of a folder that is prepared to the end and has the split.

    Raises:
        DataError: it is not, or has not.
    """
    manifest = read_manifest(folder)
    if not manifest.complete:
        raise DataError(
            f"{folder} is not prepared to the end; the same dense3d prepare {manifest.dataset} goes on there"
        )
    if split not in manifest.splits:
        raise DataError(f"{folder} has no split {split!r}{did_you_mean(split, manifest.splits)}")
    return manifest
