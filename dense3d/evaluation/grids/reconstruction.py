"""How well grids are reconstructed: errors of colour where something is, of opacity where it was hidden."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from dense3d.errors import DataError
from dense3d.registry import METRICS

FIELDS = ("mse", "psnr", "alpha_mse")


@METRICS.register_module()
class GridReconstruction(BaseMetric):
    """Means over grids of what a model reports of each of its reconstructions.

    ``mse`` and ``psnr`` (decibels) of colours on occupied voxels, as the official evaluation gives them with
    a batch of one; ``alpha_mse`` of opacity on hidden voxels, of pre-training alone. A grid without such
    voxels does not count, and ``grids`` says how many did.

    Args:
        collect_device, prefix: see mmengine's ``BaseMetric``.

    Raises:
        DataError: no grid has a figure.

    Example:
        >>> import torch
        >>> metric = GridReconstruction()
        >>> metric.process(None, [dict(mse=torch.tensor(0.01), psnr=torch.tensor(20.0))])
        >>> metric.compute_metrics(metric.results)["psnr"]
        20.0
    """

    default_prefix = "grid"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the figures of a batch."""
        for sample in data_samples:
            if "mse" not in sample:
                raise DataError(
                    f"{sample.get('sample_id', 'a grid')} has no reconstruction error: the metric "
                    "GridReconstruction is of pre-training, and of super-resolution with finer grids"
                )
            self.results.append([float(sample[name]) if name in sample else math.nan for name in FIELDS])

    def compute_metrics(self, results: list[list[float]]) -> dict[str, float]:
        """Means over grids."""
        figures = np.array(results, dtype=np.float64).reshape(-1, len(FIELDS))
        counted = np.isfinite(figures)
        if not counted[:, 0].any():
            raise DataError("there is no grid to evaluate: the data set is empty, or nothing is in its grids")
        means = {
            name: float(figures[counted[:, column], column].mean())
            for column, name in enumerate(FIELDS)
            if counted[:, column].any()
        }
        return {**means, "grids": int(counted[:, 0].sum())}
