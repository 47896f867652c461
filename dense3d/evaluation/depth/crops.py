"""The parts of an image that depth on KITTI is evaluated in, as fractions of its height and width."""

from __future__ import annotations

from dense3d.errors import ConfigError, did_you_mean

# top, bottom, left, right
FRACTIONS = {
    "none": (0.0, 1.0, 0.0, 1.0),
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),  # Garg et al. 2016, the usual one
    "eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),  # Eigen et al. 2014
}


def crop_window(name: str, height: int, width: int) -> tuple[int, int, int, int]:
    """Rows and columns of a crop: ``(top, bottom, left, right)``, ends exclusive, truncated to whole pixels.

    Args:
        name: ``"none"``, ``"garg"`` or ``"eigen"``.
        height, width: of the ground truth.

    Raises:
        ConfigError: another name.

    Example:
        >>> crop_window("garg", 375, 1242)
        (153, 371, 44, 1197)
    """
    if name not in FRACTIONS:
        raise ConfigError(
            f"there is no crop {name!r}{did_you_mean(name, FRACTIONS)}; known are {', '.join(FRACTIONS)}"
        )
    top, bottom, left, right = FRACTIONS[name]
    return int(top * height), int(bottom * height), int(left * width), int(right * width)
