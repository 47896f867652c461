"""Golden checks of Mask2Former's matching, point sampling and losses, with recorded random numbers."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d.segmentation.mask2former import (
    WEIGHTS,
    Draw,
    HungarianMatcher,
    Mask2FormerCriterion,
    uncertain_points,
)
from tests.golden import UnknownCheckError

Arrays = dict[str, np.ndarray]


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """Criterion of the kit's ``config``; there are no weights."""
    first = kit.inputs(kit.checks[0]["name"])

    def run(check: dict, inputs: Arrays) -> Arrays:
        tensors = {name: torch.from_numpy(value.copy()) for name, value in (first | inputs).items()}
        found = _Losses(kit.meta["config"], tensors).outputs()
        unknown = sorted(set(check["outputs"]) - set(found))
        if unknown:
            raise UnknownCheckError(f"there is no rule for {unknown[0]!r} of the check {check['name']!r}")
        return {name: found[name].detach().numpy() for name in check["outputs"]}

    return run


def _recorded(*values: Tensor) -> Draw:
    """A source that hands out the values in turn."""
    queue = iter(values)
    return lambda _shape, _device: next(queue)


class _Losses:
    """Predictions (``pred_*``, and ``aux_pred_*`` of an earlier layer), targets and points of a kit."""

    def __init__(self, config: dict, tensors: dict[str, Tensor]) -> None:
        self.config, self.tensors = config, tensors
        images = range(sum(re.fullmatch(r"labels_\d+", name) is not None for name in tensors))
        self.labels = [tensors[f"labels_{i}"] for i in images]
        self.segments = [tensors[f"masks_{i}"] for i in images]
        self.leaves = {n: t.requires_grad_() for n, t in tensors.items() if re.match(r"(aux_)?pred_", n)}
        self.prefixes = ["", "aux_"] if "aux_pred_masks" in tensors else [""]

    def outputs(self) -> dict[str, Tensor]:
        """Costs, pairs and points of each prediction, the terms, their sum and its gradients."""
        names = [f"{p}{kind}" for p in self.prefixes for kind in ("over_points", "random_points")]
        criterion = Mask2FormerCriterion(
            self.config["num_classes"],
            num_points=self.config["num_points"],
            oversample=self.config["oversample_ratio"],
            importance=self.config["importance_sample_ratio"],
            draw=_recorded(self.tensors["match_points"], *(self.tensors[name] for name in names)),
        )
        logits, masks = (
            [self.tensors[f"{p}{kind}"] for p in reversed(self.prefixes)]
            for kind in ("pred_logits", "pred_masks")
        )
        terms = criterion.terms(logits, masks, self.labels, self.segments)
        total = sum(WEIGHTS[name.split("_")[0]] * term for name, term in terms.items())
        gradients = torch.autograd.grad(total, list(self.leaves.values()))
        found = {f"loss_{name}": term[None] for name, term in terms.items()} | {"total": total[None]}
        found |= {f"grad_{name}": gradient for name, gradient in zip(self.leaves, gradients)}
        return found | self._matching()

    def _matching(self) -> dict[str, Tensor]:
        logits, masks = (
            torch.stack([self.tensors[f"{p}{kind}"] for p in self.prefixes])
            for kind in ("pred_logits", "pred_masks")
        )
        arguments = (logits.detach(), masks.detach(), self.labels, self.segments)
        matcher = HungarianMatcher(
            self.config["num_points"], draw=lambda _shape, _device: self.tensors["match_points"]
        )
        found = {}
        for image, costs in enumerate(matcher.costs(*arguments)):
            found |= {f"cost_{n}_{image}": cost[0] for n, cost in zip(("class", "mask", "dice"), costs)}
        for layer, (prefix, match) in enumerate(zip(self.prefixes, matcher(*arguments))):
            for image in range(len(self.labels)):
                here = match.image == image
                found[f"{prefix}src_{image}"] = match.query[here]
                found[f"{prefix}tgt_{image}"] = match.target[here]
            recorded = (self.tensors[f"{prefix}{kind}"] for kind in ("over_points", "random_points"))
            found[f"{prefix}coords"] = uncertain_points(
                masks[layer][match.image, match.query].detach(),
                self.config["num_points"],
                self.config["oversample_ratio"],
                self.config["importance_sample_ratio"],
                _recorded(*recorded),
            )
        return found
