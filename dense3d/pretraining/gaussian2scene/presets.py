"""What options of stage one are unless given: as PiMAE's released code has them, or as the paper proposes."""

from __future__ import annotations

from typing import Any

from dense3d.errors import ConfigError, did_you_mean

# The code of PiMAE masks at random, rounds pixels and samples features at transposed places; the paper of
# Gaussian2Scene aligns complementary masks and, as far as it could be read, has no loss across the senses.
PRESETS: dict[str, dict[str, Any]] = {
    "gaussian2scene": dict(num_groups=64, image_mask="complement", projection="exact", cross_modal=False),
    "pimae": dict(
        num_groups=128,
        image_mask="random",
        projection="pimae",
        cross_modal=dict(target="features", transposed=True, enlarged=(256, 352), count_unseen=True),
    ),
}


def settings_of(preset: str, **given: Any) -> dict[str, Any]:
    """The options of a preset, with those that are given and not None in their place.

    Raises:
        ConfigError: there is no such preset.

    Example:
        >>> settings_of("pimae", num_groups=64)["num_groups"], settings_of("pimae")["image_mask"]
        (64, 'random')
    """
    if preset not in PRESETS:
        raise ConfigError(
            f"preset={preset!r} of stage one{did_you_mean(preset, PRESETS)}: use one of "
            f"{', '.join(map(repr, PRESETS))}"
        )
    settings = {**PRESETS[preset], **{k: v for k, v in given.items() if v is not None}}
    if settings["cross_modal"] is True:
        settings["cross_modal"] = {"target": "features"}
    return settings
