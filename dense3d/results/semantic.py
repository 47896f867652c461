"""Semantic results: the class of every pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dense3d.results import labelme
from dense3d.results.part import Entries, ModelInfo, Part


@dataclass(frozen=True, eq=False)
class Semantic(Part):
    """A map of classes.

    Args:
        semantic: ``(H, W)`` integers, the label of each pixel: a position in the list of classes.
        truth: the ground truth as such a map, 255 where it says nothing; None where it is not known.
        info: of the model.
    """

    fields: ClassVar = ("semantic",)

    semantic: np.ndarray
    truth: np.ndarray | None
    info: ModelInfo

    @classmethod
    def read(cls, sample: Any, info: ModelInfo) -> Semantic | None:
        """The map of mmseg's or mmdet's ``pred_sem_seg``."""
        if "pred_sem_seg" not in sample:
            return None
        truth = _label_map(sample.gt_sem_seg) if "gt_sem_seg" in sample else None
        return cls(_label_map(sample.pred_sem_seg), truth, info)

    def __str__(self) -> str:
        """The classes that cover most, with their shares."""
        counts = np.bincount(self.semantic.ravel())
        shares = counts / max(1, self.semantic.size)
        largest = [label for label in np.argsort(-counts, kind="stable") if counts[label]]
        words = [f"{shares[label]:.0%} {self.info.name(int(label))}" for label in largest[:4]]
        return f"a map of {len(largest)} classes ({', '.join(words)}{', ...' if largest[4:] else ''})"

    def draw(self, image: np.ndarray) -> np.ndarray:
        """The image, the ground truth where there is one, the prediction, and a legend."""
        from dense3d.visualization.panels import draw_segmentation

        maps = [self.semantic] if self.truth is None else [self.truth, self.semantic]
        names = self.info.classes or tuple(map(str, range(int(self.semantic.max()) + 1)))
        return draw_segmentation(image, maps, names, self.info.palette)

    def to_labelme(self) -> list[dict[str, Any]]:
        """Polygons of the regions; those of one class are one group."""
        return [
            shape
            for label in np.unique(self.semantic).tolist()
            for shape in labelme.polygons(self.info.name(label), self.semantic == label, label + 1)
        ]

    def write(self, folder: Path, stem: str, image_id: int, file_name: str) -> Entries:
        """``labels/STEM.png``, numbered as the data set's annotations: with ``reduce_zero_label``, from 1."""
        from dense3d.visualization.pictures import write_picture

        labels = self.semantic + int(bool(self.info.meta.get("reduce_zero_label")))
        kind = np.uint8 if labels.max() < 256 else np.uint16
        write_picture(labels.astype(kind), folder / "labels" / f"{stem}.png")
        return {}


def _label_map(field: Any) -> np.ndarray:
    data = field.data if "data" in field else field.sem_seg  # mmseg's name and mmdet's
    return data.reshape(data.shape[-2:]).cpu().numpy()
