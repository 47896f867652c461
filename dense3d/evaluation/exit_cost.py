"""What the depths that a model with early exit chooses cost, next to the quality of its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from dense3d.errors import ConfigError
from dense3d.registry import METRICS


@METRICS.register_module()
class ExitCostMetric(BaseMetric):
    """Mean depth and mean billions of multiply-adds of an image: ``cost/depth`` and ``cost/GFLOPs``.

    The model puts both into its results (``exit_depth``, ``gflops``) if it is built with ``count_cost=True``.

    Args:
        **kwargs: ``collect_device``, ``prefix`` of mmengine's ``BaseMetric``.

    Raises:
        ConfigError: the results do not hold them.
    """

    default_prefix = "cost"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take depth and cost of each image."""
        for sample in data_samples:
            if "gflops" not in sample:
                raise ConfigError("ExitCostMetric needs a model with exits and model.count_cost=True")
            self.results.append((sample["exit_depth"], sample["gflops"]))

    def compute_metrics(self, results: list[tuple[int, float]]) -> dict[str, float]:
        """Means over all images; the log also gets the number of images at each depth."""
        depths, costs = zip(*results)
        shares = ", ".join(f"{depth}: {count}" for depth, count in sorted(Counter(depths).items()))
        MMLogger.get_current_instance().info(f"images by encoder depth: {shares}")
        return {"depth": sum(depths) / len(depths), "GFLOPs": sum(costs) / len(costs)}
