"""2D transfer functions: regions of values and gradient magnitudes (Kniss, Kindlmann, Hansen, 2002).

Materials that share a range of values differ in how steep the values are: the inside of a material has small
gradients, the boundary between two has large ones over a range of values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dense3d.errors import DataError

MOST_REGIONS = 64


@dataclass(frozen=True)
class Box:
    """One colour and opacity in a rectangle.

    Args:
        values: (low, high) values.
        slopes: (low, high) gradient magnitudes, value per millimetre; high may be infinite.
        color: red, green, blue, 0..1.
        opacity: 0..1, over the unit distance.
    """

    values: tuple[float, float]
    slopes: tuple[float, float]
    color: tuple[float, float, float]
    opacity: float

    def opacities(self, values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Opacity at values and slopes that broadcast."""
        inside = (values >= self.values[0]) & (values <= self.values[1])
        return self.opacity * (inside & (slopes >= self.slopes[0]) & (slopes <= self.slopes[1]))

    @property
    def steepest(self) -> float:
        """The largest finite gradient magnitude that it speaks of."""
        return self.slopes[1] if np.isfinite(self.slopes[1]) else 2 * self.slopes[0]


@dataclass(frozen=True)
class Gaussian:
    """A soft blob: opacity ``a exp(-((v - v0) / dv)^2 / 2 - ((s - s0) / ds)^2 / 2)``, nothing below a / 100.

    Args:
        center: value, and gradient magnitude in value per millimetre.
        deviation: standard deviations of both, positive.
        color: red, green, blue, 0..1.
        opacity: 0..1 in the middle, over the unit distance.
    """

    center: tuple[float, float]
    deviation: tuple[float, float]
    color: tuple[float, float, float]
    opacity: float

    def opacities(self, values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Opacity at values and slopes that broadcast."""
        squares = ((values - self.center[0]) / self.deviation[0]) ** 2
        squares = squares + ((slopes - self.center[1]) / self.deviation[1]) ** 2
        height = np.exp(-squares / 2)
        return self.opacity * np.where(height < 0.01, 0, height)  # so that bricks can be empty

    @property
    def steepest(self) -> float:
        """The largest gradient magnitude with an opacity."""
        return self.center[1] + 3.04 * self.deviation[1]


@dataclass(frozen=True)
class Regions:
    """A 2D transfer function: regions that lie over one another.

    Where regions overlap, what passes through one passes through the others: opacities a_i together have
    ``1 - prod(1 - a_i)``, and the colour is the mean weighted by a_i.

    Args:
        regions: :class:`Box` and :class:`Gaussian`, at most 64.
        unit_distance: millimetres over which a sample has its opacity; None: the finest voxel spacing.
        name: for a person.

    Raises:
        DataError: a region has a number out of its range.

    Example:
        >>> shell = Regions((Box((100, 300), (50, np.inf), (1, 0.9, 0.7), 0.5),))
        >>> shell(200, 80).tolist(), shell(200, 10).tolist()
        ([1.0, 0.9, 0.7, 0.5], [0.0, 0.0, 0.0, 0.0])
    """

    regions: tuple[Box | Gaussian, ...]
    unit_distance: float | None = None
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "regions", tuple(self.regions))
        if len(self.regions) > MOST_REGIONS:
            raise DataError(f"{len(self.regions)} regions are too many: at most {MOST_REGIONS}")
        for number, region in enumerate(self.regions):
            _check(number, region)
        if self.unit_distance is not None and not 0 < self.unit_distance < np.inf:
            raise DataError(f"the unit distance of opacities must be positive, not {self.unit_distance}")

    def __call__(self, values: np.ndarray | float, slopes: np.ndarray | float) -> np.ndarray:
        """(..., 4) red, green, blue, opacity at values and gradient magnitudes (...) that broadcast."""
        values, slopes = np.broadcast_arrays(np.asarray(values, float), np.asarray(slopes, float))
        passed, weight, colour = np.ones(values.shape), np.zeros(values.shape), np.zeros((*values.shape, 3))
        for region in self.regions:
            opacity = region.opacities(values, slopes)
            passed, weight = passed * (1 - opacity), weight + opacity
            colour = colour + opacity[..., None] * np.array(region.color)
        colour = colour / np.where(weight > 0, weight, 1)[..., None]
        return np.concatenate([colour, 1 - passed[..., None]], -1)

    @property
    def steepest(self) -> float:
        """Gradient magnitude at the end of :meth:`table`, beyond every finite bound."""
        return 1.05 * max([region.steepest for region in self.regions], default=0.0) or 1.0

    def table(self, low: float, high: float, entries: int = 512, slopes: int = 128) -> np.ndarray:
        """(entries, slopes, 4) float32 over values ``low .. high`` and gradients 0 .. :attr:`steepest`."""
        values, steps = np.linspace(low, high, entries), np.linspace(0, self.steepest, slopes)
        return self(values[:, None], steps[None]).astype(np.float32)


def _check(number: int, region: Box | Gaussian) -> None:
    if isinstance(region, Box):
        pairs = (("values", region.values), ("slopes", region.slopes))
        for name, pair in pairs:
            if not (_numbers(pair, 2) and pair[0] <= pair[1] and np.isfinite(pair[0])):
                raise DataError(f"region {number}: {name} of a box are a low and a high number, not {pair}")
        if not np.isfinite(region.values[1]):
            raise DataError(f"region {number}: values of a box must be finite")
    elif isinstance(region, Gaussian):
        if not (_numbers(region.center, 2) and np.isfinite(region.center).all()):
            raise DataError(f"region {number}: the center is a value and a slope, not {region.center}")
        if not (_numbers(region.deviation, 2) and all(0 < one < np.inf for one in region.deviation)):
            raise DataError(f"region {number}: deviations are two positive numbers, not {region.deviation}")
    else:
        raise DataError(f"region {number} is a Box or a Gaussian, not {type(region).__name__}")
    if not (_numbers(region.color, 3) and all(0 <= one <= 1 for one in region.color)):
        raise DataError(f"region {number}: the color is three numbers 0..1, not {region.color}")
    if not (_numbers([region.opacity], 1) and 0 <= region.opacity <= 1):
        raise DataError(f"region {number}: the opacity lies in 0..1, not {region.opacity}")


def _numbers(values: Sequence, count: int) -> bool:
    if not isinstance(values, (tuple, list, np.ndarray)) or len(values) != count:
        return False
    return all(isinstance(one, (int, float, np.number)) and abs(one) <= np.inf for one in values)
