"""Retrieval by features: which images of a gallery are most like each query.

Radenović et al., "Revisiting Oxford and Paris", CVPR 2018, whose average precision takes the mean of the
precision before and at each positive; Goldblum et al., "Battle of the Backbones", NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import DataError

QUERY_SHARE = 0.2  # of each class's images, in the order of their names


@dataclass(frozen=True)
class RetrievalScore:
    """Figures over all queries, 0 .. 1.

    Attributes:
        mean_average_precision: over the queries that have a positive.
        reciprocal_rank: mean of one over the place of the first positive, before junk is taken out; queries
            without a positive count 0.
        precision, recall: at each of the numbers ``ks``, over the queries that have a positive; precision at
            k looks no further than the last positive.
    """

    mean_average_precision: float
    reciprocal_rank: float
    precision: tuple[float, ...]
    recall: tuple[float, ...]


def retrieval_score(
    queries: Tensor,
    gallery: Tensor,
    positive: np.ndarray,
    junk: np.ndarray | None = None,
    ks: Sequence[int] = (1, 5, 10),
) -> RetrievalScore:
    """Rank a gallery by cosine similarity for each query and score the ranking.

    Args:
        queries: ``(Q, D)`` features.
        gallery: ``(V, D)`` features.
        positive: ``(Q, V)``, whether an image of the gallery is what the query asks for.
        junk: ``(Q, V)``, images that count neither way; none if not given.
        ks: numbers of best images that precision and recall look at.

    Raises:
        DataError: shapes do not fit, or no query has a positive.

    Example:
        >>> import torch
        >>> score = retrieval_score(torch.eye(2), torch.eye(2), np.eye(2, dtype=bool), ks=(1,))
        >>> score.mean_average_precision, score.precision
        (1.0, (1.0,))
    """
    positive = np.asarray(positive, dtype=bool)
    if positive.shape != (len(queries), len(gallery)):
        raise DataError(
            f"positive is {positive.shape}, but there are {len(queries)} queries and {len(gallery)} images"
        )
    if not positive.any():
        raise DataError("no query has a positive image in the gallery: nothing can be retrieved")
    similarity = F.normalize(queries.float(), dim=1) @ F.normalize(gallery.float(), dim=1).T  # (Q, V)
    order = np.argsort(-similarity.cpu().numpy(), axis=1, kind="stable")
    hit = np.take_along_axis(positive, order, axis=1)
    left_out = np.zeros_like(hit)
    if junk is not None:
        left_out = np.take_along_axis(np.asarray(junk, dtype=bool), order, axis=1) & ~hit
    first = np.where(hit.any(axis=1), 1.0 / (hit.argmax(axis=1) + 1), 0.0)
    place = np.cumsum(~left_out, axis=1)  # (Q, V), from 1, among what counts
    asked = hit.any(axis=1)
    hit, place = hit[asked], place[asked]
    number, count = np.cumsum(hit, axis=1), hit.sum(axis=1)  # positives so far, and of all
    last = np.where(hit, place, 0).max(axis=1)
    within = [
        [hit & (place <= limit[:, None]) for limit in (np.minimum(last, k), np.full_like(last, k))]
        for k in ks
    ]
    precisions = [(near.sum(axis=1) / np.minimum(last, k)).mean() for k, (near, _) in zip(ks, within)]
    recalls = [(near.sum(axis=1) / count).mean() for _, near in within]
    return RetrievalScore(
        mean_average_precision=float(_average_precision(hit, number, place, count).mean()),
        reciprocal_rank=float(first.mean()),
        precision=tuple(map(float, precisions)),
        recall=tuple(map(float, recalls)),
    )


def _average_precision(
    hit: np.ndarray, number: np.ndarray, place: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """By the trapezoid rule, ``(Q,)``; before the first image the precision is 1."""
    before = np.where(place == 1, 1.0, (number - 1) / np.maximum(place - 1, 1))
    at = number / np.maximum(place, 1)  # 0 is junk before the first image that counts
    return np.where(hit, (before + at) / 2, 0.0).sum(axis=1) / count


def split_queries(labels: Sequence[int], share: float = QUERY_SHARE) -> tuple[np.ndarray, np.ndarray]:
    """Which images ask and which are looked through: the first of each class ask, one at least.

    Args:
        labels: class of each image, in the order of their names.
        share: of the images of a class that ask.

    Returns:
        Indices of the queries and of the gallery.

    Example:
        >>> [part.tolist() for part in split_queries([0, 0, 0, 1, 1])]
        [[0, 3], [1, 2, 4]]
    """
    labels = np.asarray(labels)
    asks = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        asks[members[: max(1, int(share * len(members)))]] = True
    return np.flatnonzero(asks), np.flatnonzero(~asks)
