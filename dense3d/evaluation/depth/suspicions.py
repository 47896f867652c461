"""Do predictions hold what they are taken for? Asked of all pixels together, before figures are believed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dense3d.errors import DataError

FACTOR = 8.0  # predictions that are so many times too large or small are in another unit
OPPOSED = -0.4  # correlation of logarithms from which on one falls where the other rises
ENOUGH = 100  # pixels, below which nothing is suspected


@dataclass(frozen=True)
class Relation:
    """How predictions relate to ground truth in one image.

    Args:
        pixels: how many were looked at.
        ratio: median of prediction / ground truth.
        correlation: of their logarithms within the image; NaN where one of them is constant.
    """

    pixels: int
    ratio: float
    correlation: float

    @staticmethod
    def of(prediction: np.ndarray, truth: np.ndarray, at_most: int = 20_000) -> Relation:
        """Of matching positive, finite values (N,); at most so many of them, evenly spread, are looked at."""
        step = max(1, truth.size // at_most)
        p, t = (values[::step].astype(np.float64) for values in (prediction, truth))
        if not t.size:
            return Relation(0, float("nan"), float("nan"))
        logs = np.log(p), np.log(t)
        spread = [values.std() for values in logs]
        correlation = float(np.corrcoef(*logs)[0, 1]) if min(spread) > 1e-3 else float("nan")
        return Relation(t.size, float(np.median(p / t)), correlation)


def refuse_suspicious(
    relations: Iterable[Relation], kind: str, truth: str, scale_is_known: bool = True
) -> None:
    """Refuse predictions that are not what they are taken for.

    Args:
        relations: of the images.
        kind: what the values are taken for: ``"depth"`` or ``"disparity"``.
        truth: where the ground truth is, for the message.
        scale_is_known: false with median scaling.

    Raises:
        DataError: predictions fall where the ground truth rises, or are in another unit.

    Example:
        >>> refuse_suspicious([Relation(500, 0.01, -0.9)], "depth", "gt")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        dense3d.errors.DataError: predictions fall where the depth of gt rises (correlation -0.90): ...
    """
    relations = [relation for relation in relations if relation.pixels]
    pixels = sum(relation.pixels for relation in relations)
    if pixels < ENOUGH:
        return
    correlations = [
        relation.correlation for relation in relations if relation.correlation == relation.correlation
    ]
    opposed = float(np.median(correlations)) if correlations else 0.0
    if opposed < OPPOSED:
        other, option = (
            ("inverse depth or disparity", "inverse-depth or --pred-kind disparity")
            if kind == "depth"
            else ("depth", "depth")
        )
        raise DataError(
            f"predictions fall where the {kind} of {truth} rises (correlation {opposed:.2f}): they look like "
            f"{other}; say so with --pred-kind {option}, or --unchecked evaluates them all the same"
        )
    ratio = float(np.median([relation.ratio for relation in relations]))
    if scale_is_known and not 1 / FACTOR < ratio < FACTOR:
        unit = "metres" if kind == "depth" else "pixels of the ground truth's image size"
        raise DataError(
            f"predicted {kind} is {ratio:.3g} times that of {truth} (median): is it in {unit}? --pred-scale "
            "converts it, and --unchecked evaluates it all the same"
        )
