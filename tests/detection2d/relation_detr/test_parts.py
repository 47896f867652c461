"""Parts of Relation-DETR against closed forms, plain loops and peer libraries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_convert, generalized_box_iou

from dense3d.detection2d.relation_detr import keep_best, top_detections
from dense3d.detection2d.relation_detr.criterion import SetCriterion, TrainingLosses
from dense3d.detection2d.relation_detr.denoising import ContrastiveDenoising
from dense3d.detection2d.relation_detr.queries import ProposalSelection, QueryHead, inverse_sigmoid
from dense3d.errors import ConfigError
from dense3d.layers.assignment import MatchedPairs
from dense3d.layers.box_matching import BoxMatcher, BoxTargets
from dense3d.layers.padded_levels import content_centres, padding_masks, proposal_boxes, valid_ratios
from tests.golden.evaluation_resize import evaluation_resize, evaluation_size


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random_boxes(*shape: int) -> torch.Tensor:
    """cxcywh inside of the unit square."""
    corner, extent = torch.rand(*shape, 2) * 0.5, torch.rand(*shape, 2) * 0.45 + 0.02
    return torch.cat((corner + extent / 2, extent), dim=-1)


def corners(boxes: torch.Tensor) -> torch.Tensor:
    return box_convert(boxes, "cxcywh", "xyxy")


# References


def test_padding_masks_are_the_interpolated_mask_of_pixels():
    shapes, sizes = [(12, 16), (6, 8), (3, 4), (2, 2)], [(96, 128), (71, 100), (33, 57)]
    pixels = torch.ones(3, 96, 128)
    for mask, (height, width) in zip(pixels, sizes):
        mask[:height, :width] = 0
    for mask, shape in zip(padding_masks((96, 128), sizes, shapes, torch.device("cpu")), shapes):
        assert torch.equal(mask, F.interpolate(pixels[None], size=shape)[0].bool())


def test_proposals_of_an_image_that_fills_the_batch():
    shapes = [(2, 4), (1, 2)]
    masks = padding_masks((64, 128), [(64, 128)], shapes, torch.device("cpu"))
    ratios = valid_ratios(masks)
    boxes = proposal_boxes(shapes, content_centres(shapes, ratios))[0]
    assert torch.equal(ratios, torch.ones(1, 2, 2))
    assert boxes[5].tolist() == pytest.approx([0.375, 0.75, 0.05, 0.05])  # second row, second column
    assert boxes[-1].tolist() == pytest.approx([0.75, 0.5, 0.1, 0.1])


def test_centres_fill_the_content_whatever_the_padding():
    shapes = [(8, 8)]
    ratios = valid_ratios(padding_masks((64, 64), [(32, 48)], shapes, torch.device("cpu")))
    assert ratios[0, 0].tolist() == [0.75, 0.5]
    centres = content_centres(shapes, ratios)[0].view(8, 8, 2)
    assert centres[3, 5].tolist() == pytest.approx([5.5 / 6, 3.5 / 4])


def test_inverse_sigmoid_undoes_the_sigmoid():
    boxes = torch.rand(100, 4) * 0.99 + 0.005
    assert torch.allclose(inverse_sigmoid(boxes).sigmoid(), boxes, atol=1e-6)
    assert torch.allclose(
        inverse_sigmoid(torch.tensor([-1.0, 2.0])).sigmoid(), torch.tensor([0.001, 0.999]), atol=1e-5
    )


# Selection


def plain_selection(selection, head, memory, proposals, padding):
    """Every cell with gradients, then the best of them."""
    valid = ((proposals > 0.01) & (proposals < 0.99)).all(-1) & ~padding
    hidden = selection.enc_output_norm(selection.enc_output(memory * valid[..., None]))
    logits = head.class_head(hidden)
    offsets = torch.log(proposals / (1 - proposals)).masked_fill(~valid[..., None], torch.inf)
    boxes = (head.bbox_head(hidden) + offsets).sigmoid()
    index = logits.amax(-1).topk(head.num_queries, dim=1).indices[..., None]
    return logits.gather(1, index.expand(-1, -1, logits.shape[-1])), boxes.gather(1, index.expand(-1, -1, 4))


def test_selection_equals_the_plain_one_with_all_gradients():
    selection, head = ProposalSelection(16), QueryHead(7, 3, 16)
    torch.nn.init.normal_(head.bbox_head.layers[-1].weight)
    memory, proposals = torch.randn(2, 40, 16, requires_grad=True), random_boxes(2, 40)
    proposals[0, :5] = 0.999
    padding = torch.rand(2, 40) < 0.2
    parameters = [
        memory,
        *selection.parameters(),
        *head.class_head.parameters(),
        *head.bbox_head.parameters(),
    ]
    ours = selection(head, memory, proposals, padding)
    logits, boxes = plain_selection(selection, head, memory, proposals, padding)
    assert torch.allclose(ours.logits, logits, atol=1e-6)
    assert torch.allclose(ours.boxes, boxes, atol=1e-6)
    for mine, theirs in zip(
        torch.autograd.grad(ours.logits.square().sum() + ours.boxes.square().sum(), parameters),
        torch.autograd.grad(logits.square().sum() + boxes.square().sum(), parameters),
    ):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_invalid_cells_propose_the_corner_box():
    selection, head = ProposalSelection(16), QueryHead(3, 2, 16)
    chosen = selection(head, torch.randn(1, 3, 16), random_boxes(1, 3), torch.ones(1, 3, dtype=torch.bool))
    assert torch.equal(chosen.boxes, torch.ones(1, 3, 4))


# Denoising


def generator(**changes):
    return ContrastiveDenoising(**{"num_queries": 12, "num_classes": 20, "embed_dims": 8, **changes})


def batch_of_targets(*counts: int):
    return [torch.randint(20, (n,)) for n in counts], [random_boxes(n) for n in counts]


def test_groups_see_neither_each_other_nor_matching_queries_see_them():
    queries = generator()(*batch_of_targets(2, 3))
    blocked = queries.attn_mask(5)
    assert (queries.groups, queries.slots) == (4, 3)
    size = 2 * 3
    for i in range(4 * size + 5):
        for j in range(4 * size + 5):
            same = i // size == j // size and i < 4 * size
            assert blocked[i, j] == (j < 4 * size and not same)


def test_noise_of_boxes_keeps_its_bounds():
    box = torch.tensor([0.5, 0.5, 0.2, 0.1])  # far from the border: nothing is clamped
    denoising, boxes = generator(), box.expand(400, 4)
    labels = torch.zeros(400, dtype=torch.long)
    _, noised = denoising.noised(labels, boxes, 2, *denoising.draw(400, boxes))
    moves = (corners(noised) - corners(box)).abs() / torch.tensor([0.1, 0.05, 0.1, 0.05])
    positive, negative = moves.split(200)
    assert positive.max() <= 1 + 1e-4
    assert negative.min() >= 1 - 1e-4
    assert negative.max() <= 2 + 1e-4


def test_a_quarter_of_the_labels_is_drawn_anew():
    denoising = generator(num_queries=4000, num_classes=1000)
    labels = torch.zeros(4000, dtype=torch.long)
    boxes = random_boxes(4000)
    noised, _ = denoising.noised(labels, boxes, 2, *denoising.draw(4000, boxes))
    assert (noised != 0).float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_slots_hold_their_targets_and_nothing_else():
    labels, boxes = batch_of_targets(1, 3)
    denoising = generator(label_noise=0.0, box_noise=0.0)
    queries = denoising(labels, boxes)
    content = queries.content.view(2, queries.groups, 2, 3, 8)
    assert torch.equal(content[1, 2, 0], denoising.label_encoder.weight[labels[1]])
    assert not content[0, :, :, 1:].any()
    slots = queries.positive_slots(torch.tensor([2]))
    assert torch.allclose(
        queries.boxes[1, slots[:, 0]], boxes[1][2].clamp(0.001, 0.999).expand(4, 4), atol=1e-5
    )


# Matching and losses


@pytest.mark.parametrize("copies", [1, 3])
def test_matching_layers_together_equals_one_at_a_time(copies):
    matcher = BoxMatcher()
    logits, boxes = torch.randn(3, 2, 12, 5), random_boxes(3, 2, 12)
    labels, wanted = [torch.tensor([1, 4, 2]), torch.tensor([0])], [random_boxes(3), random_boxes(1)]
    matches = matcher(logits, boxes, BoxTargets.of(labels, wanted), copies)
    pairs = set(zip(*(t.tolist() for t in vars(matches).values())))
    expected = set()
    for layer in range(3):
        for image in range(2):
            p = logits[layer, image].sigmoid()[:, labels[image]]
            focal = 0.25 * (1 - p) ** 2 * -(p + 1e-6).log() - 0.75 * p**2 * -(1 - p + 1e-6).log()
            distance = torch.cdist(boxes[layer, image], wanted[image], p=1)
            giou = generalized_box_iou(corners(boxes[layer, image]), corners(wanted[image]))
            cost = np.tile((2 * focal + 5 * distance - 2 * giou).numpy(), copies)
            number = len(labels[image])
            expected |= {(layer, image, q, t % number) for q, t in zip(*linear_sum_assignment(cost))}
    assert pairs == expected
    assert len(pairs) == 3 * 4 * copies


@pytest.mark.parametrize("queries, copies", [(4, 1), (1, 1), (4, 3)])
def test_more_boxes_than_queries(queries, copies):
    """Every query gets a target, none gets a target's copy twice, and no choice is cheaper."""
    matcher = BoxMatcher()
    logits, boxes = torch.randn(1, 1, queries, 2), random_boxes(1, 1, queries)
    targets = BoxTargets.of([torch.randint(2, (6,))], [random_boxes(6)])
    matches = matcher(logits, boxes, targets, copies)
    assert matches.query.tolist() == list(range(queries))
    assert matches.target.bincount().max() <= copies
    by_class, by_distance, by_giou = (cost[0, 0] for cost in matcher.costs(logits, boxes, targets))
    cost = (2 * by_class + 5 * by_distance + 2 * by_giou).tolist()
    places = [target for target in range(6) for _ in range(copies)]
    cheapest = min(
        sum(cost[query][target] for query, target in enumerate(choice))
        for choice in set(itertools.permutations(places, queries))
    )
    found = sum(cost[query][target] for query, target in zip(matches.query, matches.target))
    assert found == pytest.approx(cheapest, rel=1e-5)


@pytest.mark.parametrize("targets", [0, 3])
def test_divisors_count_groups_and_copies_and_are_at_least_one(targets):
    losses = TrainingLosses(SetCriterion(), assign=6)
    divisors = losses._divisors(targets, 4, torch.device("cpu"))
    assert [float(number) for number in divisors] == ([3, 12, 18] if targets else [1, 1, 1])


def test_without_targets_there_is_one_group_of_no_queries():
    queries = generator()(*batch_of_targets(0, 0))
    assert (queries.groups, queries.slots) == (1, 0)
    assert queries.content.shape == (2, 0, 8)
    assert not queries.attn_mask(5).any()


def test_matching_survives_numbers_that_are_none():
    logits = torch.full((1, 1, 4, 2), torch.nan)
    matches = BoxMatcher()(
        logits, random_boxes(1, 1, 4), BoxTargets.of([torch.tensor([0])], [random_boxes(1)])
    )
    assert len(matches.query) == 1


def losses_of(class_loss: str, logits: torch.Tensor, boxes: torch.Tensor, targets: BoxTargets) -> dict:
    matches = MatchedPairs(*(torch.zeros(1, dtype=torch.long) for _ in range(4)))  # query 0 has target 0
    return SetCriterion(class_loss)(logits, boxes, targets, matches, 1.0)


def test_varifocal_loss_by_hand():
    wanted = torch.tensor([[0.5, 0.5, 0.2, 0.2]])
    boxes = torch.tensor([[[[0.5, 0.5, 0.2, 0.1], [0.1, 0.1, 0.1, 0.1]]]])  # the first one has IoU 0.5
    logits = torch.tensor([[[[1.0, -1.0], [0.5, -2.0]]]])
    losses = losses_of("varifocal", logits, boxes, BoxTargets.of([torch.tensor([0])], [wanted]))
    p = logits.sigmoid().flatten()
    negatives = -0.75 * p[1:] ** 2 * torch.log(1 - p[1:])
    positive = -0.5 * (0.5 * torch.log(p[0]) + 0.5 * torch.log(1 - p[0]))
    assert losses["class"].item() == pytest.approx((positive + negatives.sum()).item(), rel=1e-5)
    assert losses["bbox"].item() == pytest.approx(5 * 0.1, rel=1e-5)
    assert losses["giou"].item() == pytest.approx(2 * 0.5, rel=1e-5)


def test_focal_loss_by_hand():
    boxes = random_boxes(1, 1, 2)
    logits = torch.tensor([[[[1.0, -1.0], [0.5, -2.0]]]])
    losses = losses_of("focal", logits, boxes, BoxTargets.of([torch.tensor([0])], [boxes[0, 0, :1]]))
    p = logits.sigmoid().flatten()
    negatives = -0.75 * p[1:] ** 2 * torch.log(1 - p[1:])
    positive = -0.25 * (1 - p[0]) ** 2 * torch.log(p[0])
    assert losses["class"].item() == pytest.approx((positive + negatives.sum()).item(), rel=1e-5)
    assert losses["bbox"].item() == 0


def test_unknown_class_loss():
    with pytest.raises(ConfigError, match="'quality' is neither"):
        SetCriterion("quality")


# Evaluation


def test_detections_against_a_plain_ranking():
    logits, boxes = torch.randn(1, 6, 4), random_boxes(1, 6)
    scores, labels, found = top_detections(logits, boxes, 10)
    ranked = sorted(
        ((logits[0, q, c].sigmoid().item(), q, c) for q in range(6) for c in range(4)), reverse=True
    )
    assert scores[0].tolist() == pytest.approx([score for score, _, _ in ranked[:10]])
    assert labels[0].tolist() == [c for _, _, c in ranked[:10]]
    assert torch.equal(found[0], corners(boxes[0])[[q for _, q, _ in ranked[:10]]])


def test_keep_best():
    scores = torch.tensor([0.9, 0.8, 0.7, 0.1])
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [40, 40, 50, 50]])
    assert keep_best(scores, boxes).tolist() == [0, 1, 2, 3]
    assert keep_best(scores, boxes, score_thr=0.5).tolist() == [0, 1, 2]
    assert keep_best(scores, boxes, nms_iou=0.5).tolist() == [0, 2, 3]


@pytest.mark.parametrize("size, expected", [((375, 500), (799, 1066)), ((480, 270), (1333, 749))])
def test_evaluation_sizes_that_the_official_code_truncates(size, expected):
    assert evaluation_size(*size) == expected


def test_evaluation_resize_keeps_the_type():
    image = torch.randint(256, (3, 30, 40), dtype=torch.uint8)
    resized = evaluation_resize(image, 15, 100)
    assert resized.shape == (3, 15, 20)
    assert resized.dtype == torch.uint8
