"""Modules that more than one model uses: attention, transformer blocks, position encodings, norms."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "channel_norm": ["ChannelLayerNorm"],
        "pooled_levels": ["PooledLevels"],
        "position_relation": ["PositionRelation"],
    },
)
