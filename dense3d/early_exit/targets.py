"""The derived data set: for each training image the quality at every exit, and the exit that is worth most.

Equation of arXiv 2404.15244, section 3.2, with depths counted from 1 at the first exit as the released code
counts them: utility = quality - beta * count. beta is the quality that one more layer has to earn.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from dense3d.errors import DataError
from dense3d.files import atomic_write

FORMAT = "dense3d exit depths 1"


def utilities(quality: np.ndarray, beta: float) -> np.ndarray:
    """Worth of each exit, ``(n, E)`` float64: quality less ``beta`` for every layer from the first exit on.

    Args:
        quality: ``(n, E)`` in 0 .. 1, exits in rising depth, one layer apart.
        beta: quality that one more layer has to earn.

    Example:
        >>> utilities(np.array([[0.5, 0.6, 0.625]]), beta=0.0625)
        array([[0.4375, 0.475 , 0.4375]])
    """
    quality = np.asarray(quality, dtype=np.float64)
    return quality - float(beta) * np.arange(1, quality.shape[-1] + 1)


def best_depths(quality: np.ndarray, exits: Sequence[int], beta: float) -> np.ndarray:
    """Depth of the largest utility for each image ``(n,)``; the shallowest of equals.

    Example:
        >>> best_depths(np.array([[0.5, 0.6, 0.625], [0.5, 0.5, 0.5]]), exits=(2, 3, 4), beta=0.01)
        array([4, 2])
    """
    return np.asarray(exits)[utilities(quality, beta).argmax(-1)]


@dataclass(frozen=True)
class ExitTargets:
    """Qualities of the images of a data set, and the depths that follow from them.

    Args:
        exits: depths in rising order, one layer apart.
        beta: the trade-off.
        quality: of each image id (as text) its quality in 0 .. 1 at every exit; None where it has none, for
            instance because nothing is annotated.
        gflops: mean cost of an image at every exit, in billions of multiply-adds.
        origin: config and checkpoint of the parent.

    Example:
        >>> targets = ExitTargets((2, 3), 0.01, {"7": (0.5, 0.6), "8": None}, gflops=(1.0, 1.5))
        >>> targets.depths, targets.counts(), targets.class_of(7), targets.class_of(8)
        ({'7': 3}, [0, 1], 1, -1)
    """

    exits: tuple[int, ...]
    beta: float
    quality: Mapping[str, tuple[float, ...] | None]
    gflops: tuple[float, ...]
    origin: str = ""

    @cached_property
    def depths(self) -> dict[str, int]:
        """Target depth of each image that has qualities."""
        known = [image for image, values in self.quality.items() if values is not None]
        table = np.array([self.quality[image] for image in known]).reshape(len(known), len(self.exits))
        return dict(zip(known, best_depths(table, self.exits, self.beta).tolist()))

    def with_beta(self, beta: float) -> ExitTargets:
        """The same qualities under another trade-off."""
        return replace(self, beta=beta)

    def counts(self) -> list[int]:
        """How many images aim at each exit."""
        found = Counter(self.depths.values())
        return [found[depth] for depth in self.exits]

    def mean_quality(self) -> list[float]:
        """Mean quality of the images at each exit, ``(E,)``; NaN without any."""
        known = [values for values in self.quality.values() if values is not None]
        return [math.fsum(column) / len(known) for column in zip(*known)] or [math.nan] * len(self.exits)

    def class_of(self, image: object, source: str | Path = "the derived data set") -> int:
        """Position of an image's target among the exits, -1 where it has none.

        Raises:
            DataError: the image is not in the table; ``source`` names the file.
        """
        image = str(image)
        if image not in self.quality:
            raise DataError(
                f"{source} has no image {image}: it was derived from other images; derive it from those of "
                "this config with dense3d derive-depths"
            )
        return self.exits.index(self.depths[image]) if image in self.depths else -1

    def write(self, path: str | Path) -> None:
        """Write the JSON file that :meth:`read` reads, whole or not at all."""
        images = {
            image: {"depth": self.depths.get(image), "quality": values and list(values)}
            for image, values in self.quality.items()
        }
        head = dict(format=FORMAT, exits=self.exits, beta=self.beta, gflops=self.gflops, origin=self.origin)
        with atomic_write(path, "w") as file:
            json.dump(head | {"images": images}, file)

    @classmethod
    def read(cls, path: str | Path) -> ExitTargets:
        """Read a file and check it.

        Raises:
            DataError: it is missing, cut off, of another format, or disagrees with itself.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{path} does not exist: make it with dense3d derive-depths") from None
        except (ValueError, OSError) as error:
            raise DataError(
                f"{path} is no readable JSON file ({error}): it was cut off or changed; make it again with "
                "dense3d derive-depths"
            ) from None
        return _checked(document, path)


def _checked(document: object, path: str | Path) -> ExitTargets:
    """The targets of a parsed file."""
    found = document.get("format") if isinstance(document, dict) else type(document).__name__
    if found != FORMAT:
        raise DataError(f"{path} is no file of target depths: its format is {found!r}, not {FORMAT!r}")
    exits, images = document.get("exits"), document.get("images")
    if not _is_ladder(exits):
        raise DataError(f"{path}: exits is {exits!r}, but must be rising depths, each one layer deeper")
    if not isinstance(images, dict):
        raise DataError(f"{path}: images is {images!r}, but must be a table by image id")
    if not _are_numbers([document.get("beta")], 1):
        raise DataError(f"{path}: beta is {document.get('beta')!r}, but must be a number")
    if not _are_numbers(document.get("gflops"), len(exits)):
        raise DataError(f"{path}: gflops is {document.get('gflops')!r}, but must be {len(exits)} numbers")
    quality = {image: _quality_of(image, entry, len(exits), path) for image, entry in images.items()}
    targets = ExitTargets(
        tuple(exits), document["beta"], quality, tuple(document["gflops"]), str(document.get("origin", ""))
    )
    for image, entry in images.items():
        if entry.get("depth") != targets.depths.get(image):
            raise DataError(
                f"{path}: image {image} aims at depth {entry.get('depth')}, but its qualities and "
                f"beta={targets.beta} give {targets.depths.get(image)}; make the file again"
            )
    return targets


def _quality_of(image: str, entry: object, exits: int, path: str | Path) -> tuple[float, ...] | None:
    values = entry.get("quality", False) if isinstance(entry, dict) else False
    if values is None:
        return None
    if not _are_numbers(values, exits) or not all(0 <= value <= 1 for value in values):
        raise DataError(
            f"{path}: the quality of image {image} is {values!r}, but must be {exits} numbers in 0 .. 1, "
            "or null"
        )
    return tuple(values)


def _is_ladder(exits: object) -> bool:
    whole = isinstance(exits, list) and len(exits) > 0 and all(type(depth) is int for depth in exits)
    return whole and exits[0] >= 0 and exits == list(range(exits[0], exits[0] + len(exits)))


def _are_numbers(values: object, number: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == number
        and all(type(value) in (int, float) and math.isfinite(value) for value in values)
    )
