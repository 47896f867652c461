"""Which two views make a pair; imports nothing heavy, since a command line asks for its defaults."""

from __future__ import annotations

from dataclasses import dataclass

from dense3d.errors import ConfigError


@dataclass(frozen=True)
class PairRules:
    """Which two views make a pair.

    Args:
        covisibility: least part of each view of posed photographs that the other one sees, too.
        angle: least and largest angle, in degrees, between their lines of sight to what both see.
        distance: of the surfaces, in the units of the poses, where depth is not known; found out if None.
        gap: least and largest number of frames that one of a video is behind the other.
        split: only folders of this name, or whose name begins with it and ``_``; in a source that has none,
            the split of this name that posed scenes define.
        limit: take so many of the pairs, at random.
        both_orders: list each pair a second time with its views exchanged.
        seed: of what is random.

    Raises:
        ConfigError: a number is out of range.
    """

    covisibility: float = 0.5
    angle: tuple[float, float] = (1.0, 60.0)
    distance: float | None = None
    gap: tuple[int, int] = (1, 5)
    split: str | None = None
    limit: int | None = None
    both_orders: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.covisibility <= 1:
            raise ConfigError(f"covisibility is a fraction from 0 to 1, not {self.covisibility}")
        if not 0 <= self.angle[0] <= self.angle[1] <= 180:
            raise ConfigError(f"angles are a least and a largest one, 0 to 180 degrees, not {self.angle}")
        if not 1 <= self.gap[0] <= self.gap[1]:
            raise ConfigError(f"the gap is a least and a largest number of frames from 1, not {self.gap}")
        if self.distance is not None and not self.distance > 0:
            raise ConfigError(f"the distance of the surfaces must be positive, not {self.distance}")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"at least one pair must be taken, not {self.limit}")
