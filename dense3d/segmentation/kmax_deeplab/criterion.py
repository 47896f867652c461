"""All losses of kMaX-DeepLab: one matching, four terms for every prediction, and the semantic term."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dense3d.errors import DataError
from dense3d.segmentation.kmax_deeplab.layers import resize
from dense3d.segmentation.kmax_deeplab.losses import class_weights, prediction_losses, semantic_loss
from dense3d.segmentation.kmax_deeplab.matching import EPS, Matches, Targets, match
from dense3d.segmentation.kmax_deeplab.predictor import Prediction
from dense3d.segmentation.kmax_deeplab.sampling import gumbel_top_k, pixel_logits

WEIGHTS = {"ce": 3.0, "mask": 0.3, "dice": 3.0, "pixel_insdis": 1.0, "aux_semantic": 1.0}


class Criterion:
    """Matching and losses.

    Args:
        num_classes: K, without void.
        weights: of the terms that differ from :data:`WEIGHTS`.
        share_final_matching: earlier predictions have the pairs and weights of the final one; otherwise each
            is matched by itself.
        discrimination_pixels: pixels sampled for the discrimination of instances.
        discrimination_temperature: how strongly pixels of small segments are favoured there.
        semantic_pixels: pixels sampled for the semantic loss; 0 for all.
        semantic_temperature: as ``discrimination_temperature``.
        least_weight: of the class and dice losses of a query.
        sample: draws pixels; called for the final prediction's discrimination, then the semantic loss, then
            each earlier prediction.
    """

    def __init__(
        self,
        num_classes: int,
        weights: dict[str, float] | None = None,
        share_final_matching: bool = True,
        discrimination_pixels: int = 4096,
        discrimination_temperature: float = 1.5,
        semantic_pixels: int = 4096,
        semantic_temperature: float = 2.0,
        least_weight: float = EPS,
        sample: Callable[[Tensor, int], Tensor] = gumbel_top_k,
    ) -> None:
        self.num_classes = num_classes
        self.weights = WEIGHTS | (weights or {})
        self.share_final_matching = share_final_matching
        self.discrimination_pixels = discrimination_pixels
        self.discrimination_temperature = discrimination_temperature
        self.semantic_pixels = semantic_pixels
        self.semantic_temperature = semantic_temperature
        self.least_weight = least_weight
        self.sample = sample

    def __call__(
        self, predictions: Sequence[Prediction], semantic: Tensor | None, targets: Targets
    ) -> dict[str, Tensor]:
        """Weighted losses, ``loss_<term>`` of the final prediction and ``loss_<term>_<i>`` of earlier ones.

        Args:
            predictions: of the decoder layers in turn, then the final one.
            semantic: logits ``(B, K or K + 1, h, w)`` of the auxiliary semantic head.
            targets: at the size of the final masks.
        """
        terms = self.terms(predictions, semantic, targets)
        return {f"loss_{name}": loss * self.weights[_kind(name)] for name, loss in terms.items()}

    def terms(
        self, predictions: Sequence[Prediction], semantic: Tensor | None, targets: Targets
    ) -> dict[str, Tensor]:
        """Unweighted terms, in single precision; arguments as for calling."""
        with torch.autocast(predictions[-1].masks.device.type, enabled=False):
            return self._terms(predictions, semantic, targets)

    def _terms(
        self, predictions: Sequence[Prediction], semantic: Tensor | None, targets: Targets
    ) -> dict[str, Tensor]:
        *earlier, final = (_resized(p, predictions[-1].masks.shape[-2:]) for p in predictions)
        matches, weights = self._match(final, targets)
        terms = self._of(final, matches, weights)
        if semantic is not None:
            terms["aux_semantic"] = self._semantic(semantic.float(), matches, targets.semantic)
        for i, prediction in enumerate(earlier):
            if not self.share_final_matching:
                matches, weights = self._match(prediction, targets)
            terms |= {f"{name}_{i}": loss for name, loss in self._of(prediction, matches, weights).items()}
        return terms

    def _match(self, prediction: Prediction, targets: Targets) -> tuple[Matches, Tensor]:
        matches = match(prediction, targets)
        return matches, class_weights(prediction.masks.flatten(2), matches, self.least_weight)

    def _of(self, prediction: Prediction, matches: Matches, weights: Tensor) -> dict[str, Tensor]:
        logits = pixel_logits(inverse_areas(matches), matches.void, self.discrimination_temperature)
        pixels = self.sample(logits, self.discrimination_pixels)
        return prediction_losses(prediction, weights, matches, pixels, self.least_weight)

    def _semantic(self, logits: Tensor, matches: Matches, semantic: Tensor) -> Tensor:
        size = semantic.shape[-2:]
        maps = (semantic, matches.void.unflatten(1, size), inverse_areas(matches).unflatten(1, size))
        semantic, void, inverse = (subsample(m, logits.shape[-2:]).flatten(1) for m in maps)
        pixels = None
        if self.semantic_pixels:
            weights = pixel_logits(inverse, void, self.semantic_temperature)
            pixels = self.sample(weights, self.semantic_pixels)
        return semantic_loss(logits.flatten(2), semantic, pixels, self.num_classes)


def inverse_areas(matches: Matches) -> Tensor:
    """Pixels of the image over those of each pixel's segment, ``(B, P)``; in the void as if it had one."""
    area = matches.masks.sum(1, keepdim=True)  # (M, 1)
    own = torch.zeros_like(matches.void, dtype=area.dtype)
    own = own.index_add(0, matches.image, matches.masks * area)
    return own.shape[1] / own.clamp(min=1)


def _resized(prediction: Prediction, size: tuple[int, int]) -> Prediction:
    """The prediction in single precision at ``size``, whose height decides on the alignment of corners."""
    masks, pixels = (
        t.float() if t.shape[-2:] == size else resize(t.float(), size, odd=size[0])
        for t in (prediction.masks, prediction.pixels)
    )
    return Prediction(prediction.logits.float(), masks, pixels)


def subsample(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Every s-th row and column of ``(..., H, W)``, s a power of 2 for each axis, so that ``size`` remain.

    Raises:
        DataError: no such strides give ``size``.

    Example:
        >>> subsample(torch.arange(9).view(1, 9), (1, 3)).tolist()
        [[0, 4, 8]]
    """
    strides = []
    for whole, wanted in zip(x.shape[-2:], size):
        stride = next((2**i for i in range(whole.bit_length() + 1) if -(-whole // 2**i) == wanted), None)
        if stride is None:
            raise DataError(f"no stride takes annotations of {tuple(x.shape[-2:])} pixels to {tuple(size)}")
        strides.append(stride)
    return x[..., :: strides[0], :: strides[1]]


def _kind(name: str) -> str:
    """``ce_3`` -> ``ce``."""
    head, _, tail = name.rpartition("_")
    return head if tail.isdigit() else name
