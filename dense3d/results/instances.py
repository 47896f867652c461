"""Detected objects: boxes with scores and classes, and masks where the model gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dense3d.errors import DataError
from dense3d.results import labelme
from dense3d.results.part import Entries, ModelInfo, Part, counted

Truth = tuple[np.ndarray, np.ndarray, np.ndarray | None]


@dataclass(frozen=True, eq=False)
class Instances(Part):
    """Objects in the order of the model, usually by falling score.

    Args:
        boxes: ``(N, 4)`` float32, x1, y1, x2, y2 in pixels of the image.
        scores: ``(N,)`` float32, 0 .. 1.
        labels: ``(N,)`` int64, positions in the list of classes.
        names: class names of the labels.
        masks: ``(N, H, W)`` bool at the size of the image, or None.
        info: of the model.
        truth: labelled objects (boxes, labels, masks or None), where they are known.
        dropped: how many were left out since box or score is no finite number.
    """

    fields: ClassVar = ("boxes", "scores", "labels", "names", "masks")

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    masks: np.ndarray | None
    info: ModelInfo
    truth: Truth | None = None
    dropped: int = 0

    @classmethod
    def read(cls, sample: Any, info: ModelInfo) -> Instances | None:
        """Objects of mmdet's ``pred_instances`` whose score reaches the threshold."""
        found = sample.get("pred_instances")
        if found is None:
            return None
        finite = (found.scores.isfinite() & found.bboxes.isfinite().all(dim=-1)).cpu()
        found = found[finite & (found.scores.cpu() >= info.threshold)].cpu()
        labels = found.labels.numpy()
        return cls(
            boxes=found.bboxes.numpy(),
            scores=found.scores.numpy(),
            labels=labels,
            names=tuple(map(info.name, labels.tolist())),
            masks=found.masks.numpy().astype(bool, copy=False) if "masks" in found else None,
            info=info,
            truth=_truth(sample.get("gt_instances")),
            dropped=int((~finite).sum()),
        )

    def __str__(self) -> str:
        """Their number by class."""
        kind = "boxes" if self.masks is None else "boxes with masks"
        return f"{len(self.boxes)} {kind}" + (f" ({counted(self.names)})" if self.names else "")

    def draw(self, image: np.ndarray) -> np.ndarray:
        """Boxes, masks and names over the image, those of the ground truth on the left where there is one."""
        from dense3d.visualization.instances import draw_instances
        from dense3d.visualization.panels import captioned

        meta = self.info.meta
        picture = draw_instances(image, self.boxes, self.scores, self.labels, self.masks, meta)
        if self.truth is None:
            return picture
        boxes, labels, masks = self.truth
        return captioned(
            {"ground truth": draw_instances(image, boxes, None, labels, masks, meta), "prediction": picture}
        )

    def to_coco(self, image_id: int, file_name: str) -> list[dict[str, Any]]:
        """Result entries: ``bbox`` as x, y, width, height in pixels, masks as run lengths."""
        entries = coco_boxes(self, image_id, file_name)
        if self.masks is not None:
            for entry, mask in zip(entries, self.masks):
                entry["segmentation"] = _run_lengths(mask)
        return entries

    def to_kitti(self) -> str:
        """KITTI's lines of 2D boxes: what belongs to 3D boxes is marked as absent.

        Raises:
            DataError: a class name has a blank in it.
        """
        from dense3d.datasets.kitti import objects as kitti

        spaced = next((name for name in self.names if len(name.split()) != 1), None)
        if spaced is not None:
            raise DataError(f"KITTI's lines are split at blanks: the class {spaced!r} needs a name without")
        values = np.full((len(self.boxes), kitti.RESULT_FIELDS - 1), kitti.NO_DIMENSION)
        values[:, [kitti.ALPHA, kitti.ROTATION]] = kitti.NO_ANGLE
        values[:, kitti.LOCATION] = kitti.NO_LOCATION
        values[:, kitti.BOX], values[:, kitti.SCORE] = self.boxes, self.scores
        return kitti.format_objects(kitti.KittiObjects(self.names, values))

    def to_labelme(self) -> list[dict[str, Any]]:
        """Polygons of the masks, or else the boxes."""
        scores = self.scores.tolist()
        if self.masks is None:
            return boxes_as_shapes(self.names, self.boxes, scores)
        return [
            shape
            for number, (name, mask, score) in enumerate(zip(self.names, self.masks, scores), start=1)
            for shape in labelme.polygons(name, mask, number, score)
        ]

    def write(self, folder: Path, stem: str, image_id: int, file_name: str) -> Entries:
        """Nothing of its own; entries for ``predictions.json``."""
        return {"predictions": self.to_coco(image_id, file_name)}


def _truth(labelled: Any) -> Truth | None:
    """Boxes, labels and masks of mmdet's ``gt_instances``, which hold nothing where no labels were loaded."""
    if labelled is None or "bboxes" not in labelled:
        return None
    from dense3d.visualization.annotations import mask_arrays

    boxes = getattr(labelled.bboxes, "tensor", labelled.bboxes).cpu().numpy()
    return boxes, labelled.labels.cpu().numpy(), mask_arrays(labelled.masks) if "masks" in labelled else None


def coco_boxes(part: Any, image_id: int, file_name: str) -> list[dict[str, Any]]:
    """COCO's result entries of anything with ``boxes``, ``scores``, ``labels`` and ``names``.

    Every entry also names its file and its category.
    """
    entries = []
    for box, score, label, name in zip(part.boxes.tolist(), part.scores.tolist(), part.labels, part.names):
        x1, y1, x2, y2 = box
        entries.append(
            dict(
                image_id=image_id,
                file_name=file_name,
                category_id=part.info.category_id(int(label)),
                category_name=name,
                bbox=[x1, y1, x2 - x1, y2 - y1],
                score=score,
            )
        )
    return entries


def boxes_as_shapes(names: Sequence[str], boxes: np.ndarray, scores: Sequence[float]) -> list[dict[str, Any]]:
    """LabelMe's rectangles of boxes ``(N, 4)``."""
    return [labelme.rectangle(name, box, score) for name, box, score in zip(names, boxes, scores)]


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    from pycocotools import mask as mask_tools

    encoded = mask_tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=list(encoded["size"]), counts=encoded["counts"].decode())
