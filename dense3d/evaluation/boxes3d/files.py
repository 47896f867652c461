"""Files of boxes: ``.json`` for people, ``.npz`` for many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.evaluation.boxes3d.scene_boxes import SceneBoxes
from dense3d.files import atomic_write
from dense3d.structures.cloud_files.arrays import DAMAGE

SUFFIXES = (".json", ".npz")
ARRAYS = ("scenes", "classes", "scene", "boxes", "labels")
FORM = (
    '{"classes": ["chair"], "scenes": {"room": {"boxes": [[x, y, z, dx, dy, dz, yaw]], "labels": ["chair"], '
    '"scores": [0.9]}}}'
)


def read_scene_boxes(path: str | Path) -> SceneBoxes:
    """Boxes of a data set, predictions with scores or ground truth without.

    ``.json``: ``{"classes": [...], "scenes": {id: {"boxes": (K, 7), "labels": (K,), "scores": (K,)}}}``,
    where labels are names or numbers. ``.npz``: the arrays of :class:`SceneBoxes` by their names.

    Raises:
        ConfigError: another suffix.
        DataError: the file is missing, damaged or holds something else.
    """
    path = require_boxes_name(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in ARRAYS}
                scores = archive["scores"] if "scores" in archive.files else None
            return SceneBoxes(**arrays, scores=scores)
        document = json.loads(path.read_text(encoding="utf-8"))
        classes = [str(name) for name in document["classes"]]
        scenes = {str(name): _numbered(entry, classes) for name, entry in document["scenes"].items()}
        return SceneBoxes.of(scenes, classes)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (*DAMAGE, KeyError, TypeError, AttributeError, UnicodeDecodeError, RecursionError) as error:
        form = f"an archive of {', '.join(ARRAYS)} and perhaps scores" if path.suffix == ".npz" else FORM
        raise DataError(f"{path} cannot be read as boxes ({_line(error)}); it is to hold {form}") from None


def write_scene_boxes(boxes: SceneBoxes, path: str | Path) -> Path:
    """Write boxes as :func:`read_scene_boxes` reads them, whole or not at all.

    Raises:
        ConfigError: another suffix.
    """
    path = require_boxes_name(path)
    if path.suffix == ".json":
        with atomic_write(path, "w") as file:
            json.dump(_document(boxes), file)
        return path
    arrays: dict[str, Any] = {name: np.asarray(getattr(boxes, name)) for name in ARRAYS}
    if boxes.scores is not None:
        arrays["scores"] = boxes.scores.astype(np.float32)
    arrays["boxes"] = boxes.boxes.astype(np.float32)
    for name in ("scenes", "classes"):
        arrays[name] = arrays[name].astype(np.str_)
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)
    return path


def require_boxes_name(path: str | Path) -> Path:
    """The path, if boxes are kept under its suffix.

    Raises:
        ConfigError: they are not.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path}: boxes are kept as {' or '.join(SUFFIXES)}")
    return path


def _document(boxes: SceneBoxes) -> dict[str, Any]:
    scenes = {}
    for index, name in enumerate(boxes.scenes):
        rows = boxes.scene == index
        entry = {"boxes": boxes.boxes[rows].round(6).tolist()}
        entry["labels"] = [boxes.classes[label] for label in boxes.labels[rows]]
        if boxes.scores is not None:
            entry["scores"] = boxes.scores[rows].tolist()
        scenes[name] = entry
    return {"classes": list(boxes.classes), "scenes": scenes}


def _numbered(entry: dict[str, Any], classes: list[str]) -> dict[str, Any]:
    """The entry of a scene with numbers in place of names."""
    labels = []
    for label in entry["labels"]:
        if isinstance(label, str) and label not in classes:
            raise DataError(f"class {label!r} is not one of its classes{did_you_mean(label, classes)}")
        labels.append(classes.index(label) if isinstance(label, str) else label)
    return {**entry, "labels": labels}


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
