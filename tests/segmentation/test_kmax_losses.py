"""Matching and losses of kMaX-DeepLab against their dense definitions."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from dense3d.errors import DataError
from dense3d.segmentation.kmax_deeplab import (
    KMaXCriterion,
    PanopticTargets,
    Prediction,
    class_loss,
    class_weights,
    discrimination_loss,
    gumbel_top_k,
    inverse_areas,
    mask_losses,
    match,
    pixel_logits,
    similarities,
    subsample,
)

CLASSES, QUERIES, SIZE = 4, 6, (5, 7)


def prediction(batch: int = 2, size: tuple[int, int] = SIZE) -> Prediction:
    return Prediction(
        torch.randn(batch, QUERIES, CLASSES + 1, requires_grad=True),
        torch.randn(batch, QUERIES, *size, requires_grad=True),
        torch.randn(batch, 3, *size, requires_grad=True),
    )


def targets(*counts: int, overlap: bool = False) -> PanopticTargets:
    """Random segments, the last row void; ``overlap`` lets them share pixels."""
    labels, masks, semantic = [], [], []
    for count in counts:
        owner = torch.randint(0, max(count, 1), SIZE)
        owner[-1] = -1
        mask = torch.stack([owner == i for i in range(count)]) if count else torch.zeros(0, *SIZE).bool()
        if overlap and count > 1:
            mask[0] |= mask[1]
        label = torch.randint(0, CLASSES, (count,))
        classes = torch.full(SIZE, CLASSES)
        for c, m in zip(label, mask):
            classes[m] = c
        labels.append(label)
        masks.append(mask)
        semantic.append(classes)
    return PanopticTargets(labels, masks, torch.stack(semantic))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(3)


def dense_targets(matches, queries: int = QUERIES) -> torch.Tensor:
    """``(B, N, P)``, the definition's one-hot ids."""
    dense = torch.zeros(len(matches.void), queries, matches.void.shape[1])
    dense[matches.image, matches.query] = matches.masks
    return dense


@pytest.mark.parametrize("count", [1, 2, 3])
def test_matching_is_the_best_of_all(count):
    predicted, wanted = prediction(1), targets(count)
    table = torch.prod(
        torch.stack(
            similarities(
                predicted.logits[0],
                predicted.masks[0].flatten(1),
                wanted.labels[0],
                wanted.masks[0].flatten(1).float(),
            )
        ),
        dim=0,
    )
    best = max(
        itertools.permutations(range(QUERIES), count),
        key=lambda queries: float(sum(table[q, t] for t, q in enumerate(queries))),
    )
    matches = match(predicted, wanted)
    assert {int(t): int(q) for t, q in zip(matches.target, matches.query)} == dict(enumerate(best))


def test_batched_matching_is_that_of_each_image():
    predicted, wanted = prediction(3), targets(3, 0, 5)
    together = match(predicted, wanted)
    for i in range(3):
        parts = (predicted.logits, predicted.masks, predicted.pixels)
        alone = match(
            Prediction(*(p[i : i + 1] for p in parts)),
            PanopticTargets(wanted.labels[i : i + 1], wanted.masks[i : i + 1], wanted.semantic[i : i + 1]),
        )
        here = together.image == i
        assert together.query[here].tolist() == alone.query.tolist()
        torch.testing.assert_close(together.dice[here], alone.dice)


@pytest.mark.parametrize("overlap", [False, True])
def test_mask_losses_follow_the_dense_formulas(overlap):
    predicted, wanted = prediction(), targets(3, 2, overlap=overlap)
    matches = match(predicted, wanted)
    dense, void = dense_targets(matches), matches.void
    masks = predicted.masks.flatten(2)
    entropy = F.cross_entropy(masks, dense, reduction="none").masked_fill(void, 0)
    mask_id = (entropy.sum(1) / (entropy != 0).sum(1)).mean()
    shares = masks.softmax(1).masked_fill(void[:, None], 0)
    dice = 1 - (2 * (shares * dense).sum(-1) + 1) / (shares.sum(-1) + dense.sum(-1) + 1)
    weight = torch.zeros(2, QUERIES)
    weight[matches.image, matches.query] = matches.probability
    expected = mask_id, ((dice * weight).sum(1) * 0.75 / QUERIES).mean()
    found = mask_losses(masks, matches)
    torch.testing.assert_close(found, expected)
    gradients = [
        torch.autograd.grad(sum(terms), predicted.masks, retain_graph=True)[0] for terms in (found, expected)
    ]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("overlap", [False, True])
def test_discrimination_follows_the_dense_formula(overlap):
    predicted, wanted = prediction(), targets(3, 2, overlap=overlap)
    matches = match(predicted, wanted)
    pixels = torch.stack([torch.randperm(35)[:20] for _ in range(2)])
    dense = dense_targets(matches).gather(2, pixels[:, None].expand(-1, QUERIES, -1))
    similarity = dense.transpose(1, 2) @ dense
    similarity = similarity / similarity.sum(1, keepdim=True).clamp(min=1)
    features = predicted.pixels.flatten(2).gather(2, pixels[:, None].expand(-1, 3, -1))
    gram = features.transpose(1, 2) @ features / 0.3
    loss = F.cross_entropy(gram, similarity, reduction="none")
    expected = (loss.sum(1) / (loss != 0).sum(1)).mean()
    found = discrimination_loss(predicted.pixels.flatten(2), matches, pixels)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(term, predicted.pixels)[0] for term in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


def test_class_loss_of_one_certain_query():
    wanted = PanopticTargets(
        [torch.tensor([1])], [torch.ones(1, 1, 2, dtype=torch.bool)], torch.ones(1, 1, 2).long()
    )
    logits, masks = torch.zeros(1, 2, 3), torch.tensor([[[[50.0, 50.0]], [[-50.0, -50.0]]]])
    matches = match(Prediction(logits, masks, torch.zeros(1, 1, 1, 2)), wanted)
    weights = class_weights(masks.flatten(2), matches)
    assert matches.query.tolist() == [0]
    torch.testing.assert_close(weights, torch.tensor([[1.0, 1e-5]]), atol=1e-4, rtol=0)
    expected = torch.log(torch.tensor(3.0)) * (0.75 * weights[0, 0] + 0.25 * weights[0, 1]) / 2
    torch.testing.assert_close(class_loss(logits, weights, matches), expected)


def test_unmatched_queries_on_segments_are_not_pushed_to_void():
    predicted, wanted = prediction(1), targets(1)
    matches = match(predicted, wanted)
    weights = class_weights(predicted.masks.flatten(2), matches)[0]
    shares = predicted.masks[0].flatten(1).softmax(0)
    on_void = shares[:, matches.void[0]].sum(1) / shares.sum(1)
    others = torch.arange(QUERIES) != matches.query[0]
    torch.testing.assert_close(weights[others], on_void[others], atol=1e-4, rtol=1e-4)


def test_inverse_area():
    wanted = PanopticTargets(
        [torch.tensor([0, 1])],
        [torch.tensor([[[1, 0, 0, 0]], [[0, 1, 1, 0]]]).bool()],
        torch.zeros(1, 1, 4).long(),
    )
    matches = match(
        Prediction(torch.zeros(1, 3, 3), torch.zeros(1, 3, 1, 4), torch.zeros(1, 1, 1, 4)), wanted
    )
    assert inverse_areas(matches).tolist() == [[4.0, 2.0, 2.0, 4.0]]


def test_gumbel_draws_by_probability():
    logits = torch.tensor([0.5, 0.25, 0.125, 0.125]).log().expand(20_000, 4)
    share = torch.bincount(gumbel_top_k(logits, 1)[:, 0], minlength=4) / 20_000
    torch.testing.assert_close(share, torch.tensor([0.5, 0.25, 0.125, 0.125]), atol=0.015, rtol=0)


def test_void_is_drawn_last_and_draws_are_seeded():
    void = torch.tensor([[False, True, False, True]])
    logits = pixel_logits(torch.ones(1, 4), void, 1.5)
    assert set(gumbel_top_k(logits, 2)[0].tolist()) == {0, 2}
    assert gumbel_top_k(logits, 9).shape == (1, 4)
    draws = []
    for _ in range(2):
        torch.manual_seed(11)
        draws.append(gumbel_top_k(torch.zeros(1, 50), 20))
    assert torch.equal(*draws)


def test_strides_that_fit():
    assert subsample(torch.zeros(257, 513), (33, 65)).shape == (33, 65)
    assert subsample(torch.zeros(24, 25), (3, 4)).shape == (3, 4)
    with pytest.raises(DataError, match="no stride"):
        subsample(torch.zeros(9, 9), (4, 4))


@pytest.mark.parametrize("counts", [(0, 0), (3, 0), (9, 2)])
@pytest.mark.parametrize("share", [True, False])
def test_all_losses_are_finite_whatever_is_annotated(counts, share):
    criterion = KMaXCriterion(
        CLASSES, share_final_matching=share, discrimination_pixels=10, semantic_pixels=10
    )
    layers = [prediction(size=(3, 4)), prediction()]
    semantic = torch.randn(2, CLASSES + 1, *SIZE, requires_grad=True)
    losses = criterion(layers, semantic, targets(*counts))
    assert set(losses) == {
        *(f"loss_{n}{s}" for n in ("ce", "mask", "dice", "pixel_insdis") for s in ("", "_0")),
        "loss_aux_semantic",
    }
    total = sum(losses.values())
    total.backward()
    leaves = [semantic, *(t for p in layers for t in (p.logits, p.masks, p.pixels))]
    assert all(torch.isfinite(t.grad).all() for t in leaves if t.grad is not None)
    assert torch.isfinite(total)


def test_weights_of_the_terms():
    layers, wanted = [prediction(), prediction()], targets(3, 2)
    losses = []
    for weights in (None, {"ce": 0.0, "dice": 6.0}):
        torch.manual_seed(0)
        losses.append(KMaXCriterion(CLASSES, weights)(layers, None, wanted))
    assert losses[1]["loss_ce_0"] == 0
    torch.testing.assert_close(losses[1]["loss_dice_0"], 2 * losses[0]["loss_dice_0"])


def test_losses_keep_single_precision_under_autocast():
    wanted, semantic = targets(3, 2), torch.randn(2, CLASSES + 1, *SIZE)
    layers, losses = [prediction(), prediction()], []
    for half in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            losses.append(KMaXCriterion(CLASSES, semantic_pixels=0)(layers, semantic, wanted))
    for name, loss in losses[0].items():
        assert torch.equal(loss, losses[1][name]), name
