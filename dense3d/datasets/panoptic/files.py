"""COCO panoptic JSON files: which segments each png has, and of what categories."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dense3d.datasets.panoptic.schema import (
    GROUND_TRUTH,
    PREDICTIONS,
    check_document,
    refuse_twins,
    segments_fault,
)
from dense3d.datasets.scan.coco_file import describe_absent, read_json
from dense3d.errors import DataError, did_you_mean
from dense3d.files import atomic_write, is_folder


@dataclass(frozen=True, eq=False)
class PanopticFile:
    """A checked panoptic JSON file.

    Args:
        path: where it was read.
        document: all of its content, as it stands there.
    """

    path: str
    document: dict[str, Any]

    @cached_property
    def annotations(self) -> dict[Hashable, dict[str, Any]]:
        """Annotations (``file_name``, ``segments_info``) by image id, in the file's order."""
        return {a["image_id"]: a for a in self.document["annotations"]}

    @cached_property
    def images(self) -> dict[Hashable, dict[str, Any]]:
        """Image entries by id, in the file's order."""
        return {image["id"]: image for image in self.document["images"]}

    @cached_property
    def categories(self) -> dict[int, dict[str, Any]]:
        """Categories by id, in the file's order."""
        return {category["id"]: category for category in self.document["categories"]}

    def where(self, image_id: Hashable) -> str:
        """The annotation of an image as errors name it."""
        file_name = self.annotations[image_id]["file_name"]
        return f"{self.path}: image {_shown(image_id)} ({_shown(file_name)})"


def read_panoptic(path: str | Path) -> PanopticFile:
    """Read the annotations of a panoptic data set.

    Raises:
        DataError: the file is missing, no JSON or of another format; a category without ``isthing``; an
            image or segment listed twice; a segment whose id or category is impossible. The message names
            file, image and segment.
    """
    document = check_document(read_json(path), str(path), GROUND_TRUTH)
    panoptic = PanopticFile(str(path), document)
    for name in ("images", "categories"):
        refuse_twins(str(path), document[name], "id", name)
    _check_annotations(panoptic, panoptic.categories)
    stray = next((image for image in panoptic.annotations if image not in panoptic.images), None)
    if stray is not None:
        raise DataError(f"{panoptic.where(stray)}: no entry of 'images' has this id; add it")
    return panoptic


def read_predictions(path: str | Path, categories: dict[int, Any] | None = None) -> PanopticFile:
    """Read panoptic predictions: a JSON object of which only the list ``annotations`` is needed.

    Args:
        path: the file.
        categories: ids that segments may have.

    Raises:
        DataError: as :func:`read_panoptic`.
    """
    panoptic = PanopticFile(str(path), check_document(read_json(path), str(path), PREDICTIONS))
    _check_annotations(panoptic, categories)
    return panoptic


def write_panoptic(
    path: str | Path,
    annotations: list[dict[str, Any]],
    images: list[dict[str, Any]] = (),
    categories: list[dict[str, Any]] = (),
    **others: Any,
) -> None:
    """Write a panoptic JSON file, whole or not at all.

    Args:
        path: the file.
        annotations: one an image: ``image_id``, ``file_name`` of the png, and ``segments_info``, a list of
            ``id``, ``category_id`` and, for data sets, ``area``, ``bbox`` (x, y, width, height in pixels)
            and ``iscrowd``.
        images, categories: of a data set; predictions do without.
        **others: further entries, such as ``info`` and ``licenses``.
    """
    document = {**others, "images": list(images), "annotations": annotations, "categories": list(categories)}
    document = {key: value for key, value in document.items() if value or key == "annotations"}
    with atomic_write(path, "w") as file:
        json.dump(document, file, separators=(",", ":"))


def png_folder(json_file: str | Path, folder: str | Path | None = None) -> Path:
    """Folder of the png files of a panoptic JSON file, by default its name without ``.json``.

    Raises:
        DataError: it does not exist.
    """
    path = Path(folder) if folder is not None else Path(json_file).with_suffix("")
    if not is_folder(path):
        raise DataError(f"{path}: {describe_absent(path)}; this folder holds the png files of {json_file}")
    return path


def labels_of(
    panoptic: PanopticFile, classes: Sequence[str], aliases: dict[str, str] | None = None
) -> dict[int, int]:
    """Label, the position in ``classes``, of each category id that is among them.

    Args:
        panoptic: a data set's file.
        classes: names; blanks around the names in the file do not count.
        aliases: category name in the file -> class name.

    Raises:
        DataError: a class is no category of the file.
    """
    names = {number: category["name"].strip() for number, category in panoptic.categories.items()}
    names = {number: (aliases or {}).get(name, name) for number, name in names.items()}
    absent = [name for name in classes if name not in names.values()]
    if absent:
        hint = did_you_mean(absent[0], names.values()) if len(absent) < len(classes) else ""
        raise DataError(
            f"{panoptic.path}: {len(absent)} of the {len(classes)} classes of the config are no category of "
            f"the file, which has {len(names)}, first {absent[0]!r}{hint}; "
            "set metainfo=dict(classes=...) of the dataset, things first"
        )
    position = {name: label for label, name in enumerate(classes)}
    return {number: position[name] for number, name in names.items() if name in position}


def _check_annotations(panoptic: PanopticFile, categories: dict[int, Any] | None) -> None:
    refuse_twins(panoptic.path, panoptic.document["annotations"], "image_id", "annotations")
    for image_id, annotation in panoptic.annotations.items():
        fault = segments_fault(annotation["segments_info"], categories)
        if fault:
            raise DataError(f"{panoptic.where(image_id)}: {fault}")


def _shown(value: Any) -> str:
    text = str(value)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= 100 else f"{text[:100]}..."
