"""Retrieval against counting by hand, one query at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dense3d.errors import DataError
from dense3d.evaluation.classification import retrieval_score, split_queries


def by_hand(similarity: np.ndarray, positive: np.ndarray, junk: np.ndarray, k: int) -> tuple:
    """Average precision, reciprocal rank, precision and recall at k of one query."""
    order = np.argsort(-similarity)
    places = np.flatnonzero(positive[order])
    if not len(places):
        return None, 0.0, None, None
    reciprocal = 1 / (places[0] + 1)
    kept = [i for i in order if not junk[i]]
    places = [n for n, i in enumerate(kept) if positive[i]]
    precision = 0.0
    for found, place in enumerate(places):
        before = 1.0 if place == 0 else found / place
        precision += (before + (found + 1) / (place + 1)) / 2
    limit = min(k, places[-1] + 1)
    near = sum(place + 1 <= limit for place in places)
    return precision / len(places), reciprocal, near / limit, sum(p < k for p in places) / len(places)


@pytest.mark.parametrize("with_junk", [False, True])
def test_figures_are_those_of_one_query_after_the_other(with_junk):
    rng = np.random.default_rng(0)
    queries, gallery = torch.randn(9, 5), torch.randn(40, 5)
    positive = rng.random((9, 40)) < 0.1
    positive[3] = False
    junk = (rng.random((9, 40)) < 0.3) & ~positive if with_junk else np.zeros((9, 40), bool)
    unit = torch.nn.functional.normalize
    similarity = (unit(queries, dim=1) @ unit(gallery, dim=1).T).numpy()
    score = retrieval_score(queries, gallery, positive, junk if with_junk else None, ks=(1, 4))
    for place, k in enumerate((1, 4)):
        rows = [by_hand(*row, k) for row in zip(similarity, positive, junk)]
        asked = [row for row in rows if row[0] is not None]
        assert score.mean_average_precision == pytest.approx(np.mean([row[0] for row in asked]))
        assert score.reciprocal_rank == pytest.approx(np.mean([row[1] for row in rows]))
        assert score.precision[place] == pytest.approx(np.mean([row[2] for row in asked]))
        assert score.recall[place] == pytest.approx(np.mean([row[3] for row in asked]))


def test_a_fifth_of_each_class_asks():
    asks, rest = split_queries([0] * 10 + [1] * 3)
    assert asks.tolist() == [0, 1, 10] and len(rest) == 10


def test_nothing_to_find_is_refused():
    with pytest.raises(DataError, match="no query has a positive"):
        retrieval_score(torch.eye(2), torch.eye(2), np.zeros((2, 2), bool))
    with pytest.raises(DataError, match="2 queries and 2 images"):
        retrieval_score(torch.eye(2), torch.eye(2), np.zeros((2, 3), bool))
