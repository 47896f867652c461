"""Which vision transformers can work on some patches of an image, as masked autoencoders have them."""

from __future__ import annotations

from dense3d.backbones.vit import VisionTransformer
from dense3d.errors import ConfigError
from dense3d.layers.attention import WindowAttention


def scattered_faults(encoder: VisionTransformer) -> list[str]:
    """What keeps a transformer from working on scattered patches; empty if nothing does.

    Example:
        >>> scattered_faults(VisionTransformer(dict(name="beit_base_patch16", depth=1)))
        ['relative or rotary positions']
    """
    faults = {
        "windows (window_size)": any(isinstance(b.attn, WindowAttention) for b in encoder.blocks),
        "relative or rotary positions": encoder.rope is not None or encoder.arch.relative_position,
        "convolutions (residual_blocks)": bool(encoder.arch.residual_blocks),
    }
    return [fault for fault, is_there in faults.items() if is_there]


def refuse_scattered(encoder: object, owner: str) -> None:
    """Complain about an image encoder that cannot work on scattered patches.

    Raises:
        ConfigError: it is no plain vision transformer, or one that needs all patches.
    """
    if not isinstance(encoder, VisionTransformer):
        raise ConfigError(
            f"the image encoder of a {owner} is a VisionTransformer of any arch, not {type(encoder).__name__}"
        )
    faults = scattered_faults(encoder)
    if faults:
        raise ConfigError(
            f"the image encoder of a {owner} sees scattered patches, so it cannot have {', '.join(faults)}; "
            "an arch such as 'mae_base_patch16' fits"
        )
