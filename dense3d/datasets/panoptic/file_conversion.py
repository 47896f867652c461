"""Whole data sets between COCO's panoptic format, COCO instances and maps of classes.

One image at a time is in memory beside the JSON file that is read. JSON files are written last, whole or not
at all; png files before them, each whole or not at all.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from dense3d.datasets.panoptic.agreement import check_segments
from dense3d.datasets.panoptic.class_values import ClassValues, Values, read_class_map, write_class_map
from dense3d.datasets.panoptic.coco_instances import decode_mask, instances_head, things_of
from dense3d.datasets.panoptic.conversion import Instance, Overlap, panoptic_of, semantic_map_of
from dense3d.datasets.panoptic.files import png_folder, read_panoptic
from dense3d.datasets.panoptic.id_map import read_id_map, write_id_map
from dense3d.datasets.panoptic.schema import Category, check_document, refuse_twins
from dense3d.datasets.panoptic.targets import is_class_map, is_numbered_map, map_targets
from dense3d.datasets.scan.coco_file import open_coco, raise_first, read_json
from dense3d.errors import ConfigError, DataError
from dense3d.files import atomic_write, inside

OnImage = Callable[[int, int], None]


def panoptic_to_instances(
    panoptic_json: str | Path,
    instances_json: str | Path,
    png_dir: str | Path | None = None,
    strict: bool = True,
    on_image: OnImage | None = None,
) -> int:
    """Write the things of a panoptic data set as COCO instances, with run lengths as masks.

    Args:
        panoptic_json: annotations of the data set.
        instances_json: the file to write.
        png_dir: folder of the png files; by default the name of ``panoptic_json`` without ``.json``.
        strict: see :func:`~dense3d.datasets.panoptic.to_coco_instances`.
        on_image: called with the number of images that are done, and of all.

    Returns:
        How many instances were written.

    Raises:
        DataError: a file is missing or broken, png and ``segments_info`` disagree, or the result would
            replace what is converted.
    """
    _refuse_same(panoptic_json, instances_json)
    panoptic, folder = read_panoptic(panoptic_json), png_folder(panoptic_json, png_dir)
    images = _counted(list(panoptic.annotations), on_image)
    entries = (entry for image in images for entry in things_of(panoptic, image, folder, strict))
    numbered = ({"id": number, **entry} for number, entry in enumerate(entries, start=1))
    return _write_annotations(instances_json, instances_head(panoptic), numbered)


def panoptic_to_semantic(
    panoptic_json: str | Path,
    semantic_dir: str | Path,
    png_dir: str | Path | None = None,
    values: Values = "categories",
    strict: bool = True,
    on_image: OnImage | None = None,
) -> int:
    """Write the classes of a panoptic data set as one 8-bit png an image, of the same name.

    Args:
        panoptic_json, png_dir, strict, on_image: as for :func:`panoptic_to_instances`.
        semantic_dir: the folder to write.
        values: what the numbers mean, see :class:`~dense3d.datasets.panoptic.class_values.ClassValues`.

    Returns:
        How many maps were written.

    Raises:
        DataError: as :func:`panoptic_to_instances`; the numbers do not fit into 8 bits; or a file name leads
            out of the folder or to a file that is no such map, see
            :func:`~dense3d.datasets.panoptic.targets.map_targets`.
    """
    panoptic, folder = read_panoptic(panoptic_json), png_folder(panoptic_json, png_dir)
    _refuse_same(folder, semantic_dir)
    numbers = ClassValues.of(panoptic.document["categories"], values, panoptic_json)
    annotations = panoptic.annotations
    targets = map_targets(
        [(panoptic.where(image), annotation["file_name"]) for image, annotation in annotations.items()],
        semantic_dir,
        is_class_map,
        [folder / annotation["file_name"] for annotation in annotations.values()],
    )
    for image, target in _counted(list(zip(annotations, targets)), on_image):
        annotation = annotations[image]
        png, segments = folder / annotation["file_name"], annotation["segments_info"]
        ids = read_id_map(png)
        if strict:
            check_segments(ids, segments, panoptic.where(image), png)
        semantic = semantic_map_of(ids, segments, numbers.of_category, numbers.void)
        write_class_map(target, semantic)
    return len(panoptic.annotations)


def instances_to_panoptic(
    instances_json: str | Path,
    panoptic_json: str | Path,
    categories: list[dict[str, Any]],
    semantic_dir: str | Path | None = None,
    png_dir: str | Path | None = None,
    values: Values = "categories",
    overlap: Overlap = "refuse",
    on_image: OnImage | None = None,
) -> tuple[int, int]:
    """Write COCO instances, and maps of classes for the stuff, as a panoptic data set.

    Instances lie on top. Numbers of things in the maps become void where no instance lies.

    Args:
        instances_json: annotations with polygons or run lengths; of stuff too, if they are to be segments.
        panoptic_json: the file to write.
        categories: things and stuff with ``id``, ``name`` and ``isthing``, see :func:`read_categories`.
        semantic_dir: maps of classes, one ``<image without its suffix>.png`` for each image; without it there
            are the annotated segments only.
        png_dir: folder to write the png files to; by default the name of ``panoptic_json`` without ``.json``.
        values: what the numbers in the maps mean, see
            :class:`~dense3d.datasets.panoptic.class_values.ClassValues`.
        overlap: what happens to instances that share pixels, see
            :func:`~dense3d.datasets.panoptic.panoptic_of`.
        on_image: as for :func:`panoptic_to_instances`.

    Returns:
        How many segments were written, and how many instances are left out because others hide them or they
        have no pixel.

    Raises:
        DataError: a file is missing or broken; an instance is of no image, no category or has no mask; with
            ``overlap="refuse"``, instances share pixels or have none; a file name leads out of the folder or
            to a file that is no such map.
    """
    _refuse_same(instances_json, panoptic_json)
    if overlap not in get_args(Overlap):
        raise ConfigError(f"overlap={overlap!r} is none of {', '.join(map(repr, get_args(Overlap)))}")
    opened = open_coco(instances_json)
    document = opened.document
    raise_first([fault for fault in opened.findings.faults if fault.rule != "unknown-category"])
    numbers = ClassValues.of(categories, values, "categories") if semantic_dir is not None else None
    grouped = _grouped(document, {category["id"] for category in categories}, instances_json)
    folder = Path(png_dir) if png_dir is not None else Path(panoptic_json).with_suffix("")
    if folder == Path(panoptic_json):
        raise DataError(
            f"{panoptic_json}: name the file with .json: the folder without it gets the png files"
        )
    if semantic_dir is not None:
        _refuse_same(semantic_dir, folder)
    names = [_map_name(image, instances_json) for image in document["images"]]
    maker = _PanopticMaker(instances_json, folder, categories, semantic_dir, numbers, overlap)
    map_targets(names, folder, is_numbered_map)
    jobs = list(zip(document["images"], (name for _, name in names)))
    entries = (maker.entry(image, name, grouped[image["id"]]) for image, name in _counted(jobs, on_image))
    head = {key: document[key] for key in ("info", "licenses", "images") if key in document}
    _write_annotations(panoptic_json, {**head, "categories": categories}, entries)
    return maker.segments, maker.left_out


@dataclass
class _PanopticMaker:
    """Makes the map and the annotation of one image after another, and counts."""

    source: str | Path
    folder: Path
    categories: list[dict[str, Any]]
    semantic_dir: str | Path | None
    numbers: ClassValues | None
    overlap: Overlap
    segments: int = 0
    left_out: int = 0

    def entry(self, image: dict[str, Any], name: str, annotations: list[dict[str, Any]]) -> dict[str, Any]:
        size, where = (image["height"], image["width"]), f"{self.source}: image {image['id']}"
        instances = [_instance(annotation, size, where) for annotation in annotations]
        stuff, semantic = {}, np.zeros(size, dtype=np.uint8)
        if self.numbers is not None:
            semantic = read_class_map(Path(self.semantic_dir) / name, self.numbers, size)
            of_category = self.numbers.of_category
            stuff = {of_category[c["id"]]: c["id"] for c in self.categories if not c["isthing"]}
        ids, segments = panoptic_of(instances, semantic, stuff, where, self.overlap)
        write_id_map(self.folder / name, ids)
        self.segments += len(segments)
        self.left_out += len(instances) - sum(segment["id"] <= len(instances) for segment in segments)
        return {"image_id": image["id"], "file_name": name, "segments_info": segments}


def _map_name(image: dict[str, Any], source: str | Path) -> tuple[str, str]:
    """The image as errors name it, and its map's file: the image's with the suffix ``.png``."""
    where, name = f"{source}: image {image['id']}", image["file_name"]
    inside(".", name, where, "png files are written by it: make it relative to the folder of images")
    return where, Path(name).with_suffix(".png").as_posix()


def read_categories(path: str | Path) -> list[dict[str, Any]]:
    """Categories of a JSON file: a list as panopticapi's *panoptic_coco_categories.json*, or a panoptic file.

    Raises:
        DataError: the file is missing or broken, or a category lacks ``id``, ``name`` or ``isthing``.
    """
    document = read_json(path)
    categories = document.get("categories") if isinstance(document, dict) else document
    if not isinstance(categories, list) or not categories:
        raise DataError(f"{path}: no list of categories; give one with 'id', 'name' and 'isthing' of each")
    for index, category in enumerate(categories):
        absent = [k for k in ("id", "name", "isthing") if not isinstance(category, dict) or k not in category]
        if absent:
            raise DataError(
                f"{path}: category {index} has no {absent[0]!r}; isthing is 1 for things, 0 for stuff"
            )
    check_document({"categories": categories}, str(path), {"categories": Category})
    refuse_twins(str(path), categories, "id", "categories")
    return categories


def _grouped(
    document: dict[str, Any], categories: set[int], where: str | Path
) -> dict[Any, list[dict[str, Any]]]:
    """Annotations by image, in the file's order."""
    images = {image["id"] for image in document["images"]}
    grouped = defaultdict(list)
    for annotation in document["annotations"]:
        name = f"{where}: annotation {annotation['id']}"
        if annotation["image_id"] not in images:
            raise DataError(f"{name}: no entry of 'images' has the id {annotation['image_id']!r}; add it")
        if annotation["category_id"] not in categories:
            raise DataError(f"{name}: the list of categories has no id {annotation['category_id']!r}; add it")
        grouped[annotation["image_id"]].append(annotation)
    return grouped


def _instance(annotation: dict[str, Any], size: tuple[int, int], where: str) -> Instance:
    try:
        mask = decode_mask(annotation.get("segmentation"), size)
    except DataError as error:
        raise DataError(f"{where}: annotation {annotation['id']}: {error}") from None
    return Instance(mask, annotation["category_id"], bool(annotation.get("iscrowd", 0)))


def _write_annotations(path: str | Path, head: dict[str, Any], annotations: Iterable[dict[str, Any]]) -> int:
    """Write a document whose annotations are never all in memory; returns how many there were."""
    count = 0
    with atomic_write(path, "w") as file:
        file.write(json.dumps(head, separators=(",", ":"))[:-1] + ',"annotations":[')
        for count, annotation in enumerate(annotations, start=1):
            file.write(("," if count > 1 else "") + json.dumps(annotation, separators=(",", ":")))
        file.write("]}")
    return count


def _counted(items: list, on_image: OnImage | None) -> Iterator:
    for done, item in enumerate(items, start=1):
        yield item
        if on_image:
            on_image(done, len(items))


def _refuse_same(source: str | Path, target: str | Path) -> None:
    if Path(source).resolve() == Path(target).resolve():
        raise DataError(f"{target}: the result would replace what is converted; choose another name")
