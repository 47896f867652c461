"""Boxes of all scenes in four arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dense3d.errors import DataError, did_you_mean
from dense3d.structures.boxes3d import check_yaw


@dataclass(frozen=True, eq=False)
class SceneBoxes:
    """Boxes of a data set, ground truth or predictions, one row a box.

    Args:
        scenes: ids of all scenes, those without a box among them.
        classes: names; labels are their places.
        scene: (N,) int64, place of each box's scene in ``scenes``.
        boxes: (N, 7) float64: centre, full sizes along and across the heading and upwards in metres, yaw in
            radians, counter-clockwise about z; the world frame of :class:`~dense3d.structures.Boxes3D`.
        labels: (N,) int64.
        scores: (N,) float64; None of ground truth.

    Raises:
        DataError: arrays that do not go together, boxes that are not finite, ground truth with a negative
            size, boxes of no scene, labels without a class, two scenes of one name.

    Example:
        >>> chair = {"boxes": [[0, 0, 0.5, 0.6, 0.6, 1, 0]], "labels": [0]}
        >>> truth = SceneBoxes.of({"room": chair, "hall": {"boxes": [], "labels": []}}, ["chair"])
        >>> len(truth), truth.scenes, truth.scene.tolist()
        (1, ('room', 'hall'), [0])
    """

    scenes: tuple[str, ...]
    classes: tuple[str, ...]
    scene: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "scenes", tuple(map(str, self.scenes)))
        set_field(self, "classes", tuple(map(str, self.classes)))
        set_field(self, "scene", np.asarray(self.scene, dtype=np.int64).reshape(-1))
        set_field(self, "labels", _whole(self.labels))
        boxes = np.asarray(self.boxes, dtype=np.float64)
        set_field(self, "boxes", boxes.reshape(-1, 7) if boxes.size % 7 == 0 and boxes.ndim < 3 else boxes)
        if self.scores is not None:
            set_field(self, "scores", np.asarray(self.scores, dtype=np.float64).reshape(-1))
        self._check()

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def of(cls, scenes: Mapping[str, Mapping[str, Any]], classes: Sequence[str]) -> SceneBoxes:
        """From a table of scenes: ``boxes`` (K, 7), ``labels`` (K,) and perhaps ``scores`` (K,) of each.

        Raises:
            DataError: a scene's arrays do not go together, or only some scenes have scores.
        """
        parts = {name: _of_scene(name, entry) for name, entry in scenes.items()}
        scored = {"scores" in part for part in parts.values() if len(part["boxes"])}
        if len(scored) > 1:
            raise DataError("only some scenes have scores: give them to all predictions, or to none")

        def joined(key: str, empty: np.ndarray) -> np.ndarray:
            return np.concatenate([empty, *(part[key] for part in parts.values() if key in part)])

        counts = [len(part["boxes"]) for part in parts.values()]
        return cls(
            tuple(parts),
            tuple(classes),
            np.repeat(np.arange(len(parts)), counts),
            joined("boxes", np.zeros((0, 7))),
            joined("labels", np.zeros(0, dtype=np.int64)),
            joined("scores", np.zeros(0)) if True in scored or not scored else None,
        )

    def _check(self) -> None:
        count = len(self.boxes)
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 7:
            raise DataError(
                f"boxes are (N, 7): centre x y z, sizes, yaw; not {self.boxes.shape} (6 lack the yaw: "
                "append 0 to axis-aligned boxes)"
            )
        for name in ("scene", "labels", "scores"):
            values = getattr(self, name)
            if values is not None and len(values) != count:
                raise DataError(f"{count} boxes come with {len(values)} {name}")
        if len(set(self.scenes)) < len(self.scenes):
            twice = next(name for name in self.scenes if self.scenes.count(name) > 1)
            raise DataError(f"scene {twice!r} comes twice")
        astray = (self.scene < 0) | (self.scene >= len(self.scenes))
        if astray.any():
            raise DataError(
                f"a box is of scene {self.scene[astray][0]}, but there are {len(self.scenes)} scenes"
            )
        broken = ~np.isfinite(self.boxes).all(axis=1)
        if self.scores is not None:
            broken |= ~np.isfinite(self.scores)
        negative = (self.boxes[:, 3:6] < 0).any(axis=1)
        unknown = (self.labels < 0) | (self.labels >= len(self.classes))
        if self.scores is not None:  # a detector may say so; see average_precision.match
            negative[:] = False
        for rows, fault in ((broken, "is not finite"), (negative, "has a negative size")):
            if rows.any():
                raise DataError(f"{self._place(rows)} {fault}: {self.boxes[rows][0].round(3).tolist()}")
        check_yaw(self.boxes, "the boxes")
        if unknown.any():
            raise DataError(
                f"{self._place(unknown)} has the label {self.labels[unknown][0]}, but there are "
                f"{len(self.classes)} classes"
            )

    def _place(self, rows: np.ndarray) -> str:
        row = int(np.flatnonzero(rows)[0])
        return f"scene {self.scenes[self.scene[row]]}: a box"


def in_scenes(predictions: SceneBoxes, scenes: tuple[str, ...]) -> tuple[SceneBoxes, list[str]]:
    """The predictions with scenes as the ground truth has them, and a sentence on those without a prediction.

    Raises:
        DataError: there are predictions of another scene.
    """
    place = {name: index for index, name in enumerate(scenes)}
    unknown = [name for name in predictions.scenes if name not in place]
    if unknown:
        raise DataError(
            f"there are predictions of scene {unknown[0]!r}, which the ground truth has not"
            f"{did_you_mean(unknown[0], scenes)} ({len(unknown)} such scenes)"
        )
    absent = len(scenes) - len(predictions.scenes)
    notices = (
        [f"{absent} of {len(scenes)} scenes have no predictions: all of theirs are missed"] if absent else []
    )
    table = np.array([place[name] for name in predictions.scenes], dtype=np.int64)
    scene = table[predictions.scene] if len(table) else predictions.scene
    return replace(predictions, scenes=scenes, scene=scene), notices


def _whole(labels: Any) -> np.ndarray:
    """Labels as (N,) int64; numbers such as 2.0 are whole."""
    values = np.asarray(labels).reshape(-1)
    with np.errstate(invalid="ignore"):  # of NaN
        whole = values.astype(np.int64)
    if values.dtype.kind == "f" and (whole != values).any():
        raise DataError(f"a box has the label {values[whole != values][0]:g}, which is no whole number")
    return whole


def _of_scene(name: str, entry: Mapping[str, Any]) -> dict[str, np.ndarray]:
    try:
        boxes = np.asarray(entry["boxes"], dtype=np.float64)
        part = {"boxes": boxes.reshape(-1, 7) if boxes.size == 0 else boxes}
        part["labels"] = _whole(entry["labels"])
        if entry.get("scores") is not None:
            part["scores"] = np.asarray(entry["scores"], dtype=np.float64).reshape(-1)
    except DataError as error:
        raise DataError(f"scene {name}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"scene {name}: its boxes cannot be read ({error!r})") from None
    if part["boxes"].ndim != 2 or part["boxes"].shape[1] != 7:
        raise DataError(f"scene {name}: boxes are (K, 7): centre, sizes, yaw; not {part['boxes'].shape}")
    lengths = {key: len(values) for key, values in part.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"scene {name}: " + ", ".join(f"{n} {key}" for key, n in lengths.items()))
    return part
