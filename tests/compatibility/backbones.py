"""Small variants of every registered backbone and adapter."""

from __future__ import annotations

from dense3d.backbones.variants import tiny_backbones

__all__ = ["tiny_backbones"]
