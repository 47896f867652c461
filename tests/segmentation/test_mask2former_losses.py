"""Point sampling, matching and losses of Mask2Former."""

from __future__ import annotations

import itertools
import multiprocessing

import pytest
import torch
import torch.distributed
import torch.nn.functional as F

from dense3d.segmentation.mask2former import (
    Mask2FormerCriterion,
    MaskMatcher,
    at_points,
    uncertain_points,
)

CLASSES, QUERIES = 3, 5


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(5)


def predictions(layers: int, batch: int = 2) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    logits = [torch.randn(batch, QUERIES, CLASSES + 1, requires_grad=True) for _ in range(layers)]
    masks = [torch.randn(batch, QUERIES, 6, 8, requires_grad=True) for _ in range(layers)]
    return logits, masks


def targets(*counts: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    labels = [torch.randint(0, CLASSES, (count,)) for count in counts]
    return labels, [torch.rand(count, 24, 32) > 0.5 for count in counts]


def grid_points(height: int, width: int):
    """A source of points that always gives the centres of all pixels."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    points = torch.stack((x / width, y / height), dim=-1).reshape(1, -1, 2)

    def draw(shape, _device):
        return points.expand(shape[0], -1, -1).reshape(*shape[:-2], -1, 2)[..., : shape[-2], :]

    return draw


def test_points_are_seeded():
    logits = torch.randn(3, 6, 8)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(uncertain_points(logits, 16))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_uncertain_points_lie_at_the_border():
    logits = torch.linspace(-9, 9, 64).expand(1, 64, 64)  # zero at x = 0.5
    certain, spread = (uncertain_points(logits, 400, importance=share) for share in (1.0, 0.0))
    assert (certain[..., 0] - 0.5).abs().mean() < 0.1  # the third of the candidates nearest to 0.5: 0.083
    assert (spread[..., 0] - 0.5).abs().mean() > 0.2


def test_points_are_chosen_without_a_gradient():
    logits = torch.randn(2, 6, 8, requires_grad=True)
    assert not uncertain_points(logits, 8).requires_grad


@pytest.mark.parametrize("count", [1, 2, 3])
def test_matching_is_the_best_of_all(count):
    logits, masks = (torch.stack(v).detach() for v in predictions(1, batch=1))
    labels, segments = targets(count)
    matcher = MaskMatcher(48, draw=grid_points(6, 8))
    total = matcher._total(matcher.costs(logits, masks, labels, segments)[0])[0]
    best = min(
        itertools.permutations(range(QUERIES), count),
        key=lambda queries: float(sum(total[q, t] for t, q in enumerate(queries))),
    )
    match = matcher(logits, masks, labels, segments)[0]
    assert dict(zip(match.target.tolist(), match.query.tolist())) == dict(enumerate(best))


def test_costs_at_all_pixels_are_those_of_whole_masks():
    logits, masks = (torch.stack(v).detach() for v in predictions(1, batch=1))
    labels = [torch.tensor([0, 2])]
    segments = [torch.rand(2, 6, 8) > 0.5]
    by_class, by_mask, by_dice = MaskMatcher(48, draw=grid_points(6, 8)).costs(
        logits, masks, labels, segments
    )[0]
    wanted = segments[0].float()
    for q, t in itertools.product(range(QUERIES), range(2)):
        mask = masks[0, 0, q]
        shares = mask.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(mask, wanted[t])
        dice = 1 - (2 * (shares * wanted[t]).sum() + 1) / (shares.sum() + wanted[t].sum() + 1)
        torch.testing.assert_close(by_mask[0, q, t], entropy)
        torch.testing.assert_close(by_dice[0, q, t], dice)
        torch.testing.assert_close(by_class[0, q, t], -logits[0, 0, q].softmax(-1)[labels[0][t]])


def test_layers_are_matched_as_if_alone():
    logits, masks = (torch.stack(v).detach() for v in predictions(3))
    labels, segments = targets(2, 4)
    matcher = MaskMatcher(48, draw=grid_points(6, 8))
    together = matcher(logits, masks, labels, segments)
    for layer in range(3):
        alone = matcher(logits[layer : layer + 1], masks[layer : layer + 1], labels, segments)[0]
        assert together[layer].query.tolist() == alone.query.tolist()
        assert together[layer].target.tolist() == alone.target.tolist()


def test_numbers_that_are_none_do_not_break_the_assignment():
    logits, masks = (torch.stack(v).detach() for v in predictions(1))
    masks[0, 0, 1] = float("nan")
    match = MaskMatcher(48)(logits, masks, *targets(2, 2))[0]
    assert len(match.query) == 4 and 1 not in match.query[match.image == 0]


def test_losses_at_all_pixels_are_those_of_whole_masks():
    logits, masks = predictions(1, batch=1)
    labels, segments = [torch.tensor([1])], [torch.rand(1, 6, 8) > 0.5]
    criterion = Mask2FormerCriterion(
        CLASSES, num_points=48, oversample=1.0, importance=0.0, draw=grid_points(6, 8)
    )
    terms = criterion.terms(logits, masks, labels, segments)
    query = criterion.matcher(torch.stack(logits), torch.stack(masks), labels, segments)[0].query[0]
    mask, wanted = masks[0][0, query], segments[0][0].float()
    torch.testing.assert_close(terms["mask"], F.binary_cross_entropy_with_logits(mask, wanted))
    shares = mask.sigmoid()
    dice = 1 - (2 * (shares * wanted).sum() + 1) / (shares.sum() + wanted.sum() + 1)
    torch.testing.assert_close(terms["dice"], dice)
    probability = logits[0][0].log_softmax(-1)
    weight = torch.full((QUERIES,), 0.1)
    weight[query] = 1.0
    picked = -probability[:, -1].clone()
    picked[query] = -probability[query, 1]
    torch.testing.assert_close(terms["ce"], (weight * picked).sum() / weight.sum())


@pytest.mark.parametrize("counts", [(0, 0), (3, 0), (7, 1)])
def test_losses_are_finite_whatever_is_annotated(counts):
    logits, masks = predictions(3)
    losses = Mask2FormerCriterion(CLASSES, num_points=20)(logits, masks, *targets(*counts))
    assert set(losses) == {f"loss_{n}{s}" for n in ("ce", "mask", "dice") for s in ("", "_0", "_1")}
    total = sum(losses.values())
    gradients = torch.autograd.grad(total, [*logits, *masks])
    assert torch.isfinite(total) and all(torch.isfinite(g).all() for g in gradients)
    if sum(counts) == 0:
        assert losses["loss_mask"] == 0 == losses["loss_dice"] and losses["loss_ce"] > 0


def test_cropped_away_segments_stay_targets():
    logits, masks = predictions(1, batch=1)
    match = MaskMatcher(20)(
        torch.stack(logits).detach(),
        torch.stack(masks).detach(),
        [torch.tensor([0, 1])],
        [torch.zeros(2, 24, 32) > 0],
    )[0]
    assert sorted(match.target.tolist()) == [0, 1]


def test_values_between_pixels():
    values = at_points(torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[0.5, 0.5], [0.25, 0.5], [0.0, 0.5]]]))
    assert values.tolist() == [[1.0, 0.0, 0.0]]  # outside counts as zero: half of the first pixel's zero


def test_costs_keep_single_precision_under_autocast(monkeypatch):
    (logits, masks), (labels, segments) = predictions(2), targets(3, 2)
    seen, costs = [], MaskMatcher.costs

    def recorded(*arguments):
        seen.append(costs(*arguments))
        return seen[-1]

    monkeypatch.setattr(MaskMatcher, "costs", recorded)
    for half in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            Mask2FormerCriterion(CLASSES, num_points=20)(logits, masks, labels, segments)
    for single, under_autocast in zip(*seen):
        assert all(torch.equal(a, b) for a, b in zip(single, under_autocast))


def gradient(images: slice) -> torch.Tensor:
    """Of mask and dice terms, in a weight a query that all images share, from some of three images."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(3, QUERIES, CLASSES + 1, generator=generator)
    masks = torch.randn(3, QUERIES, 6, 8, generator=generator)
    labels = [torch.randint(0, CLASSES, (count,), generator=generator) for count in (4, 1, 2)]
    segments = [torch.rand(len(label), 24, 32, generator=generator) > 0.5 for label in labels]
    weight = torch.ones(QUERIES, 1, 1, requires_grad=True)
    criterion = Mask2FormerCriterion(CLASSES, num_points=16, oversample=3.0, draw=grid_points(6, 8))
    losses = criterion([logits[images]], [weight * masks[images]], labels[images], segments[images])
    (losses["loss_mask"] + losses["loss_dice"]).backward()
    return weight.grad


def _process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous"
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    torch.save(gradient((slice(0, 1), slice(1, 3))[rank]), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_gradient_of_the_joined_batch(tmp_path):
    """Four segments in one process and three in the other: each divides by the mean, 3.5."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_process, args=(rank, str(tmp_path))) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    found = torch.stack([torch.load(tmp_path / f"{rank}.pt") for rank in range(2)])
    wanted = gradient(slice(0, 3))
    torch.testing.assert_close(found.mean(0), wanted)  # the mean, as distributed training takes it
    alone = torch.stack([gradient(slice(0, 1)), gradient(slice(1, 3))]).mean(0)
    assert not torch.allclose(alone, wanted, rtol=1e-3)  # with each process's own number
