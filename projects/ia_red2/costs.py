"""Multiply-adds of an image from the tokens that each group of blocks keeps, and their mean as a metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor, nn

from dense3d.backbones.plain import PlainBackbone
from dense3d.backbones.token_groups import TokenGroups
from dense3d.early_exit.cost import count_gflops
from dense3d.errors import ConfigError, DataError
from dense3d.registry import METRICS


@dataclass(frozen=True)
class ReductionCost:
    """Billions of multiply-adds of a network as a function of its kept tokens.

    A block of n tokens costs ``a n + b n ** 2``: its linear layers, and its attention. What is counted is one
    image computed by itself, not the filling of a batch up to its longest sequence.

    Attributes:
        tokens: P + N, of the whole image.
        outside: embedding and head.
        interpreter: one of them, on all tokens.
        linear, square: a and b of the sum of each group's blocks.
    """

    tokens: int
    outside: float
    interpreter: float
    linear: tuple[float, ...]
    square: tuple[float, ...]

    def full(self) -> float:
        """Of the network without interpreters, which keeps all tokens."""
        return self.outside + sum(self._groups([self.tokens] * len(self.linear)))

    def reduced(self, counts: Sequence[int]) -> float:
        """Of an image of which the first groups keep ``counts`` tokens; later ones keep the last of these."""
        counts = list(counts)
        rest = [counts[-1] if counts else self.tokens] * (len(self.linear) - len(counts))
        return self.outside + len(counts) * self.interpreter + sum(self._groups(counts + rest))

    def _groups(self, counts: Sequence[int]) -> list[float]:
        return [a * n + b * n * n for a, b, n in zip(self.linear, self.square, counts)]


@torch.no_grad()
def measure(vit: PlainBackbone, groups: TokenGroups, head: nn.Module, images: Tensor) -> ReductionCost:
    """Count the parts of a network once, operator by operator.

    Args:
        vit, groups, head: the network; in evaluation mode.
        images: ``(B, 3, H, W)``, of the size to count for.
    """
    image = vit.pad(images[:1])
    tokens, _ = vit.embed(image)
    outside = count_gflops(lambda: vit.embed(image)) + count_gflops(lambda: head(tokens))
    linear, square, start = [], [], 0
    for size in groups.group_sizes:
        blocks = vit.blocks[start : start + size]
        one, two = (_of_blocks(blocks, tokens[:, :count]) for count in (1, 2))
        square.append((two - 2 * one) / 2)
        linear.append(one - square[-1])
        start += size
    interpreter = count_gflops(lambda: groups[0](tokens))
    return ReductionCost(tokens.shape[1], outside, interpreter, tuple(linear), tuple(square))


def _of_blocks(blocks: nn.ModuleList, tokens: Tensor) -> float:
    return sum(count_gflops(lambda block=block: block(tokens)) for block in blocks)


@METRICS.register_module()
class TokenCost(BaseMetric):
    """What images cost on average beside the network that keeps all tokens.

    ``MFLOPs``, millions of multiply-adds of an image, interpreters included; ``full_MFLOPs``, without
    reduction; ``cost``, their ratio in percent; ``kept_1``, ``kept_2`` ...: patches that each group keeps, in
    percent of all. The model puts them into its predictions.

    Args:
        collect_device, prefix: see mmengine's ``BaseMetric``.

    Raises:
        ConfigError: the predictions are of another model.
    """

    default_prefix = "tokens"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take cost and kept patches of each image."""
        for sample in data_samples:
            if "kept_shares" not in sample:
                raise ConfigError("TokenCost is of a TokenReducingClassifier")
            self.results.append((sample["gflops"], sample["full_gflops"], sample["kept_shares"]))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Means over all images."""
        if not results:
            raise DataError("there is no image to evaluate: the data set is empty")
        reduced, full, shares = zip(*results)
        cost, whole = sum(reduced) / len(reduced), sum(full) / len(full)
        metrics = {"MFLOPs": 1e3 * cost, "full_MFLOPs": 1e3 * whole, "cost": 100 * cost / whole}
        means = [100 * sum(column) / len(column) for column in zip(*shares)]
        return metrics | {f"kept_{number}": mean for number, mean in enumerate(means, start=1)}
