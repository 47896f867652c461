"""A folder a class: ``{train,val}/CLASS/000000.png``, and ``classes.txt`` with a class a line."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from dense3d.datasets.synthetic.sample import Sample
from dense3d.datasets.synthetic.single_object import OBJECTS
from dense3d.datasets.synthetic.writers.base import Writer, write_image


class ClassFolderWriter(Writer):
    """Classification of the one object of each image."""

    composition: ClassVar[str] = "object"

    def write(self, sample: Sample) -> dict[str, Any]:
        """Write the image into the folder of its object."""
        (actor,) = sample.scene.actors
        path = self.root / sample.split / actor.name / f"{sample.index:06d}.png"
        write_image(path, np.ascontiguousarray(sample.frames[0].rgb))
        return {}

    def finish(self, split: str, records: list[dict[str, Any]]) -> None:
        """Write the list of classes, which both splits share, and the folders of classes without an image."""
        (self.root / "classes.txt").write_text("\n".join(sorted(OBJECTS)) + "\n", encoding="utf-8")
        for name in sorted(OBJECTS) if records else ():
            (self.root / split / name).mkdir(parents=True, exist_ok=True)
