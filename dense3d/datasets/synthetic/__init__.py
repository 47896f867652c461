"""The synthetic world: seeded scenes of solids, rendered and written in the data sets' own layouts.

>>> from dense3d.datasets.synthetic import make_dataset
>>> make_dataset("data/synthetic/coco", layouts=("coco",), train=1000, val=200)  # doctest: +SKIP
True
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "classes": ["CATEGORIES", "STUFF_CLASSES", "THING_CLASSES"],
        "clouds": ["make_clouds"],
        "generate": ["ensure_dataset", "make_dataset"],
        "phantom": ["make_phantom"],
        "volumes": ["make_volumes"],
    },
)
