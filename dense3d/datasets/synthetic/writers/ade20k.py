"""ADE20K scene parsing: ``images/{training,validation}/*.jpg`` and 8-bit ``annotations/.../*.png``."""

from __future__ import annotations

from typing import Any

import numpy as np

from dense3d.datasets.synthetic.classes import CATEGORIES
from dense3d.datasets.synthetic.sample import Sample, visible_segments
from dense3d.datasets.synthetic.writers.base import Writer, write_image

FOLDERS = {"train": "training", "val": "validation"}


class ADE20KWriter(Writer):
    """Semantic segmentation: label 0 is unlabelled, 1..N are the classes in the order of ``CATEGORIES``."""

    def write(self, sample: Sample) -> dict[str, Any]:
        """Write the image and its label map."""
        frame = sample.frames[0]
        labels = np.zeros(frame.category.shape, dtype=np.uint8)
        for segment in visible_segments(sample.scene, frame):
            labels[segment.mask] = segment.category.id
        folder, name = FOLDERS[sample.split], f"ADE_{sample.split}_{sample.index + 1:08d}"
        write_image(self.root / "images" / folder / f"{name}.jpg", frame.rgb)
        write_image(self.root / "annotations" / folder / f"{name}.png", labels)
        return {}

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Write the class table, which both splits share."""
        rows = ["Idx\tName", *(f"{category.id}\t{category.name}" for category in CATEGORIES)]
        (self.root / "objectInfo.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
