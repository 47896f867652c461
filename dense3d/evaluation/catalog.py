"""Imports every module that registers a metric; the registry loads it on first use."""

from __future__ import annotations

from dense3d.evaluation import exit_cost, reconstruction
from dense3d.evaluation.kitti import metric
from dense3d.evaluation.panoptic import metric as panoptic_metric

__all__ = ["exit_cost", "metric", "panoptic_metric", "reconstruction"]
