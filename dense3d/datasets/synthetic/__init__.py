"""The synthetic world: seeded scenes of solids, rendered and written in the data sets' own layouts.

>>> from dense3d.datasets.synthetic import make_dataset
>>> make_dataset("data/synthetic/coco", layouts=("coco",), train=1000, val=200)  # doctest: +SKIP
True
"""

from __future__ import annotations

from dense3d.datasets.synthetic.classes import CATEGORIES, STUFF_CLASSES, THING_CLASSES
from dense3d.datasets.synthetic.generate import ensure_dataset, make_dataset

__all__ = ["CATEGORIES", "STUFF_CLASSES", "THING_CLASSES", "ensure_dataset", "make_dataset"]
