"""The data set's category ids for checkpoints that do not hold them: from the config's annotation files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dense3d.datasets.scan.coco_file import read_json
from dense3d.errors import DataError


def category_ids_of(cfg: Config, classes: Sequence[str]) -> list[int] | None:
    """Ids of the classes by their names in the first annotation file that is there and knows them all.

    Args:
        cfg: the files of its test, validation and training data are looked at.
        classes: names in the order of the labels.

    Returns:
        The id of each class, or None where no file tells them.
    """
    for path in dict.fromkeys(_annotation_files(cfg)):
        try:
            ids = _ids_by_name(read_json(path))
        except DataError:
            continue
        if classes and all(name in ids for name in classes):
            return [ids[name] for name in classes]
    return None


def _ids_by_name(document: Any) -> dict[str, int]:
    """Category ids of a file in COCO's format; names that occur twice are not among them."""
    categories = document.get("categories") if isinstance(document, dict) else None
    ids: dict[str, int] = {}
    twice: set[str] = set()
    for category in categories if isinstance(categories, list) else ():
        name, number = (
            (category.get(k) for k in ("name", "id")) if isinstance(category, dict) else (None, None)
        )
        if isinstance(name, str) and isinstance(number, int):
            twice |= {name} & ids.keys()
            ids[name] = number
    return {name: number for name, number in ids.items() if name not in twice}


def _annotation_files(cfg: Config) -> Iterator[Path]:
    for split in ("test", "val", "train"):
        evaluators = cfg.get(f"{split}_evaluator") or []
        for evaluator in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
            yield from _json_file("", evaluator.get("ann_file"))
        yield from _files_of_dataset((cfg.get(f"{split}_dataloader") or {}).get("dataset"))


def _files_of_dataset(dataset: Any) -> Iterator[Path]:
    if not isinstance(dataset, dict):
        return
    yield from _json_file(dataset.get("data_root"), dataset.get("ann_file"))
    for inner in [dataset.get("dataset"), *(dataset.get("datasets") or ())]:
        yield from _files_of_dataset(inner)


def _json_file(root: Any, name: Any) -> Iterator[Path]:
    if isinstance(name, str) and name.endswith(".json"):
        path = os.path.join(root or "", name)  # noqa: PTH118 - as mmengine joins them
        if os.path.isfile(path):  # noqa: PTH113
            yield Path(path)
