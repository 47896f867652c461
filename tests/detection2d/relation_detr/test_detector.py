"""The whole detector, tiny: losses and gradients on awkward input, switches, prediction."""

from __future__ import annotations

import pytest
import torch

from dense3d.errors import ConfigError


def backward(model, images, samples):
    """Losses after a backward pass, with their sum finite and a finite gradient at every parameter."""
    losses = model.train().loss(images, samples)
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    trained = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, grad in trained.items() if grad is None] == []
    assert [name for name, grad in trained.items() if not grad.isfinite().all()] == []
    return losses


def test_losses_have_the_official_names(build, batch):
    losses = build(decoder_layers=6).train().loss(*batch())
    kinds = [f"loss_{kind}" for kind in ("class", "bbox", "giou")]
    layers = ["", *(f"_{i}" for i in range(5))]
    names = {f"{k}{s}{h}" for k in kinds for s in [*layers, "_enc"] for h in ("", "_hybrid")}
    names |= {f"{k}_dn{s}" for k in kinds for s in layers}
    assert set(losses) == names
    assert len(losses) == 60


@pytest.mark.parametrize(
    "counts, changes",
    [
        ((0, 0), {}),
        ((0, 4), {}),
        ((50, 2), {}),
        ((2, 1), {"num_queries": 1}),
        ((2, 1), {"num_classes": 1}),
        ((2, 1), {"with_cp": True}),
    ],
    ids=["no_boxes", "one_image_empty", "more_boxes_than_queries", "one_query", "one_class", "checkpointing"],
)
def test_every_parameter_gets_a_finite_gradient(build, batch, counts, changes):
    backward(build(**changes), *batch(counts, num_classes=changes.get("num_classes", 5)))


def test_boxes_of_zero_area(build, batch):
    images, samples = batch()
    for sample in samples:
        sample.gt_instances.bboxes[:, 2:] = sample.gt_instances.bboxes[:, :2]
    backward(build(), images, samples)


def test_images_with_fewer_cells_than_queries(build, batch):
    images, samples = batch(size=(32, 32))
    model = build()
    backward(model, images, samples)
    cells = 4 * 4 + 2 * 2 + 1 + 1
    assert model.eval().predict_layers(images, samples)[1].shape == (3, 2, cells, 4)


def test_large_image(build):
    with torch.no_grad():
        logits, boxes = build().eval()(torch.zeros(1, 3, 1333, 2666))
    assert logits.shape == (3, 1, 30, 5)
    assert boxes.isfinite().all()


def test_five_levels(build, batch):
    neck = dict(
        type="mmdet.ChannelMapper",
        in_channels=[64, 128, 256, 512],
        kernel_size=1,
        out_channels=32,
        act_cfg=None,
        norm_cfg=dict(type="GN", num_groups=8),
        num_outs=5,
    )
    backbone = dict(type="TimmBackbone", model_name="resnet18", out_strides=(4, 8, 16, 32), freeze_norm=True)
    backward(build(backbone=backbone, neck=neck, num_levels=5), *batch())


def test_number_of_levels_must_agree(build, batch):
    with pytest.raises(ConfigError, match="num_levels is 5"):
        build(num_levels=5)(batch()[0])


@pytest.mark.parametrize("changes", [{}, {"relation": None}, {"query_scale": False}])
def test_one_decoder_layer_with_parts_of_the_second_is_refused(build, changes):
    with pytest.raises(ConfigError, match=r"decoder_layers=1, but .* or relation=None and query_scale=False"):
        build(decoder_layers=1, **changes)


def test_one_decoder_layer(build, batch):
    backward(build(decoder_layers=1, relation=None, query_scale=False), *batch())


@pytest.mark.parametrize(
    "changes, part",
    [
        ({"relation": None}, "decoder.relation."),
        ({"hybrid": None}, "hybrid_head."),
        ({"denoising": None}, "denoising."),
        ({"memory_fusion": False}, "encoder.memory_fusion."),
        ({"query_scale": False}, "decoder.query_scale."),
    ],
    ids=["relation", "hybrid", "denoising", "memory_fusion", "query_scale"],
)
def test_each_part_can_be_switched_off_alone(build, batch, changes, part):
    whole, without = build(), build(**changes)
    gone = set(dict(whole.named_parameters())) - set(dict(without.named_parameters()))
    assert gone
    assert all(name.startswith(part) for name in gone)
    backward(without, *batch())


def test_class_loss_can_be_changed(build, batch):
    images, samples = batch()
    varifocal = build(denoising=None).train().loss(images, samples)
    focal = build(denoising=None, criterion=dict(class_loss="focal")).train().loss(images, samples)
    assert focal["loss_class"] != varifocal["loss_class"]
    assert torch.equal(focal["loss_bbox"], varifocal["loss_bbox"])


def test_without_weights_the_relation_changes_nothing(build, batch):
    images, samples = batch(contents=[(96, 128), (64, 100)])
    model = build().eval()
    plain = build(relation=None).eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    torch.nn.init.normal_(model.decoder.relation.pos_proj[0].weight)
    with torch.no_grad():
        expected = plain(images, samples)
        assert not torch.allclose(model(images, samples)[0], expected[0], atol=1e-4)
        for parameter in model.decoder.relation.parameters():
            parameter.zero_()
        assert torch.allclose(model(images, samples)[0], expected[0], atol=1e-5)


def test_checkpointing_changes_no_gradient(build, batch):
    images, samples = batch()
    gradients = []
    for with_cp in (False, True):
        model = build(with_cp=with_cp, denoising=None)
        backward(model, images, samples)
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(*gradients))


def test_bfloat16_training_stays_near(build, batch):
    images, samples = batch()
    losses = []
    for enabled in (False, True):
        model = build(denoising=None)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses.append(sum(backward(model, images, samples).values()))
    assert torch.isclose(losses[0], losses[1], rtol=0.05)


def test_padded_cells_are_no_proposals(build, batch):
    images, samples = batch((1, 1), size=(128, 128), contents=[(128, 128), (64, 128)])
    model = build().eval()
    with torch.no_grad():
        scene = model.encode(images, samples)
        selection = model.select(model.query_head, scene)
    assert scene.padding_mask.sum(1).tolist() == [0, (16 * 16 + 8 * 8 + 4 * 4 + 2 * 2) // 2]
    assert not scene.padding_mask[1][selection.index[1]].any()


def test_predictions_are_in_the_original_image(build, batch):
    images, samples = batch()
    model = build().eval()
    with torch.no_grad():
        scaled = [s.pred_instances.bboxes.clone() for s in model.predict(images, samples, rescale=False)]
        original = model.predict(images, samples)
    for boxes, sample in zip(scaled, original):
        result = sample.pred_instances
        assert torch.allclose(result.bboxes * 2, boxes, atol=1e-4)
        assert len(result) == 20
        assert (result.scores.diff() <= 0).all()
        assert result.labels.max() < 5


def test_predictions_of_one_query_of_one_class(build, batch):
    model = build(num_queries=1, num_classes=1).eval()
    for sample in model.predict(*batch(num_classes=1)):
        assert sample.pred_instances.labels.tolist() == [0]
        assert sample.pred_instances.bboxes.isfinite().all()


def test_score_threshold(build, batch):
    images, samples = batch()
    model = build(test_cfg=dict(score_thr=0.9)).eval()
    assert all(len(sample.pred_instances) == 0 for sample in model.predict(images, samples))


def test_unknown_mode(build, batch):
    with pytest.raises(ConfigError, match="mode='train'"):
        build()(batch()[0], mode="train")


def test_initial_weights_follow_the_paper(build):
    model = build()
    heads = [*model.decoder.bbox_head, model.query_head.bbox_head, model.hybrid_head.bbox_head]
    assert all(not head.layers[-1].weight.any() and not head.layers[-1].bias.any() for head in heads)
    classes = [*model.decoder.class_head, model.query_head.class_head, model.hybrid_head.class_head]
    assert all(torch.allclose(head.bias.sigmoid(), torch.tensor(0.01)) for head in classes)


def test_boxes_of_one_image_are_learnt(build, batch):
    images, samples = batch((2,), size=(64, 96))
    model = build(num_queries=10, hybrid=dict(num_queries=12, assign=2), denoising=None).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    distances = []
    for _ in range(60):
        losses = model.loss(images, samples)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        distances.append(losses["loss_bbox"].item())
    # A run gets below a fifth; other rounding leads to other runs.
    assert sum(distances[-10:]) / 10 < 0.5 * distances[0]
