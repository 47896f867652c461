"""Sums of errors over pixels, from which means over pixels and means over images both follow exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PERCENT = ("D1", "Fl", "bad-")  # shares of pixels that are given in percent, by the start of their names
ROOTS = ("rmse", "rmse_log")  # the square root of a mean


@dataclass(frozen=True)
class Tally:
    """Errors of one image within one region (all pixels, those not occluded, ...), summed.

    Args:
        pixels: pixels with ground truth.
        predicted: those that have a prediction too; errors in pixels or metres are means over them, shares
            of wrong pixels are shares of ``pixels``.
        sums: metric -> sum over pixels: of the error, of its square, or of the pixels counted.

    Example:
        >>> tally = Tally(4, 4, {"EPE": 2.0, "rmse": 4.0, "bad-1": 1.0})
        >>> tally.values()
        {'EPE': 0.5, 'rmse': 1.0, 'bad-1': 25.0}
    """

    pixels: int
    predicted: int
    sums: Mapping[str, float] = field(default_factory=dict)

    def values(self) -> dict[str, float]:
        """Mean of every metric; NaN where it has no pixel."""
        return {name: self._value(name, total) for name, total in self.sums.items()}

    def _value(self, name: str, total: float) -> float:
        share = name.startswith(PERCENT)
        pixels = self.pixels if share else self.predicted
        if not pixels:
            return float("nan")
        mean = total / pixels
        return mean**0.5 if name in ROOTS else 100 * mean if share else mean

    @staticmethod
    def joined(tallies: Iterable[Tally]) -> Tally:
        """All pixels of several images as if they were one image's."""
        pixels = predicted = 0
        sums: dict[str, float] = {}
        for tally in tallies:
            pixels, predicted = pixels + tally.pixels, predicted + tally.predicted
            for name, total in tally.sums.items():
                sums[name] = sums.get(name, 0.0) + total
        return Tally(pixels, predicted, sums)


def mean_over_images(tallies: Iterable[Tally]) -> dict[str, float]:
    """Mean of the images' values; an image without a pixel that counts for a metric has no part in it."""
    totals: dict[str, list[float]] = {}
    for tally in tallies:
        for name, value in tally.values().items():
            entry = totals.setdefault(name, [])
            if value == value:
                entry.append(value)
    return {name: sum(v) / len(v) if v else float("nan") for name, v in totals.items()}
