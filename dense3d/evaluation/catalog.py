"""Imports every module that registers a metric; the registry loads it on first use."""

from __future__ import annotations

from dense3d.evaluation.kitti import metric

__all__ = ["metric"]
