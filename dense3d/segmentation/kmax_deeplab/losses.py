"""Loss terms of kMaX-DeepLab, unweighted; one number a batch each.

MaX-DeepLab (CVPR 2021, section 3.3 and appendix), kMaX-DeepLab (ECCV 2022, section 3.3), deeplab2. Most
terms divide by the number of entries that are not zero, as the official code does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dense3d.segmentation.kmax_deeplab.matching import EPS, Matches
from dense3d.segmentation.kmax_deeplab.predictor import Prediction

MATCHED_WEIGHT = 0.75  # of queries with a segment; 0.25 for void ones
SMOOTH = 1.0
FEATURE_TEMPERATURE = 0.3


def mean_of_nonzero(loss: Tensor) -> Tensor:
    """Mean over the images of each image's mean over its entries that are not zero.

    Example:
        >>> mean_of_nonzero(torch.tensor([[0.0, 2.0, 4.0], [0.0, 0.0, 0.0]]))
        tensor(1.5000)
    """
    return (loss.sum(1) / (loss != 0).sum(1).clamp(min=1)).mean()


def sum_by_image(values: Tensor, matches: Matches) -> Tensor:
    """Sums over the pairs of each image: ``(M, ...)`` to ``(B, ...)``."""
    return values.new_zeros(len(matches.void), *values.shape[1:]).index_add(0, matches.image, values)


@torch.no_grad()
def class_weights(masks: Tensor, matches: Matches, least: float = EPS) -> Tensor:
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


def class_loss(logits: Tensor, weights: Tensor, matches: Matches) -> Tensor:
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


def mask_losses(masks: Tensor, matches: Matches, least: float = EPS) -> tuple[Tensor, Tensor]:
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


def discrimination_loss(features: Tensor, matches: Matches, pixels: Tensor) -> Tensor:
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
    prediction: Prediction, weights: Tensor, matches: Matches, pixels: Tensor, least: float = EPS
) -> dict[str, Tensor]:
    """The four terms of one prediction: ``ce``, ``mask``, ``dice``, ``pixel_insdis``."""
    mask_id, dice = mask_losses(prediction.masks.flatten(2), matches, least)
    return {
        "ce": class_loss(prediction.logits, weights, matches),
        "mask": mask_id,
        "dice": dice,
        "pixel_insdis": discrimination_loss(prediction.pixels.flatten(2), matches, pixels),
    }
