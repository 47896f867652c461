"""How well images are reconstructed, as a metric of mmengine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from dense3d.errors import DataError
from dense3d.registry import METRICS


@METRICS.register_module()
class ReconstructionError(BaseMetric):
    """Mean of the ``error`` of data samples: a masked autoencoder's loss on held-out images.

    Samples that have none, as photographs without any depth to compare at, are left out and counted.

    Raises:
        DataError: none has one.
    """

    default_prefix = "reconstruction"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the errors of a batch."""
        errors = (sample.get("error") for sample in data_samples)
        self.results += [None if error is None else float(error) for error in errors]

    def compute_metrics(self, results: list[float | None]) -> dict[str, float]:
        """Mean over the images."""
        known = [error for error in results if error is not None]
        if not known:
            raise DataError("no sample has an error to average: nothing could be compared in any of them")
        left_out = len(results) - len(known)
        if left_out:
            MMLogger.get_current_instance().warning(
                f"{left_out} of {len(results)} samples have nothing to be compared at, and are left out"
            )
        counted = {"left_out": left_out} if left_out else {}
        return {"error": sum(known) / len(known), **counted}
