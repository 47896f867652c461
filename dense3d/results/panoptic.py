"""Panoptic results: every pixel belongs to one segment, a thing or some stuff, or to none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dense3d.errors import CheckpointError
from dense3d.results import labelme
from dense3d.results.part import Entries, ModelInfo, Part, counted


@dataclass(frozen=True)
class Segment:
    """One segment of a panoptic map.

    Attributes:
        id: its number in the map, from 1.
        label: position in the list of classes.
        name: of the class.
        category_id: the data set's id of the class.
    """

    id: int
    label: int
    name: str
    category_id: int


@dataclass(frozen=True, eq=False)
class Panoptic(Part):
    """A map of segments.

    Args:
        panoptic: ``(H, W)`` uint32, 0 where nothing was found, else a segment's id.
        segments: what the ids stand for.
        truth: map and labels of the ground truth, where it is known.
        info: of the model.
    """

    fields: ClassVar = ("panoptic", "segments")

    panoptic: np.ndarray
    segments: tuple[Segment, ...]
    truth: tuple[np.ndarray, list[int]] | None
    info: ModelInfo

    @classmethod
    def read(cls, sample: Any, info: ModelInfo) -> Panoptic | None:
        """The segments of mmdet's ``pred_panoptic_seg``: label + 1000 x instance number in every pixel.

        Raises:
            CheckpointError: the classes are not known.
        """
        found = sample.get("pred_panoptic_seg")
        if found is None:
            return None
        if not info.classes:
            raise CheckpointError(
                "the checkpoint does not name the classes, without which no panoptic map can be read: "
                "put them into its meta.dataset_meta.classes"
            )
        from dense3d.datasets.panoptic.id_map import decode_segments
        from dense3d.visualization.panoptic import panoptic_ground_truth

        coded = found.sem_seg[0].cpu().numpy()
        ids, labels = decode_segments(coded, len(info.classes), found.get("ignore_index"))
        segments = tuple(
            Segment(number, label, info.name(label), info.category_id(label))
            for number, label in enumerate(labels.tolist(), start=1)
        )
        is_labelled = "gt_sem_seg" in sample and "masks" in sample.get("gt_instances", ())
        return cls(ids, segments, panoptic_ground_truth(sample) if is_labelled else None, info)

    def __str__(self) -> str:
        """The number of segments by class."""
        names = [segment.name for segment in self.segments]
        return f"{len(names)} panoptic segments" + (f" ({counted(names)})" if names else "")

    def draw(self, image: np.ndarray) -> np.ndarray:
        """All segments over the image, those of the ground truth on the left where there is one."""
        from dense3d.visualization.panoptic import draw_panels

        maps = {"prediction": (self.panoptic, np.array([s.label for s in self.segments], dtype=np.int64))}
        if self.truth is not None:
            maps = {"ground truth": self.truth, **maps}
        return draw_panels(image, maps, self.info.classes, self.info.palette)

    def to_coco(self, image_id: int, file_name: str) -> list[dict[str, Any]]:
        """The image's annotation in a panoptic JSON file; ``file_name`` is that of the png with the map."""
        from dense3d.datasets.panoptic.agreement import counted_segments

        segments = [{"id": s.id, "category_id": s.category_id} for s in self.segments]
        name = f"{Path(file_name).stem}.png"
        segments = counted_segments(self.panoptic, segments)
        return [{"image_id": image_id, "file_name": name, "segments_info": segments}]

    def to_labelme(self) -> list[dict[str, Any]]:
        """Polygons of all segments; the parts of one segment share its id as their group."""
        return [
            shape for s in self.segments for shape in labelme.polygons(s.name, self.panoptic == s.id, s.id)
        ]

    def write(self, folder: Path, stem: str, image_id: int, file_name: str) -> Entries:
        """``panoptic/STEM.png``; an entry for ``panoptic.json``."""
        from dense3d.datasets.panoptic.id_map import write_id_map

        png = folder / "panoptic" / f"{stem}.png"
        write_id_map(png, self.panoptic)
        return {"panoptic": self.to_coco(image_id, png.name)}
