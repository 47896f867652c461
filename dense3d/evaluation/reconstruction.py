"""How well images are reconstructed, as a metric of mmengine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from dense3d.registry import METRICS


@METRICS.register_module()
class ReconstructionError(BaseMetric):
    """Mean of the ``error`` of data samples: a masked autoencoder's loss on held-out images."""

    default_prefix = "reconstruction"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the errors of a batch."""
        self.results += [float(sample["error"]) for sample in data_samples]

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        """Mean over the images."""
        return {"error": sum(results) / len(results)}
