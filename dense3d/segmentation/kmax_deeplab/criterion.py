"""Losses of kMaX-DeepLab: one matching, four terms for every prediction, and the semantic term.

MaX-DeepLab (CVPR 2021, section 3.3 and appendix), kMaX-DeepLab (ECCV 2022, section 3.3), deeplab2. Most
terms divide by the number of entries that are not zero, as the official code does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dense3d.errors import DataError
from dense3d.segmentation.kmax_deeplab.decoder import Prediction
from dense3d.segmentation.kmax_deeplab.layers import resize
from dense3d.segmentation.kmax_deeplab.matching import EPS, PanopticTargets, SegmentMatches, match

WEIGHTS = {"ce": 3.0, "mask": 0.3, "dice": 3.0, "pixel_insdis": 1.0, "aux_semantic": 1.0}
MATCHED_WEIGHT = 0.75  # of queries with a segment; 0.25 for void ones
SMOOTH = 1.0
FEATURE_TEMPERATURE = 0.3
# Added to the logit of void pixels, so that they are drawn only when nothing else is left.
VOID_PENALTY = -99999.0


def gumbel_top_k(logits: Tensor, number: int) -> Tensor:
    """Draw without replacement, with probabilities proportional to ``exp(logits)``.

    Kool et al., "Stochastic Beams and Where to Find Them", ICML 2019. Uses torch's global generator.

    Args:
        logits: ``(B, P)``.
        number: k; all P are drawn when there are fewer.

    Returns:
        ``(B, min(k, P))`` indices.

    Example:
        >>> gumbel_top_k(torch.tensor([[0.0, 200.0, -200.0]]), 2).tolist()
        [[1, 0]]
    """
    noise = -torch.log(-torch.log(torch.rand_like(logits)))
    return torch.topk(logits + noise, min(number, logits.shape[1]), dim=1).indices


def pixel_logits(inverse_area: Tensor, void: Tensor, temperature: float) -> Tensor:
    """Logits that favour pixels of small segments.

    Args:
        inverse_area: ``(B, P)``, pixels of the image over pixels of the pixel's segment.
        void: ``(B, P)``.
        temperature: 0 for uniform sampling; the larger, the stronger small segments are favoured.

    Example:
        >>> pixel_logits(torch.tensor([[1.0, 4.0]]), torch.tensor([[False, False]]), 0.5).exp()
        tensor([[1., 2.]])
    """
    return temperature * inverse_area.log() + VOID_PENALTY * void


def mean_of_nonzero(loss: Tensor) -> Tensor:
    """Mean over the images of each image's mean over its entries that are not zero.

    Example:
        >>> mean_of_nonzero(torch.tensor([[0.0, 2.0, 4.0], [0.0, 0.0, 0.0]]))
        tensor(1.5000)
    """
    return (loss.sum(1) / (loss != 0).sum(1).clamp(min=1)).mean()


def sum_by_image(values: Tensor, matches: SegmentMatches) -> Tensor:
    """Sums over the pairs of each image: ``(M, ...)`` to ``(B, ...)``."""
    return values.new_zeros(len(matches.void), *values.shape[1:]).index_add(0, matches.image, values)


@torch.no_grad()
def class_weights(masks: Tensor, matches: SegmentMatches, least: float = EPS) -> Tensor:
    """What the class loss of each query is weighted with, ``(B, N)``.

    Matched queries have the dice with their segment, others the share of their mask that lies in the void, so
    that a query whose mask lies on a segment is not pushed to void.

    Args:
        masks: ``(B, N, P)`` logits.
        matches: of these queries.
        least: smaller weights become this.
    """
    shares = masks.softmax(1)
    void = matches.void.to(shares.dtype)
    weights = (shares @ void[..., None]).squeeze(-1) / (shares.sum(-1) + EPS)
    weights[matches.image, matches.query] = matches.dice
    return weights.clamp(min=least)


def class_loss(logits: Tensor, weights: Tensor, matches: SegmentMatches) -> Tensor:
    """Cross-entropy with void as the target of unmatched queries, weighted by the quality of the masks.

    Args:
        logits: ``(B, N, K + 1)``.
        weights: ``(B, N)`` of :func:`class_weights`.
        matches: M pairs.
    """
    target = torch.full(logits.shape[:2], logits.shape[2] - 1, device=logits.device)
    balance = torch.full_like(weights, 1 - MATCHED_WEIGHT)
    target[matches.image, matches.query] = matches.labels
    balance[matches.image, matches.query] = MATCHED_WEIGHT
    loss = F.cross_entropy(logits.transpose(1, 2), target, reduction="none")  # (B, N)
    return mean_of_nonzero(loss * balance * weights)


def mask_losses(masks: Tensor, matches: SegmentMatches, least: float = EPS) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the mask's id at each pixel, and dice of the masks weighted by the class.

    The softmax over the queries is evaluated for matched queries alone: all other shares are needed only
    through its denominator.

    Args:
        masks: ``(B, N, P)`` logits over the queries.
        matches: M pairs.
        least: smaller class probabilities weight the dice with this.
    """
    normaliser = masks.logsumexp(1)  # (B, P)
    matched = masks[matches.image, matches.query]  # (M, P)
    chosen = sum_by_image(matched * matches.masks, matches)
    mask_id = mean_of_nonzero((normaliser - chosen).masked_fill(matches.void, 0))
    shares = (matched - normaliser[matches.image]).exp().masked_fill(matches.void[matches.image], 0)
    overlap = (shares * matches.masks).sum(1)
    dice = 1 - (2 * overlap + SMOOTH) / (shares.sum(1) + matches.masks.sum(1) + SMOOTH)  # (M,)
    per_image = sum_by_image(dice * matches.probability.clamp(min=least), matches)
    return mask_id, (per_image * MATCHED_WEIGHT / masks.shape[1]).mean()


def discrimination_loss(features: Tensor, matches: SegmentMatches, pixels: Tensor) -> Tensor:
    """Features of sampled pixels are alike within a segment and differ between segments.

    A contrastive loss: for each pixel the cross-entropy between its similarities with all sampled pixels and
    a uniform distribution over those of its segment.

    Args:
        features: ``(B, C, P)``.
        matches: M pairs.
        pixels: ``(B, k)`` indices of the sampled pixels.
    """
    sampled = features.gather(2, pixels[:, None].expand(-1, features.shape[1], -1)).transpose(1, 2)
    losses = [
        _discrimination(sampled[i], matches.masks[matches.image == i][:, pixels[i]])
        for i in range(len(sampled))
    ]
    return mean_of_nonzero(torch.stack(losses))


def _discrimination(features: Tensor, shares: Tensor) -> Tensor:
    """Loss ``(k,)`` of one image's features ``(k, C)`` and shares ``(m, k)`` of its segments.

    With s_n(j) pixel j's share of segment n, the target of i for j is the sum of s_n(i) s_n(j), normalised
    over i. The mean similarity under it needs only one sum of features a segment, not the k x k targets.
    """
    total = shares.t() @ shares.sum(1)  # (k,)
    norm = total.clamp(min=1)
    attracted = shares.t() @ (shares @ features)  # (k, C)
    similarity = (features * attracted).sum(1) / (FEATURE_TEMPERATURE * norm)
    # The k x k similarities are computed again in the backward pass rather than kept for every layer.
    partition = checkpoint(_log_partition, features, use_reentrant=False)
    return partition * (total / norm) - similarity


def _log_partition(features: Tensor) -> Tensor:
    return (features @ features.t() / FEATURE_TEMPERATURE).logsumexp(1)


def semantic_loss(logits: Tensor, semantic: Tensor, pixels: Tensor | None, num_classes: int) -> Tensor:
    """Cross-entropy at sampled pixels.

    Args:
        logits: ``(B, K or K + 1, P)``.
        semantic: ``(B, P)`` classes, ``num_classes`` where there is none.
        pixels: ``(B, k)`` indices; None for all pixels.
        num_classes: K.
    """
    if pixels is not None:
        logits = logits.gather(2, pixels[:, None].expand(-1, logits.shape[1], -1))
        semantic = semantic.gather(1, pixels)
    loss = F.cross_entropy(logits, semantic, ignore_index=num_classes, reduction="none")
    return mean_of_nonzero(loss)


def prediction_losses(
    prediction: Prediction, weights: Tensor, matches: SegmentMatches, pixels: Tensor, least: float = EPS
) -> dict[str, Tensor]:
    """The four terms of one prediction: ``ce``, ``mask``, ``dice``, ``pixel_insdis``."""
    mask_id, dice = mask_losses(prediction.masks.flatten(2), matches, least)
    return {
        "ce": class_loss(prediction.logits, weights, matches),
        "mask": mask_id,
        "dice": dice,
        "pixel_insdis": discrimination_loss(prediction.pixels.flatten(2), matches, pixels),
    }


class KMaXCriterion:
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
        self, predictions: Sequence[Prediction], semantic: Tensor | None, targets: PanopticTargets
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
        self, predictions: Sequence[Prediction], semantic: Tensor | None, targets: PanopticTargets
    ) -> dict[str, Tensor]:
        """Unweighted terms, in single precision; arguments as for calling."""
        with torch.autocast(predictions[-1].masks.device.type, enabled=False):
            *earlier, final = (_resized(p, predictions[-1].masks.shape[-2:]) for p in predictions)
            matches, weights = self._match(final, targets)
            terms = self._of(final, matches, weights)
            if semantic is not None:
                terms["aux_semantic"] = self._semantic(semantic.float(), matches, targets.semantic)
            for i, prediction in enumerate(earlier):
                if not self.share_final_matching:
                    matches, weights = self._match(prediction, targets)
                terms |= {
                    f"{name}_{i}": loss for name, loss in self._of(prediction, matches, weights).items()
                }
            return terms

    def _match(self, prediction: Prediction, targets: PanopticTargets) -> tuple[SegmentMatches, Tensor]:
        matches = match(prediction, targets)
        return matches, class_weights(prediction.masks.flatten(2), matches, self.least_weight)

    def _of(self, prediction: Prediction, matches: SegmentMatches, weights: Tensor) -> dict[str, Tensor]:
        logits = pixel_logits(inverse_areas(matches), matches.void, self.discrimination_temperature)
        pixels = self.sample(logits, self.discrimination_pixels)
        return prediction_losses(prediction, weights, matches, pixels, self.least_weight)

    def _semantic(self, logits: Tensor, matches: SegmentMatches, semantic: Tensor) -> Tensor:
        size = semantic.shape[-2:]
        maps = (semantic, matches.void.unflatten(1, size), inverse_areas(matches).unflatten(1, size))
        semantic, void, inverse = (subsample(m, logits.shape[-2:]).flatten(1) for m in maps)
        pixels = None
        if self.semantic_pixels:
            weights = pixel_logits(inverse, void, self.semantic_temperature)
            pixels = self.sample(weights, self.semantic_pixels)
        return semantic_loss(logits.flatten(2), semantic, pixels, self.num_classes)


def inverse_areas(matches: SegmentMatches) -> Tensor:
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
