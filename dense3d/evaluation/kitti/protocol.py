"""The rules of the benchmark: classes, difficulties and overlap limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dense3d.errors import ConfigError, did_you_mean

METRICS = ("bbox", "aos", "bev", "3d")
OVERLAPS = ("bbox", "bev", "3d")  # what boxes are compared by; orientation goes with the 2D boxes
DIFFICULTIES = ("easy", "moderate", "hard")
LIMIT_SETS = ("strict", "loose")
RECALL_POINTS = 41
# ground truths of these classes neither count nor make a detection of the class false
NEIGHBOURS = {"car": "van", "pedestrian": "person_sitting"}
# class -> limit of the overlap for (bbox, bev, 3d)
STRICT = {"car": (0.7, 0.7, 0.7), "pedestrian": (0.5, 0.5, 0.5), "cyclist": (0.5, 0.5, 0.5)}
LOOSE = {"car": (0.7, 0.5, 0.5), "pedestrian": (0.5, 0.25, 0.25), "cyclist": (0.5, 0.25, 0.25)}
NAMES = {"car": "Car", "pedestrian": "Pedestrian", "cyclist": "Cyclist"}


@dataclass(frozen=True)
class Protocol:
    """What is evaluated, and how.

    Args:
        classes: names as they are reported; compared without case.
        min_height: lowest height of the 2D box in pixels for each difficulty. A label of that height is
            ignored already, a detection of that height is not.
        max_occlusion, max_truncation: largest values of a counted label for each difficulty.
        limits: (strict or loose, overlap of ``OVERLAPS``, class): overlaps above it match.

    Example:
        >>> Protocol.of(["car"]).limits[1][2]
        (0.5,)
    """

    classes: tuple[str, ...]
    limits: tuple[tuple[tuple[float, ...], ...], ...]
    min_height: tuple[float, ...] = (40, 25, 25)
    max_occlusion: tuple[float, ...] = (0, 1, 2)
    max_truncation: tuple[float, ...] = (0.15, 0.30, 0.50)

    @classmethod
    def of(cls, classes: Iterable[str] = ("Car", "Pedestrian", "Cyclist")) -> Protocol:
        """KITTI's own rules for some of its classes.

        Raises:
            ConfigError: no class, one that KITTI does not evaluate, or one given twice.
        """
        keys = [name.lower() for name in classes]
        for name, key in zip(classes, keys):
            if key not in STRICT:
                hint = did_you_mean(name, NAMES.values()).rstrip("?")
                raise ConfigError(
                    f"KITTI does not evaluate the class {name!r}{hint}; it has Car, Pedestrian and Cyclist"
                )
            if keys.count(key) > 1:
                raise ConfigError(f"the class {name!r} is given twice")
        if not keys:
            raise ConfigError("no class is given; KITTI evaluates Car, Pedestrian and Cyclist")
        limits = tuple(
            tuple(tuple(table[key][overlap] for key in keys) for overlap in range(len(OVERLAPS)))
            for table in (STRICT, LOOSE)
        )
        return cls(tuple(NAMES[key] for key in keys), limits)
