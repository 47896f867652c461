"""The whole detector, tiny: losses and gradients on awkward input, parts alone, prediction, learning."""

from __future__ import annotations

import pytest
import torch

from dense3d.config import load_config
from dense3d.detection2d.vidt import NeckFreeViDT, Predictions, Targets, ViDTCriterion
from dense3d.detection2d.vidt.targets import targets_of
from dense3d.errors import ConfigError, DataError


def backward(model, images, samples):
    """Losses after a backward pass, with their sum finite and a finite gradient at every parameter."""
    losses = model.train().loss(images, samples)
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    trained = {name: p.grad for name, p in model.named_parameters()}
    assert [name for name, grad in trained.items() if grad is None or not grad.isfinite().all()] == []
    return losses


def test_losses_have_the_official_names(build, batch):
    losses = build(plus=True).train().loss(*batch())
    kinds = [f"loss_{kind}" for kind in ("ce", "bbox", "giou", "iouaware", "vector")]
    names = {f"{kind}{layer}" for kind in kinds for layer in ("_0", "_1", "")}
    assert set(losses) == names | {"loss_token_focal", "loss_token_dice"}
    assert len(build().train().loss(*batch(masks=False))) == 9


@pytest.mark.parametrize("plus", [False, True], ids=["vidt", "plus"])
@pytest.mark.parametrize(
    "counts, changes",
    [
        ((0, 0), {}),
        ((0, 2), {}),
        ((30, 1), {}),
        ((2, 1), dict(with_cp=True)),
        ((2, 1), dict(box_refine=False)),
    ],
    ids=["no_boxes", "one_image_empty", "more_boxes_than_tokens", "checkpointing", "without_refinement"],
)
def test_every_parameter_gets_a_finite_gradient(build, batch, plus, counts, changes):
    backward(build(plus, **changes), *batch(counts))


def test_without_a_neck(build_free, batch):
    for counts in ((2, 1), (0, 0), (30, 1)):
        backward(build_free(), *batch(counts, masks=False))
    model = build_free().eval()
    results = model.predict(*batch(masks=False))
    assert [len(r.pred_instances) for r in results] == [12, 12]
    assert (results[0].pred_instances.scores.diff() <= 0).all()


def test_losses_without_a_neck_of_perfect_predictions(build_free, batch):
    _, samples = batch((3,), masks=False)
    model, targets = build_free(), targets_of(samples, (64, 96))
    boxes = torch.cat((targets.boxes, torch.full((1, 1, 4), 0.5)), dim=1).flip(1)
    logits = torch.full((1, 4, 6), -20.0)
    logits[0, 0, 5] = 20.0
    for query, label in zip((3, 2, 1), targets.labels[0]):
        logits[0, query, label] = 20.0
    assert all(value < 1e-5 for value in model.terms(logits, boxes, targets).values())


@pytest.mark.parametrize("size", [(33, 50), (70, 101), (32, 32)])
def test_odd_sizes(build, batch, size):
    model = build(plus=True)
    images, samples = batch(size=size)
    backward(model, images, samples)
    masks = model.eval().predict(images, samples, rescale=False)[0].pred_instances.masks
    assert masks.shape[1:] == size


@pytest.mark.parametrize("plus", [False, True], ids=["vidt", "plus"])
def test_batched_equals_single(build, batch, plus):
    model = build(plus).eval()
    images, samples = batch(contents=((64, 96), (40, 61)))
    with torch.no_grad():
        both = model(images, samples)
        for i in range(2):
            for one, alone in zip(both, model(images[i : i + 1], samples[i : i + 1])):
                torch.testing.assert_close(one[:, i], alone[:, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("plus", [False, True], ids=["vidt", "plus"])
def test_bfloat16(build, batch, plus):
    model = build(plus).eval()
    images, samples = batch()
    exact = model.loss(images, samples)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model.loss(images, samples)
        assert all(r.pred_instances.bboxes.dtype == torch.float32 for r in model.predict(images, samples))
    for name, loss in exact.items():
        torch.testing.assert_close(rounded[name].float(), loss, atol=0.3, rtol=0.1)


def test_initial_predictions(build, batch):
    model = build(plus=True, num_classes=20)
    logits, boxes = model.eval()(*batch())
    assert (logits.sigmoid().mean() - 0.01).abs() < 0.01
    heads = model.decoder.bbox_embed
    assert heads[0].layers[-1].bias.tolist() == [0, 0, -2, -2] and not heads[1].layers[-1].bias.any()
    assert (boxes[..., 2:] - torch.tensor(-2.0).sigmoid()).abs().max() < 1e-5
    assert model.vector_embed.layers[-1].bias[2:].unique().tolist() == [-2.0]
    bound = model.class_embed[0].in_features ** -0.5
    assert model.iou_embed[1].layers[0].weight.abs().max() <= bound
    assert model.token_head.token_embed.out_features == 21


def test_masks_are_needed(build, batch):
    images, samples = batch(masks=False)
    with pytest.raises(
        DataError, match=r"without masks.*with_mask=True.*mask_vectors=None.*token_label=False"
    ):
        build(plus=True).loss(images, samples)
    assert build(pyramid_fusion=True, iou_aware=True).loss(images, samples)


def test_parts_of_plus_alone(build, batch):
    for part, name in ((dict(iou_aware=True), "iouaware"), (dict(token_label=True), "token_dice")):
        assert f"loss_{name}" in build(**part).loss(*batch())
    result = build(mask_vectors=dict(num_coefficients=10, side=16)).eval().predict(*batch())[0]
    assert result.pred_instances.masks.dtype == torch.bool


def test_predictions_in_the_original_image(build, batch):
    model = build(plus=True, test_cfg=dict(max_per_img=7)).eval()
    images, samples = batch(contents=((64, 96), (40, 60)))
    resized = [r.pred_instances for r in model.predict(images, samples, rescale=False)]
    original = [r.pred_instances for r in model.predict(images, samples)]
    for one, other, size in zip(resized, original, ((32, 48), (20, 30))):
        torch.testing.assert_close(one.bboxes / 2, other.bboxes)
        assert other.masks.shape == (7, *size) and (one.scores.diff() <= 0).all()


def test_row_zero_of_token_labels_is_no_class(batch):
    """With labels from 0 on, class 0 has a row of its own; with ids, row 0 says "any object"."""
    _, samples = batch((1, 1))
    for sample in samples:
        sample.gt_instances.labels = torch.zeros(1).long()
    (shares,) = targets_of(samples, (64, 96), None, (6, 1), [(8, 12)]).shares
    assert shares.shape == (2, 8, 12, 6)
    assert torch.equal(shares[..., 0], shares[..., 1]) and not shares[..., 2:].any() and shares[..., 0].any()
    (shares,) = targets_of(samples, (64, 96), None, (6, 0), [(8, 12)]).shares
    assert shares[..., 0].any() and not shares[..., 1:].any()


def test_overlap_moves_the_boxes():
    """The IoU that the head learns keeps its gradient, as in the official code."""
    boxes = torch.tensor([[[[0.5, 0.5, 0.2, 0.2]]]], requires_grad=True)
    predictions = Predictions(torch.zeros(1, 1, 1, 2), boxes, ious=torch.ones(1, 1, 1, 1))
    targets = Targets.of([torch.tensor([0])], [torch.tensor([[0.5, 0.5, 0.3, 0.3]])])
    only = ViDTCriterion(dict(bbox=0.0, giou=0.0))(predictions, targets)
    (gradient,) = torch.autograd.grad(only["loss_iouaware"], boxes)
    assert gradient.abs().sum() > 0
    iou = 0.04 / 0.09
    expected = 2 * torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(1.0), torch.tensor(iou))
    torch.testing.assert_close(only["loss_iouaware"], expected)


def test_boxes_refine_from_the_box_before(build, batch):
    images, samples = batch()
    model = build().eval()
    torch.nn.init.constant_(model.decoder.bbox_embed[1].layers[-1].bias[:2], 1.0)
    boxes = model(images, samples)[1]
    before, after = (torch.logit(layer[..., :2]) for layer in boxes[:2])
    torch.testing.assert_close(after, before + 1, atol=1e-4, rtol=1e-4)
    shared = build(box_refine=False).eval()
    decoded, _ = shared.decode(images, samples)
    assert len(shared.decoder.bbox_embed) == len(shared.class_embed) == 1
    torch.testing.assert_close(decoded.boxes[2, ..., :2], decoded.initial, atol=1e-4, rtol=1e-4)


def test_fewer_layers_in_inference(build, batch):
    images, samples = batch()
    model = build(plus=True, test_cfg=dict(decoder_layers=1)).eval()
    result = model.predict(images, samples, rescale=False)[0].pred_instances
    logits, boxes = model(images, samples)
    expected = model.detections(logits[1, 0], boxes[1, 0], None, (64, 96))
    torch.testing.assert_close(result.bboxes, expected.bboxes)


def test_decay_is_the_official(build):
    from mmengine.optim import build_optim_wrapper

    cfg = load_config("vidt_swin-nano_8xb2-50e_coco")
    model = build(plus=True)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert {group["lr"] for group in optimizer.param_groups} == {1e-4}
    for name, parameter in model.named_parameters():
        tokens = name in ("backbone.det_token", "backbone.det_pos_embed")
        free = name.startswith("backbone.") and (parameter.dim() == 1 or tokens)
        assert decay[id(parameter)] == (0.0 if free else 1e-4), name


def test_a_few_images_are_learnt(build, batch):
    """All losses fall in some steps on two images, from random weights."""
    model = build(plus=True, criterion=dict(weights=dict(vector=0.3))).train()
    images, samples = batch((2, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    history = []
    for _ in range(60):
        losses = model.loss(images, samples)
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    first, last = history[0], history[-1]
    assert last["loss_bbox"] < 0.5 * first["loss_bbox"]
    assert last["loss_ce"] < 0.5 * first["loss_ce"]
    assert last["loss_token_dice"] < 0.7 * first["loss_token_dice"]


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(embed_dims=48), "embed_dims=48"),
        (dict(backbone=dict(type="Swin", arch="tiny")), r"Swin carries no \[DET\] tokens"),
        (dict(criterion=dict(weights=dict(bboxes=1.0))), "no 'bboxes'.*bbox"),
    ],
)
def test_bad_arguments(build, body_config, changes, message):
    with pytest.raises(ConfigError, match=message):
        build(**changes)
    with pytest.raises(ConfigError, match="last_merging=False"):
        NeckFreeViDT(body_config, embed_dims=64)


def test_unknown_mode(build, batch):
    with pytest.raises(ConfigError, match="mode='losses'"):
        build()(*batch(), mode="losses")
