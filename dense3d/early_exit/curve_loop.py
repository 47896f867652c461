"""A test loop that finds quality and cost for many trade-offs in one pass over the images.

The parent is frozen: the gate's input is kept for each image, and so is what the metric needs of the result
at every exit. A gate for another trade-off is then a linear classifier, trained in seconds, and its quality
and cost follow from a choice among what is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.runner import TestLoop
from torch import Tensor

from dense3d.early_exit.gate import Gate, gate_loss
from dense3d.early_exit.recipe import EarlyExit
from dense3d.early_exit.targets import ExitTargets
from dense3d.errors import ConfigError
from dense3d.registry import LOOPS

STEPS, RATE, DECAY = 1000, 1e-2, 1e-2  # of AdamW on all images at once


@dataclass(frozen=True)
class CurvePoint:
    """One point of the curve.

    Attributes:
        name: ``"depth k"`` for a fixed depth, ``"beta b"`` for a gate.
        depth: mean over the test images.
        gflops: mean billions of multiply-adds of an image.
        metrics: of the config's first metric, over the test images.
        counts: test images at each exit.
    """

    name: str
    depth: float
    gflops: float
    metrics: dict[str, float]
    counts: tuple[int, ...]


@LOOPS.register_module()
class ExitCurveLoop(TestLoop):
    """Points of fixed depths and of gates, in ``points``.

    Args:
        targets: file of target depths of the training images; only its qualities are used.
        betas: trade-offs, one gate each.
        train_dataset: config of the training images, loaded as for a test.
        **kwargs: of mmengine's ``TestLoop``.
    """

    def __init__(
        self, *args: Any, targets: str, betas: Sequence[float], train_dataset: dict, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.targets, self.betas, self.train_dataset = targets, tuple(betas), train_dataset
        self.points: list[CurvePoint] = []

    @torch.no_grad()
    def run(self) -> dict[str, float]:
        """Fill ``points``; there are no metrics of one result."""
        self.runner.call_hook("before_test")
        model = getattr(self.runner.model, "module", self.runner.model).eval()
        if not isinstance(model, EarlyExit) or model.costs is None:
            raise ConfigError(f"{type(model).__name__} is no model with exits and model.count_cost=True")
        targets = ExitTargets.read(self.targets)
        model.check_exits(targets, self.targets)
        loader = copy.deepcopy(self.runner.cfg.test_dataloader) | dict(dataset=self.train_dataset)
        taught = list(self._gate_inputs(model, self.runner.build_dataloader(loader)))
        test = self._test_images(model)
        for position, depth in enumerate(model.exits):
            self.points.append(self._point(f"depth {depth}", model, test, [position] * len(test)))
        for beta in self.betas:
            gate = _trained(model.gate, taught, targets.with_beta(beta), self.targets)
            chosen = gate.head(torch.stack([image.pooled for image in test])).argmax(1).tolist()
            self.points.append(self._point(f"beta {beta:g}", model, test, chosen))
        self.runner.call_hook("after_test")
        return {}

    @staticmethod
    def _gate_inputs(model: EarlyExit, loader: Any) -> Iterator[tuple[str, Tensor]]:
        """Image id and pooled coarsest map ``(C,)``."""
        for batch in loader:
            data = model.data_preprocessor(batch, False)
            pooled = model.coarsest_map(model.extract_feat(data["inputs"])).float().mean((2, 3)).cpu()
            yield from zip((str(sample.img_id) for sample in data["data_samples"]), pooled)

    def _test_images(self, model: EarlyExit) -> list[_TestImage]:
        metric, found = self.evaluator.metrics[0], []
        for batch in self.dataloader:
            data = model.data_preprocessor(batch, False)
            inputs, samples = data["inputs"], data["data_samples"]
            rows = [
                [_entry(metric, sample) for sample in results]
                for _, results in model.predict_exits(inputs, samples)
            ]  # (E, B)
            costs = [model.costs.gflops(tuple(inputs.shape[-2:]), depth) for depth in model.exits]
            pooled = model.coarsest_map(model.extract_feat(inputs)).float().mean((2, 3)).cpu()
            found += [_TestImage(p, costs, entries) for p, entries in zip(pooled, zip(*rows))]
        return found

    def _point(self, name: str, model: EarlyExit, images: list[_TestImage], chosen: list[int]) -> CurvePoint:
        entries = [image.entries[position] for image, position in zip(images, chosen)]
        number = len(images)
        return CurvePoint(
            name,
            sum(model.exits[position] for position in chosen) / number,
            sum(image.costs[position] for image, position in zip(images, chosen)) / number,
            self.evaluator.metrics[0].compute_metrics(entries),
            tuple(chosen.count(position) for position in range(len(model.exits))),
        )


@dataclass(frozen=True, eq=False)
class _TestImage:
    """The gate's input, and cost and metric's entry at each exit."""

    pooled: Tensor
    costs: list[float]
    entries: tuple


def _entry(metric: Any, sample: Any) -> Any:
    """What the metric keeps of a result."""
    metric.process(None, [sample.to_dict()])
    return metric.results.pop()


@torch.enable_grad()
def _trained(gate: Gate, taught: list[tuple[str, Tensor]], targets: ExitTargets, source: str) -> Gate:
    """A new gate that knows the target depths of the images taught."""
    inputs = torch.stack([pooled for _, pooled in taught])
    wanted = torch.tensor([targets.class_of(image, source) for image, _ in taught])
    fresh = Gate(inputs.shape[1], gate.exits)
    optimizer = torch.optim.AdamW(fresh.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        optimizer.zero_grad()
        gate_loss(fresh.head(inputs), wanted).backward()
        optimizer.step()
    return fresh
