"""Losses and matching against closed forms."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dense3d.detection3d.monodino_detr.criterion import (
    DepthMapLoss,
    MonoCriterion,
    depth_loss,
    giou_loss,
    heading_loss,
    paint_depth,
    size_loss,
    softmax_focal_loss,
)
from dense3d.detection3d.monodino_detr.matching import ObjectMatcher, ObjectTargets
from dense3d.detection3d.monodino_detr.prediction import Predictions

MATCHED = ("bbox", "giou", "center", "dim", "angle", "depth")


def objects(number: int, seed: int = 0) -> SimpleNamespace:
    random = torch.Generator().manual_seed(seed)
    numbers = torch.rand(number, 6, generator=random)
    boxes = numbers * 0.1 + torch.tensor([0.4, 0.4, 0.05, 0.05, 0.05, 0.05])
    left, right, top, bottom = boxes[:, 2:].unbind(1)
    centres = boxes[:, :2] + torch.stack((right - left, bottom - top), 1) / 2
    return SimpleNamespace(
        labels=torch.arange(number) % 3,
        boxes=torch.cat((centres, torch.stack((left + right, top + bottom), 1)), 1),
        boxes_3d=boxes,
        depth=torch.linspace(10, 40, number),
        size_3d=numbers[:, :3] + 1,
        heading_bin=torch.arange(number) % 12,
        heading_residual=numbers[:, 5] * 0.2 - 0.1,
    )


def batch(*numbers: int) -> ObjectTargets:
    return ObjectTargets.of([objects(number, seed) for seed, number in enumerate(numbers)])


def noise(images: int, queries: int, classes: int = 3, seed: int = 0) -> Predictions:
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(images, queries, *shape, generator=random)  # noqa: E731
    parts = (draw(classes), draw(6).sigmoid() * 0.5, draw(3).exp(), draw(24), draw(2))
    return Predictions(*(part.requires_grad_() for part in parts))


def perfect(targets: ObjectTargets) -> Predictions:
    """One image whose query i predicts object i, certain to an error of e^-2 in depth."""
    number = len(targets.labels)
    logits = torch.full((number, 3), -20.0)
    headings = torch.full((number, 24), -50.0)
    rows = torch.arange(number)
    logits[rows, targets.labels] = 20.0
    headings[rows, targets.heading_bin] = 50.0
    headings[rows, 12 + targets.heading_bin] = targets.heading_residual
    depths = torch.stack((targets.depth, torch.full((number,), -2.0)), 1)
    parts = (logits, targets.boxes_3d, targets.size_3d, headings, depths)
    return Predictions(*(part[None].clone() for part in parts))


def test_perfect_predictions_cost_nothing():
    targets = batch(5)
    criterion = MonoCriterion()
    predictions = perfect(targets)
    found = criterion([predictions], torch.zeros(1, 81, 4, 6), targets)
    for name in ("ce", "bbox", "giou", "center", "dim", "angle"):
        assert found[f"loss_{name}"].item() == pytest.approx(0, abs=1e-5), name
    assert found["loss_depth"].item() == pytest.approx(-2)
    assert found["class_error"].item() == 0


@pytest.mark.parametrize("loss", [giou_loss, depth_loss])
def test_gradients_of_box_and_depth_losses(loss):
    random = torch.Generator().manual_seed(0)
    inputs = torch.rand(4, 6 if loss is giou_loss else 2, generator=random, dtype=torch.double) + 0.1
    wanted = torch.rand(inputs.shape if loss is giou_loss else 4, generator=random, dtype=torch.double) + 0.1
    assert torch.autograd.gradcheck(lambda x: loss(x, wanted), inputs.requires_grad_())


def test_heading_loss_is_cross_entropy_and_the_true_bins_residual():
    headings = torch.randn(4, 24, dtype=torch.double, requires_grad=True)
    bins, residuals = torch.tensor([0, 3, 11, 3]), torch.rand(4, dtype=torch.double)
    found = heading_loss(headings, bins, residuals)
    chosen = headings[torch.arange(4), 12 + bins]
    expected = F.nll_loss(headings[:, :12].log_softmax(1), bins, reduction="sum")
    torch.testing.assert_close(found, expected + (chosen - residuals).abs().sum())
    assert torch.autograd.gradcheck(lambda x: heading_loss(x, bins, residuals), headings)


def test_size_loss_has_the_absolute_errors_value_and_the_relative_ones_gradient():
    sizes = torch.tensor([[2.0, 1.0, 5.0], [1.0, 2.0, 3.0]], requires_grad=True)
    wanted = torch.tensor([[1.0, 2.0, 4.0], [1.5, 1.5, 3.5]])
    loss = size_loss(sizes, wanted)
    error = (sizes - wanted).abs().detach()
    assert loss.item() == pytest.approx(error.sum().item())
    scale = error.mean() / (error / wanted).mean()
    loss.backward()
    torch.testing.assert_close(sizes.grad, scale * (sizes - wanted).detach().sign() / wanted)


def test_size_loss_of_exact_sizes_is_zero():
    sizes = torch.ones(2, 3, requires_grad=True)
    size_loss(sizes, torch.ones(2, 3)).backward()
    assert torch.isfinite(sizes.grad).all()


def test_depth_loss_is_least_where_the_uncertainty_is_the_error():
    deviations = torch.linspace(-3, 3, 601)
    losses = [depth_loss(torch.tensor([[12.0, s]]), torch.tensor([10.0])).item() for s in deviations]
    assert deviations[int(np.argmin(losses))].item() == pytest.approx(np.log(1.4142 * 2), abs=0.01)


def test_focal_loss_without_focus_is_cross_entropy():
    logits, target = torch.randn(2, 5, 3, 4), torch.randint(0, 5, (2, 3, 4))
    expected = F.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(softmax_focal_loss(logits, target, 1.0, 0.0), expected, atol=1e-4, rtol=1e-4)
    p = logits.softmax(1).gather(1, target[:, None])[:, 0]
    focal = softmax_focal_loss(logits, target, 0.25, 2.0)
    torch.testing.assert_close(focal, 0.25 * (1 - p) ** 2 * expected, atol=1e-4, rtol=1e-4)


def painted(boxes: list[list[float]], depths: list[float], shape=(4, 8)) -> torch.Tensor:
    targets = batch(len(boxes))
    targets.boxes, targets.depth = torch.tensor(boxes), torch.tensor(depths)
    return paint_depth(targets, shape)[0][0]


def test_the_nearer_object_hides_the_farther():
    """Boxes 0..4 x 0..2 and 2..6 x 1..3 of a grid of 8 x 4 cells."""
    boxes = [[0.25, 0.25, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]]
    expected = torch.zeros(4, 8)
    expected[:2, :4] = 9.0
    expected[1:3, 2:6] = 5.0
    torch.testing.assert_close(painted(boxes, [9.0, 5.0]), expected)
    expected[:2, :4] = 9.0
    torch.testing.assert_close(painted(boxes, [9.0, 15.0]) == 9, expected == 9)


def test_boxes_cover_every_cell_that_they_touch():
    assert (painted([[0.5, 0.5, 0.26, 0.01]], [3.0]) > 0).sum() == 2 * 4  # columns 2 to 5, rows 1 and 2


def test_cells_in_boxes_weigh_thirteen_times():
    targets = batch(1)
    targets.boxes, targets.depth = torch.tensor([[0.25, 0.5, 0.5, 1.0]]), torch.tensor([200.0])  # no bin
    found = DepthMapLoss()(torch.zeros(1, 81, 2, 4), targets).item()
    one = 0.25 * (80 / 81) ** 2 * np.log(81)
    assert found == pytest.approx(one * (13 + 1) / 2, rel=1e-3)


def test_matching_is_the_best_of_all_assignments_in_every_group():
    targets = batch(2, 3)
    predictions = noise(2, 8)
    matcher = ObjectMatcher()
    cost = matcher.cost(predictions.logits, predictions.boxes, targets).unflatten(0, (2, 2, 4))
    found = matcher(predictions.logits, predictions.boxes, targets, groups=2)
    assert len(found.image) == 2 * (2 + 3)
    columns = {0: [0, 1], 1: [2, 3, 4]}
    for image, group in itertools.product(range(2), range(2)):
        block = cost[image, group][:, columns[image]]
        ways = itertools.permutations(range(4), len(columns[image]))
        best = min(sum(block[q, t].item() for t, q in enumerate(way)) for way in ways)
        here = (found.image == image) & (found.query // 4 == group)
        mine = block[found.query[here] % 4, found.target[here]].sum().item()
        assert mine == pytest.approx(best, abs=1e-5)
        assert sorted(found.target[here].tolist()) == list(range(block.shape[1]))


def test_what_is_no_number_does_not_break_the_matching():
    targets, predictions = batch(2), noise(1, 4)
    logits = predictions.logits.detach().clone()
    logits[0, 0] = float("nan")
    assert len(ObjectMatcher()(logits, predictions.boxes, targets).query) == 2


@pytest.mark.parametrize("numbers", [(0,), (0, 0), (0, 3)])
def test_images_without_objects(numbers):
    predictions, logits = noise(len(numbers), 22), torch.zeros(len(numbers), 81, 4, 6, requires_grad=True)
    found = MonoCriterion()([predictions], logits, batch(*numbers), groups=11)
    total = sum(value for name, value in found.items() if name.startswith("loss"))
    total.backward()
    assert torch.isfinite(total)
    assert (predictions.logits.grad != 0).all()
    assert logits.grad.abs().sum() > 0
    if sum(numbers) == 0:
        assert all(found[f"loss_{name}"].item() == 0 for name in MATCHED)


def test_more_objects_than_queries():
    found = MonoCriterion()([noise(1, 3)], torch.zeros(1, 81, 4, 6), batch(5))
    assert all(torch.isfinite(value) for value in found.values())


def test_losses_are_divided_by_objects_and_groups():
    """Two groups with the same predictions have the losses of one."""
    targets, one = batch(3, 2), noise(2, 6)
    parts = (one.logits, one.boxes, one.sizes, one.headings, one.depths)
    two = Predictions(*(torch.cat((part, part), dim=1) for part in parts))
    logits = torch.zeros(2, 81, 4, 6)
    single = MonoCriterion()([one], logits, targets, 1)
    double = MonoCriterion()([two], logits, targets, 2)
    for name, value in single.items():
        torch.testing.assert_close(double[name], value)


def test_names_and_weights_of_layers():
    targets, layers = batch(3), [noise(1, 6, seed=s) for s in (1, 2)]
    weights = dict(ce=3.0, depth=0.0)
    found = MonoCriterion(weights)(layers, torch.zeros(1, 81, 4, 6), targets)
    plain = MonoCriterion()(layers, torch.zeros(1, 81, 4, 6), targets)
    losses = ("ce", *MATCHED)
    assert set(found) == {f"loss_{n}{s}" for n in losses for s in ("", "_0")} | {
        "loss_depth_map",
        "class_error",
    }
    torch.testing.assert_close(found["loss_ce_0"], plain["loss_ce_0"] * 1.5)
    assert found["loss_depth"].item() == 0
