"""Objects in space, seen by a calibrated camera: KITTI's objects with scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dense3d.results.instances import boxes_as_shapes, coco_boxes
from dense3d.results.part import Entries, ModelInfo, Part, counted

if TYPE_CHECKING:
    from dense3d.datasets.kitti.objects import KittiObjects
    from dense3d.structures import Boxes3D, KittiCalibration


@dataclass(frozen=True, eq=False)
class Objects3D(Part):
    """Objects with a 3D box and a 2D one.

    Args:
        objects: as KITTI's result files list them.
        calibration: of the camera.
        truth: labelled objects, where they are known.
        info: of the model.
        dropped: how many detections were left out since they cannot be, see
            :func:`dense3d.datasets.kitti.without_faults`.
    """

    fields: ClassVar = ("boxes3d", "boxes", "scores", "labels", "names", "calibration")

    objects: KittiObjects
    calibration: KittiCalibration
    truth: KittiObjects | None
    info: ModelInfo
    dropped: int = 0

    @classmethod
    def read(cls, sample: Any, info: ModelInfo) -> Objects3D | None:
        """The sample's ``predictions`` whose score reaches the threshold."""
        found = sample.get("predictions")
        if found is None:
            return None
        from dense3d.datasets.kitti.objects import without_faults

        sound, dropped = without_faults(found.select(~(found.scores < info.threshold)))
        return cls(sound, sample.calibration, sample.get("objects"), info, len(dropped))

    @cached_property
    def boxes3d(self) -> Boxes3D:
        """``N`` boxes in the rectified camera frame, metres and radians."""
        import torch

        from dense3d.structures import Boxes3D

        return Boxes3D(torch.from_numpy(self.objects.boxes3d), "camera")

    @property
    def boxes(self) -> np.ndarray:
        """``(N, 4)`` left, top, right, bottom in pixels of the image."""
        return self.objects.boxes2d

    @property
    def scores(self) -> np.ndarray:
        """``(N,)`` scores."""
        return self.objects.scores

    @property
    def names(self) -> tuple[str, ...]:
        """Class name of each object."""
        return self.objects.names

    @property
    def labels(self) -> np.ndarray:
        """``(N,)`` positions in the list of classes, -1 for a name that is not in it."""
        places = {name: label for label, name in enumerate(self.info.classes)}
        return np.array([places.get(name, -1) for name in self.names], dtype=np.int64)

    def __str__(self) -> str:
        """Their number by class."""
        return f"{len(self.names)} 3D boxes" + (f" ({counted(self.names)})" if self.names else "")

    def draw(self, image: np.ndarray) -> np.ndarray:
        """Predicted and, where there are any, labelled boxes in the image, and the view from above."""
        from dense3d.visualization.boxes3d import draw_frame, enlarged

        image, calibration = enlarged(image, self.calibration)
        return draw_frame(image, calibration, self.truth, self.objects)

    def to_coco(self, image_id: int, file_name: str) -> list[dict[str, Any]]:
        """Result entries of the 2D boxes."""
        return coco_boxes(self, image_id, file_name)

    def to_kitti(self) -> str:
        """KITTI's result lines."""
        from dense3d.datasets.kitti.objects import format_objects

        return format_objects(self.objects)

    def to_labelme(self) -> list[dict[str, Any]]:
        """The 2D boxes."""
        return boxes_as_shapes(self.names, self.boxes, self.scores.tolist())

    def write(self, folder: Path, stem: str, image_id: int, file_name: str) -> Entries:
        """``results/STEM.txt``, which may be empty."""
        from dense3d.datasets.kitti.objects import write_objects

        write_objects(folder / "results" / f"{stem}.txt", self.objects)
        return {}
