"""Modules that more than one model uses: attention, transformer blocks, position encodings, norms."""

from dense3d.layers.channel_norm import ChannelLayerNorm
from dense3d.layers.pooled_levels import PooledLevels
from dense3d.layers.position_relation import PositionRelation

__all__ = ["ChannelLayerNorm", "PooledLevels", "PositionRelation"]
