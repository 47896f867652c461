"""Models with exits: depths, gradients, the gate, batches, costs."""

from __future__ import annotations

import copy

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from dense3d.config import load_config
from dense3d.early_exit.targets import ExitTargets
from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.exit_cost import ExitCostMetric
from dense3d.registry import MODELS

BACKBONE = dict(type="ConvNeXt", arch=dict(dims=(8, 16, 16, 16), depths=(1, 1, 1, 1)), drop_path_rate=0.0)
HEAD = dict(
    num_queries=6, embed_dims=64, encoder_channels=64, encoder_layers=4, decoder_layers=2, decoder_channels=64
)
PARENT = dict(
    backbone=BACKBONE,
    num_classes=4,
    thing_classes=(0, 1),
    head=HEAD,
    criterion=dict(num_points=64),
    test_cfg=dict(score_threshold=0.0, overlap_threshold=0.0),
)
ATTENTION = dict(embed_dims=32, num_heads=4, batch_first=True, dropout=0.0)
FEED_FORWARD = dict(embed_dims=32, feedforward_channels=32, ffn_drop=0.0)
ENCODER_LAYER = dict(self_attn_cfg=dict(ATTENTION, num_levels=3), ffn_cfg=FEED_FORWARD)
DETECTOR = dict(
    type="EarlyExitDINO",
    num_queries=6,
    with_box_refine=True,
    as_two_stage=True,
    num_feature_levels=3,
    backbone=dict(BACKBONE, type="dense3d.ConvNeXt", out_indices=(1, 2, 3)),
    neck=dict(
        type="mmdet.ChannelMapper",
        in_channels=[16, 16, 16],
        kernel_size=1,
        out_channels=32,
        act_cfg=None,
        norm_cfg=dict(type="GN", num_groups=4),
        num_outs=3,
    ),
    encoder=dict(num_layers=4, layer_cfg=ENCODER_LAYER),
    decoder=dict(
        num_layers=2,
        return_intermediate=True,
        layer_cfg=dict(
            self_attn_cfg=ATTENTION, cross_attn_cfg=dict(ATTENTION, num_levels=3), ffn_cfg=FEED_FORWARD
        ),
        post_norm_cfg=None,
    ),
    positional_encoding=dict(num_feats=16, normalize=True, offset=0.0, temperature=20),
    bbox_head=dict(
        type="mmdet.DINOHead",
        num_classes=4,
        embed_dims=32,
        sync_cls_avg_factor=True,
        loss_cls=dict(type="mmdet.FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="mmdet.L1Loss", loss_weight=5.0),
        loss_iou=dict(type="mmdet.GIoULoss", loss_weight=2.0),
    ),
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=4),
    ),
    train_cfg=dict(
        assigner=dict(
            type="mmdet.HungarianAssigner",
            match_costs=[
                dict(type="mmdet.FocalLossCost", weight=2.0),
                dict(type="mmdet.BBoxL1Cost", weight=5.0, box_format="xywh"),
                dict(type="mmdet.IoUCost", iou_mode="giou", weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=6),
)
SEGMENTER = dict(PARENT, type="ECOM2F")
SIZE = (64, 96)
both = pytest.mark.parametrize("config", [SEGMENTER, DETECTOR], ids=["eco-m2f", "dino"])


def build(config: dict, **changes):
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy({**config, **changes}))
    model.init_weights()
    for module in model.modules():  # branches that start at zero hide what lies behind them
        if hasattr(module, "sampling_offsets"):
            torch.nn.init.normal_(module.sampling_offsets.weight, std=0.05)
    return model


def samples(number: int) -> list[DetDataSample]:
    """Images with two boxes of class 0 and, below, a stripe of the stuff class 2."""
    found = []
    for i in range(number):
        meta = dict(img_id=i, img_shape=SIZE, ori_shape=SIZE, batch_input_shape=SIZE, scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=meta)
        boxes = torch.tensor([[4.0, 4.0, 30.0, 20.0 + i], [40.0, 8.0, 70.0, 28.0]])
        masks = torch.zeros(2, *SIZE, dtype=torch.bool)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
            mask[y1:y2, x1:x2] = True
        classes = torch.where(torch.arange(SIZE[0])[:, None] > 40, 2, 255).expand(1, *SIZE).clone()
        classes[:, masks.any(0)] = 0
        labels = torch.zeros(2, dtype=torch.long)
        sample.gt_instances = InstanceData(bboxes=boxes, masks=masks, labels=labels)
        sample.gt_sem_seg = PixelData(sem_seg=classes)
        found.append(sample)
    return found


def scores(sample: DetDataSample) -> torch.Tensor:
    """What a result says, as numbers."""
    if "pred_instances" in sample:
        return torch.cat((sample.pred_instances.bboxes, sample.pred_instances.scores[:, None]), dim=1)
    return sample.pred_panoptic_seg.sem_seg


def test_full_depth_is_mask2former():
    parent = build(PARENT, type="Mask2Former").eval()
    model = build(SEGMENTER, depth=4).eval()
    report = model.load_state_dict(parent.state_dict(), strict=False)
    assert report.missing_keys == ["gate.head.weight", "gate.head.bias"] and not report.unexpected_keys
    images = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        for mine, theirs in zip(model(images), parent(images)):
            torch.testing.assert_close(torch.stack(mine), torch.stack(theirs), rtol=0, atol=0)


def test_an_exit_is_a_mask2former_with_fewer_layers():
    model = build(SEGMENTER, depth=2).eval()
    short = build(PARENT, type="Mask2Former", head=dict(HEAD, encoder_layers=2)).eval()
    short.load_state_dict({n: v for n, v in model.state_dict().items() if n in short.state_dict()})
    images = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        for mine, theirs in zip(model(images), short(images)):
            torch.testing.assert_close(torch.stack(mine), torch.stack(theirs), rtol=0, atol=0)


@both
def test_gradients_reach_every_exit(config):
    """A loss at depth k reaches layers 1 ... k and no others; that of all exits reaches all."""
    model = build(config).train()
    images, found = torch.randn(2, 3, *SIZE), samples(2)
    layers = model.exit_encoder.layers
    for depth in model.exits:
        model.zero_grad(set_to_none=True)
        with model.exit_encoder.leaving_at(depth):
            sum(model.losses_of(model.extract_feat(images), images, found).values()).backward()
        reached = [layer.ffn.layers[1].weight.grad is not None for layer in layers]
        assert reached == [number < depth for number in range(len(layers))]


@both
def test_all_exits_are_the_weighted_mean_of_single_ones(config):
    model = build(config, exit_training="all").train()
    images, found = torch.randn(2, 3, *SIZE), samples(2)
    torch.manual_seed(3)
    together = {name: value.detach() for name, value in model.loss(images, found).items()}
    torch.manual_seed(3)
    features = model.extract_feat(images)
    single = []
    for depth in model.exits:
        with model.exit_encoder.leaving_at(depth):
            single.append(model.losses_of(features, images, found))
    for name, value in together.items():
        wanted = sum(d * losses[name].detach() for d, losses in zip(model.exits, single)) / sum(model.exits)
        torch.testing.assert_close(value, wanted)


def test_random_exits_are_drawn_with_their_weights(monkeypatch):
    model = build(SEGMENTER).train()
    seen = []

    def losses_of(features, inputs, data_samples):
        seen.append(model.exit_encoder._depths)
        return {"loss": torch.ones(())}

    monkeypatch.setattr(model, "losses_of", losses_of)
    monkeypatch.setattr(model, "extract_feat", lambda inputs: ())
    weights = [model.loss(None, None)["loss"].item() for _ in range(60)]
    assert set(seen) == {2, 3, 4}
    assert weights == pytest.approx([depth / 3 for depth in seen])


@both
def test_gate_takes_the_largest_logit(config):
    model = build(config).eval()
    images = torch.randn(3, 3, *SIZE)
    for number, depth in enumerate(model.exits):
        model.gate.head.bias.data = 100 * torch.eye(len(model.exits))[number]
        assert [s.exit_depth for s in model.predict(images, samples(3))] == [depth] * 3


def test_gate_sees_the_coarsest_map_only():
    model = build(SEGMENTER).eval()
    with torch.no_grad():
        features = list(model.extract_feat(torch.randn(2, 3, *SIZE)))
        logits = model.gate(model.coarsest_map(features))
        others = [torch.randn_like(feature) for feature in features[:-1]]
        torch.testing.assert_close(model.gate(model.coarsest_map([*others, features[-1]])), logits)
        assert not torch.allclose(model.gate(model.coarsest_map([*features[:-1], -features[-1]])), logits)


@both
def test_mixed_depths_are_those_of_single_images(config):
    """A batch whose images leave at different depths gives what each gives alone."""
    model = build(config).eval()
    images = torch.randn(4, 3, *SIZE)
    spread = iter([[4, 2, 3, 2], [4], [2], [3], [2]])
    model.gate.depths = lambda logits: next(spread)
    together = model.predict(images, samples(4))
    alone = [model.predict(image[None], [sample])[0] for image, sample in zip(images, samples(4))]
    assert [sample.exit_depth for sample in together] == [4, 2, 3, 2]
    for one, other in zip(together, alone):
        assert one.exit_depth == other.exit_depth
        close = torch.isclose(scores(one).float(), scores(other).float(), atol=1e-3, rtol=1e-3)
        assert close.float().mean() > 0.995


def test_a_layer_computes_only_the_images_that_go_on():
    model = build(SEGMENTER).eval()
    sizes = []
    for layer in model.exit_encoder.layers:
        layer.register_forward_hook(lambda _module, _inputs, output: sizes.append(len(output)))
    with torch.no_grad(), model.exit_encoder.leaving_at([3, 2, 2, 4]):
        model.decode(model.extract_feat(torch.randn(4, 3, *SIZE)))
    assert sizes == [4, 4, 2, 1]


@both
def test_results_of_all_exits_are_those_of_each(config):
    model = build(config).eval()
    images = torch.randn(2, 3, *SIZE)
    walked = {d: [scores(s).clone() for s in found] for d, found in model.predict_exits(images, samples(2))}
    assert tuple(walked) == model.exits
    for depth in model.exits:
        model.depth = depth
        for one, other in zip(model.predict(images, samples(2)), walked[depth]):
            torch.testing.assert_close(scores(one), other)


@both
def test_cost_is_affine_in_depth(config):
    """A layer is: projections of values and outputs, offsets, weights, and the MLP, for each token."""
    model = build(config, count_cost=True).eval()
    costs = torch.tensor([model.costs.gflops(SIZE, depth) for depth in model.exits], dtype=torch.float64)
    steps = costs.diff()
    assert (steps > 0).all()
    width, heads = (64, 8) if config is SEGMENTER else (32, 4)
    tokens = sum((SIZE[0] // stride) * (SIZE[1] // stride) for stride in (8, 16, 32))
    hidden = 64 if config is SEGMENTER else 32
    layer = tokens * (2 * width**2 + width * heads * 3 * 4 * 3 + 2 * width * hidden)
    assert steps.tolist() == pytest.approx([layer / 1e9] * 2, rel=1e-9)


def test_results_carry_their_cost_and_the_metric_averages_it():
    model = build(SEGMENTER, count_cost=True).eval()
    spread = [4, 2]
    model.gate.depths = lambda logits: spread
    found = model.predict(torch.randn(2, 3, *SIZE), samples(2))
    assert [s.gflops for s in found] == [model.costs.gflops(SIZE, depth) for depth in spread]
    metric = ExitCostMetric()
    metric.process(None, [sample.to_dict() for sample in found])
    figures = metric.evaluate(2)
    assert figures["cost/depth"] == 3
    assert figures["cost/GFLOPs"] == pytest.approx(model.costs.gflops(SIZE, 3))
    with pytest.raises(ConfigError, match="count_cost=True"):
        metric.process(None, [samples(1)[0].to_dict()])


def gate_file(tmp_path, images: int, exits=(2, 3, 4)) -> str:
    """Image i aims at exit i."""
    path = tmp_path / "depths.json"
    quality = {str(i): tuple(0.9 if i % 3 == e else 0.1 for e in range(len(exits))) for i in range(images)}
    ExitTargets(exits, 0.0, quality | {"8": None}, tuple(1.0 for _ in exits)).write(path)
    return str(path)


@both
def test_only_the_gate_is_trained_on_the_file(config, tmp_path):
    model = build(config, gate_targets=gate_file(tmp_path, 3)).train()
    before = copy.deepcopy(model.state_dict())
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {"gate.head.weight", "gate.head.bias"}
    assert [m for m in model.modules() if m.training] == [model]
    images, found = torch.randn(3, 3, *SIZE), samples(3)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        losses = model.loss(images, found)
        losses["loss_gate"].backward()
        optimizer.step()
    assert losses["gate_accuracy"] == 1
    assert [s.exit_depth for s in model.eval().predict(images, found)] == [2, 3, 4]
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == trained


def test_images_without_target_do_not_teach(tmp_path):
    model = build(SEGMENTER, gate_targets=gate_file(tmp_path, 1)).train()
    images, found = torch.randn(2, 3, *SIZE), samples(2)
    found[1].set_metainfo(dict(img_id=8))
    mixed = model.loss(images, found)["loss_gate"]
    torch.testing.assert_close(mixed, model.loss(images[:1], found[:1])["loss_gate"])
    losses = model.loss(images[1:], found[1:])
    assert set(losses) == {"loss_gate"}  # and no accuracy that is not a number
    none = losses["loss_gate"]
    none.backward()
    assert none == 0 and (model.gate.head.weight.grad == 0).all()


def test_files_of_other_models_and_images_are_refused(tmp_path):
    model = build(SEGMENTER, gate_targets=gate_file(tmp_path, 3, exits=(1, 2, 3)))
    with pytest.raises(DataError, match=r"exits at \(1, 2, 3\), but this one has \(2, 3, 4\)"):
        model.loss(torch.randn(1, 3, *SIZE), samples(1))
    model = build(SEGMENTER, gate_targets=gate_file(tmp_path, 1))
    with pytest.raises(DataError, match=r"depths\.json has no image 1"):
        model.loss(torch.randn(2, 3, *SIZE), samples(2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(min_depth=4), "min_depth=4 leaves no choice in an encoder of 4 layers: it must be in 1"),
        (dict(min_depth=0), "min_depth=0"),
        (dict(depth=1), r"depth=1 is none of the exits \(2, 3, 4\)"),
        (dict(exit_training="some"), "exit_training='some' is none of"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        build(SEGMENTER, **changes)


@pytest.mark.slow
def test_cost_on_cityscapes_is_the_published_one(repository):
    """Swin-T at 1024 x 2048: 412.0 GFLOPs after two layers and 537.8 after six, norms included there."""
    cfg = load_config(repository / "configs/eco_m2f/eco-m2f_swin-t_8xb2-90k_cityscapes-panoptic.py")
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model).eval()
    costs = [model.costs.gflops((1024, 2048), depth) for depth in (2, 6)]
    assert costs == pytest.approx([412.0, 537.8], rel=0.02)
    assert costs[1] - costs[0] == pytest.approx(4 * 31.47, rel=0.005)
