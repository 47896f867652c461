"""Imports every module that registers a dataset or a transform; the registries load it on first use."""

from __future__ import annotations

from dense3d.datasets import coco

__all__ = ["coco"]
