"""What decides the numbers of a feature volume."""

from __future__ import annotations

from dataclasses import dataclass

from dense3d.errors import ConfigError, did_you_mean
from dense3d.transfer_function.features.keys import PARTS

PRECISIONS = ("float32", "bfloat16", "float16", "auto")


@dataclass(frozen=True)
class FeatureSettings:
    """How features are computed; the defaults are the paper's, less its slips.

    Args:
        size: S, cells along the axis of median length.
        axes: array axes that slices lie across, in the order in which they are computed.
        part: ``"k"``, keys of the last block; ``"q"`` and ``"v"`` are queries and values.
        official_sizes: sizes by the official floating-point division, as its caches have them.
        spacing_aware: cells of equal millimetres along all axes (ours; for anisotropic volumes).
        pooled: averages over the slices of a cell; False, for one axis, keeps every slice, as the official
            code does when it slices along one axis only.
        stride: of the slices, every n-th is seen (ours); each cell keeps at least one.
        window: percentiles that become 0 and 1 (ours); None for minimum and maximum.
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"`` of the network's products; ``"auto"`` takes
            bfloat16 where the device multiplies it faster.

    Raises:
        ConfigError: a value is none of the possible ones, or two do not go together.
    """

    size: int = 64
    axes: tuple[int, ...] = (2, 1, 0)
    part: str = "k"
    official_sizes: bool = False
    spacing_aware: bool = False
    pooled: bool = True
    stride: int = 1
    window: tuple[float, float] | None = None
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.size < 1 or self.stride < 1:
            raise ConfigError(f"size={self.size} and stride={self.stride} of features are at least 1")
        if not self.axes or len(set(self.axes)) != len(self.axes) or not set(self.axes) <= {0, 1, 2}:
            raise ConfigError(f"axes={self.axes} of features: some of 0, 1 and 2, each once")
        for name, known in (("part", PARTS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name}={getattr(self, name)!r} of features: use one of {', '.join(known)}"
                )
        if not self.pooled and (len(self.axes) > 1 or self.stride > 1):
            raise ConfigError("pooled=False keeps the slices of one axis: give that axis, and no stride")
        if self.official_sizes and self.spacing_aware:
            raise ConfigError("official sizes ignore the spacing: choose official_sizes or spacing_aware")
        low, high = self.window or (0, 100)
        if not 0 <= low < high <= 100:
            raise ConfigError(f"window={self.window} of features: two ascending percentiles, 0 to 100")


# for two cores: features of 256^3 with a ViT-S/16 in minutes
PRESETS: dict[str, FeatureSettings] = {
    "quick": FeatureSettings(size=32, stride=2, precision="auto"),
    "paper": FeatureSettings(size=64),
    "fine": FeatureSettings(size=96),
    "official": FeatureSettings(size=64, official_sizes=True),
}


def preset(name: str) -> FeatureSettings:
    """The settings of a name.

    Raises:
        ConfigError: there are none of that name.

    Example:
        >>> preset("quick").size
        32
    """
    if name not in PRESETS:
        hint = did_you_mean(name, PRESETS) or f"; there are {', '.join(PRESETS)}"
        raise ConfigError(f"no settings of features are called {name!r}{hint}")
    return PRESETS[name]
