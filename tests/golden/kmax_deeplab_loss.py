"""Golden checks of kMaX-DeepLab's matching and losses."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d.segmentation.kmax_deeplab import (
    WEIGHTS,
    KMaXCriterion,
    Matches,
    Prediction,
    Targets,
    class_weights,
    inverse_areas,
    match,
)
from tests.golden import UnknownCheckError

Arrays = dict[str, np.ndarray]
PREDICTED = ("pred_logits", "pred_masks", "pixel_feature")


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


class _Losses:
    """Predictions (``pred_*``, and ``aux_*`` of earlier layers), targets and sampled pixels of a kit."""

    def __init__(self, config: dict, tensors: dict[str, Tensor]) -> None:
        self.config, self.tensors = config, tensors
        self.leaves = {
            name: tensor.requires_grad_() for name, tensor in tensors.items() if tensor.is_floating_point()
        }
        layers = ["aux_"] if "aux_pred_masks" in tensors else []
        predictions = [
            Prediction(*(tensors[f"{layer}{name}"] for name in PREDICTED)) for layer in [*layers, ""]
        ]
        self.predictions = predictions
        self.targets = _targets(tensors, config["num_classes"])

    def criterion(self) -> KMaXCriterion:
        """The criterion, which draws the recorded pixels in the order of the official code."""
        names = ["insdis_indices"]
        if self.config["aux_semantic_sample_k"] and "aux_semantic_pred" in self.tensors:
            names.append("aux_semantic_indices")
        names += [f"insdis_indices_{i}" for i in range(len(self.predictions) - 1)]
        recorded = iter([self.tensors[name] for name in names])
        return KMaXCriterion(
            self.config["num_classes"],
            share_final_matching=self.config["share_final_matching"],
            discrimination_pixels=self.config["pixel_insdis_sample_k"],
            discrimination_temperature=self.config["pixel_insdis_temperature"],
            semantic_pixels=self.config["aux_semantic_sample_k"],
            semantic_temperature=self.config["aux_semantic_temperature"],
            least_weight=self.config["eos_coef"],
            sample=lambda _logits, _number: next(recorded),
        )

    def outputs(self) -> dict[str, Tensor]:
        """The matching, the terms, their weighted sum and its gradients."""
        matches = match(self.predictions[-1], self.targets)
        found = self._matching(matches)
        semantic = self.tensors.get("aux_semantic_pred")
        terms = self.criterion().terms(self.predictions, semantic, self.targets)
        total = sum(WEIGHTS[re.sub(r"_\d+$", "", name)] * term for name, term in terms.items())
        found |= {f"loss_{name}": term[None] for name, term in terms.items()} | {"total": total[None]}
        gradients = torch.autograd.grad(total, list(self.leaves.values()), allow_unused=True)
        return found | {f"grad_{n}": g for n, g in zip(self.leaves, gradients) if g is not None}

    def _matching(self, matches: Matches) -> dict[str, Tensor]:
        final = self.predictions[-1]
        size = final.masks.shape[-2:]
        classes = torch.full(final.logits.shape[:2], self.config["num_classes"])
        classes[matches.image, matches.query] = matches.labels
        weights = torch.zeros(final.logits.shape[:2])
        weights[matches.image, matches.query] = matches.probability.clamp(min=self.config["eos_coef"])
        found = {
            "target_classes": classes,
            "pq_loss_mask_weight": weights,
            "pq_loss_class_weight": class_weights(final.masks.flatten(2), matches, self.config["eos_coef"]),
            "pixel_gt_void_mask": matches.void.unflatten(1, size).byte(),
            "inverse_gt_mask_area": inverse_areas(matches).unflatten(1, size),
        }
        for image in range(len(final.logits)):
            here = matches.image == image
            found |= {f"src_{image}": matches.query[here], f"tgt_{image}": matches.target[here]}
            found |= {f"mask_dice_{image}": matches.dice[here]}
            found |= {f"class_prob_{image}": matches.probability[here]}
        return found


def _targets(tensors: dict[str, Tensor], num_classes: int) -> Targets:
    images = range(sum(re.fullmatch(r"labels_\d+", name) is not None for name in tensors))
    semantic = torch.stack([tensors[f"semantic_{i}"] for i in images])
    return Targets(
        [tensors[f"labels_{i}"] for i in images],
        [tensors[f"masks_{i}"] for i in images],
        semantic.masked_fill(semantic < 0, num_classes),
    )
