"""Modules that more than one model uses: attention, transformer blocks, position encodings, norms."""

from dense3d.layers.position_relation import PositionRelation

__all__ = ["PositionRelation"]
