"""VoteNet and 3DETR: batches, training, initial weights, other backbones, bad input."""

from __future__ import annotations

import copy

import pytest
import torch

from dense3d.detection3d.threedetr.position import SceneBounds, bounds_of
from dense3d.errors import ConfigError, DataError
from dense3d.structures import PointDataSample
from tests.detection3d.indoor.rooms import BACKBONE, batch, losses_of, threedetr, votenet

DETECTORS = pytest.mark.parametrize("make", [votenet, threedetr])


@DETECTORS
def test_batch_equals_single(make):
    model = make().eval()
    inputs, samples = batch(0, 1)
    together = model(inputs, copy.deepcopy(samples), mode="predict")
    for seed, found in enumerate(together):
        (alone,) = model(*batch(seed), mode="predict")
        torch.testing.assert_close(found.pred_boxes, alone.pred_boxes, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.pred_box_scores, alone.pred_box_scores, rtol=1e-4, atol=1e-5)
        assert torch.equal(found.pred_box_labels, alone.pred_box_labels)


@DETECTORS
def test_clouds_of_several_sizes_equal_single_ones(make):
    model = make().eval()
    together = model(*batch(0, 1, numbers=(300, 170)), mode="predict")
    for index, (seed, number) in enumerate(((0, 300), (1, 170))):
        (alone,) = model(*batch(seed, numbers=(number,)), mode="predict")
        torch.testing.assert_close(together[index].pred_boxes, alone.pred_boxes, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("make", "instances"), [(votenet, False), (votenet, True), (threedetr, False)])
def test_training_finds_the_boxes_of_a_scene(make, instances):
    """A detector that learns at all learns a single scene by heart."""
    model = make()
    inputs, samples = batch(0, 0, instances=instances)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    first = losses_of(model, inputs, samples).item()
    for _ in range(50):
        loss = losses_of(model, inputs, samples)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.65 * first


@DETECTORS
def test_every_parameter_has_a_finite_gradient(make):
    model = make(criterion=dict(iou="giou")) if make is votenet else make(criterion=dict(giou=1.0))
    losses_of(model, *batch(0, 1)).backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert [name for name, grad in gradients.items() if grad is None or not grad.isfinite().all()] == []


@DETECTORS
def test_scenes_without_boxes_train(make):
    model = make()
    inputs, samples = batch(0, 1)
    for sample in samples:
        sample.gt_boxes, sample.gt_box_labels = torch.zeros(0, 7), torch.zeros(0, dtype=torch.long)
    loss = losses_of(model, inputs, samples)
    loss.backward()
    assert loss.isfinite()


@DETECTORS
def test_half_precision_on_a_cpu(make):
    model = make()
    with torch.autocast("cpu", torch.bfloat16):
        loss = losses_of(model, *batch(0, 1))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("query_content", ["zero", "points"])
def test_queries_may_begin_with_the_features_of_their_points(query_content):
    """Where layers change nothing, the heads see a query's first content: that of its point, or zero."""
    inputs, _ = batch(0)
    model = threedetr(query_content=query_content).eval()
    for layer in model.decoder.layers:
        layer.forward = lambda content, *_: content
    model.decoder.norm = torch.nn.Identity()
    content = []
    model.heads.register_forward_pre_hook(lambda _, given: content.append(given[0]))
    model(inputs)
    encoded = model.encoder(model.backbone.seeds(inputs["points"], inputs["features"], None))
    of_points = model.projection(encoded.features[0])[model.query_indices(encoded.points)[0]]
    expected = of_points if query_content == "points" else torch.zeros_like(of_points)
    torch.testing.assert_close(content[0], expected.expand(2, 1, -1, -1))


def test_bounds_of_a_scene_may_be_given():
    """Official files state them; places and sizes then count from them, and not from the points."""
    model = threedetr().eval()
    inputs, _ = batch(0, 1)
    points = inputs["points"]
    own = bounds_of(points)
    wide = SceneBounds(own.low - 1, own.high + 2)
    found = model.predictions(points, inputs["features"], None, wide)
    centres, sizes = found.boxes[..., :3], found.boxes[..., 3:6]
    torch.testing.assert_close(found.centres, (centres - wide.low[:, None]) / (wide.high - wide.low)[:, None])
    torch.testing.assert_close(found.sizes, sizes / (wide.high - wide.low)[:, None])
    same = model.predictions(points, inputs["features"], None, own)
    assert torch.equal(same.boxes, model(inputs).boxes) and not torch.equal(same.boxes, found.boxes)


def test_predictions_of_an_empty_scene_are_none_or_one():
    """No box holds five points: the likeliest stays, if it is likely enough."""
    model = threedetr(decoding=dict(min_points=10_000, entries="objectness")).eval()
    (found,) = model(*batch(0), mode="predict")
    assert len(found.pred_boxes) <= 1


@DETECTORS
def test_initial_weights_are_the_official_ones(make):
    model = make()
    layer = model.backbone.abstractions[1].layers[0][0]  # Kaiming-normal
    assert layer.weight.std().item() == pytest.approx((2 / layer.in_features) ** 0.5, rel=0.15)
    assert layer.bias is None
    if make is votenet:
        weight = model.voting.predict.weight  # PyTorch's
        assert weight.abs().max() <= weight.shape[1] ** -0.5
        return
    weight = model.decoder.layers[0].self_attention.in_proj.weight  # Xavier-uniform
    assert weight.abs().max().item() == pytest.approx((6 / sum(weight.shape)) ** 0.5, rel=0.02)
    assert model.projection[0][0].weight.abs().max() <= model.projection[0][0].in_features ** -0.5
    assert "position.projection" in model.state_dict()


@DETECTORS
def test_bad_input_is_a_sentence(make):
    model = make()
    with pytest.raises(DataError, match=r"a cloud of 40 points is too small .* chooses 48"):
        model(*batch(0, numbers=(40,)), mode="loss")
    inputs, samples = batch(0)
    with pytest.raises(DataError, match=r"have 0 features a point .* takes 1"):
        model(inputs["points"], samples, mode="loss")
    with pytest.raises(DataError, match="without gt_boxes"):
        model(inputs, [PointDataSample()], mode="loss")
    broken = dict(inputs, points=inputs["points"].index_fill(1, torch.tensor([5]), torch.nan))
    with pytest.raises(DataError, match="finite"):
        model(broken, samples, mode="loss")
    flat = copy.deepcopy(samples)
    flat[0].gt_boxes[1, 4] = 0
    with pytest.raises(DataError, match="room 0 has a box without volume"):
        model(inputs, flat, mode="loss")
    wrong = copy.deepcopy(samples)
    wrong[0].gt_box_labels[0] = 7
    with pytest.raises(DataError, match="label 7 and the model 3 classes"):
        model(inputs, wrong, mode="loss")


@DETECTORS
def test_turned_boxes_need_bins(make):
    with pytest.raises(DataError, match=r"boxes are turned .* num_heading_bins=12"):
        make(num_heading_bins=1)(*batch(0), mode="loss")


def test_bad_settings_are_sentences():
    for settings, words in (
        (dict(votes="centres"), "votes='centres'"),
        (dict(proposals=dict(sampling="grid")), "not by 'grid'"),
        (dict(criterion=dict(iou="ciou")), "iou='ciou'"),
        (dict(decoding=dict(suppression="soft")), "not 'soft'"),
    ):
        with pytest.raises(ConfigError, match=words):
            votenet(**settings)
    with pytest.raises(ConfigError, match="mean_sizes are length, width and height"):
        type(votenet())(BACKBONE, 3, [(1.0, 0.0, 1.0)])
    with pytest.raises(DataError, match="24 encoded points cannot hold 30"):
        threedetr(
            num_queries=30,
            encoder=dict(
                num_layers=1,
                num_heads=2,
                downsampling=dict(num_points=24, radius=1.0, num_neighbours=4, channels=(16,)),
            ),
        )(*batch(0))
    with pytest.raises(ConfigError, match=r"query_content='learned' .* 'zero', 'points'"):
        threedetr(query_content="learned")
    with pytest.raises(ConfigError, match="2 radii for 1 layers"):
        threedetr(encoder=dict(num_layers=1, num_heads=2, radii=(1.0, 2.0)))
    with pytest.raises(DataError, match="48 seeds cannot make 50 proposals"):
        votenet(proposals=dict(num_proposals=50))(*batch(0))
