"""The rules of the benchmark: classes, difficulties and overlap limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dense3d.datasets.kitti.objects import class_names
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
    def of(
        cls,
        classes: Iterable[str] = ("Car", "Pedestrian", "Cyclist"),
        extra_classes: Mapping[str, str] | None = None,
    ) -> Protocol:
        """KITTI's own rules for some of its classes, and for others the limits of one of them.

        Args:
            classes: those to evaluate.
            extra_classes: further ones, each with the class whose limits it takes: ``{"Bus": "Car"}``.

        Raises:
            ConfigError: no class, one without limits, or one given twice.
        """
        extra = _checked(extra_classes or {})
        classes = [*classes, *(name for name in extra if name not in classes)]
        keys = [name.lower() for name in classes]
        rules = {key: key for key in STRICT} | {name.lower(): like.lower() for name, like in extra.items()}
        names = {**{name.lower(): name for name in extra}, **NAMES}
        for name, key in zip(classes, keys):
            if key not in rules:
                hint = did_you_mean(name, NAMES.values()).rstrip("?")
                raise ConfigError(
                    f"KITTI does not evaluate the class {name!r}{hint}; it has Car, Pedestrian and Cyclist, "
                    f"and extra_classes=dict({name}='Car') adds one (--extra-classes {name}=Car)"
                )
            if keys.count(key) > 1:
                raise ConfigError(f"the class {name!r} is given twice")
        if not keys:
            raise ConfigError("no class is given; KITTI evaluates Car, Pedestrian and Cyclist")
        limits = tuple(
            tuple(tuple(table[rules[key]][overlap] for key in keys) for overlap in range(len(OVERLAPS)))
            for table in (STRICT, LOOSE)
        )
        return cls(tuple(names[key] for key in keys), limits)


def _checked(extra: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(extra, Mapping):
        raise ConfigError(
            f"extra_classes names for each class one of KITTI's, such as dict(Bus='Car'), not {extra!r}"
        )
    for name, like in zip(class_names(extra), extra.values()):
        if name.lower() in STRICT:
            raise ConfigError(f"extra_classes holds {name!r}, which KITTI evaluates by rules of its own")
        if str(like).lower() not in STRICT:
            raise ConfigError(
                f"extra_classes gives {name!r} the limits of {like!r}; choose Car, Pedestrian or Cyclist"
            )
    return dict(extra)
