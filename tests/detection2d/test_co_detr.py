"""Co-DINO: queries at positives, their losses, groups in one decoder, and gradients everywhere."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmengine.structures import InstanceData

from dense3d.apis import build_model
from dense3d.config import load_config
from dense3d.errors import ConfigError
from tests.compatibility.batches import detection_batch

CLASSES = 6


@pytest.fixture(scope="module")
def config(repository):
    cfg = load_config(repository / "configs/synthetic/co-dino_r18_synthetic-coco.py").model
    cfg.num_queries = 12
    return cfg


def build(config, **changes) -> torch.nn.Module:
    """The detector, seeded, with box heads that are not at zero."""
    torch.manual_seed(0)
    model = build_model(config | changes)
    for parameter in model.bbox_head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture(scope="module")
def model(config):
    return build(config)


def losses_and_gradients(model, batch, amp: bool = False) -> tuple[dict, dict]:
    torch.manual_seed(0)
    model.train().zero_grad()
    data = model.data_preprocessor(copy.deepcopy(batch), training=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        losses = model(**data, mode="loss")
    total, _ = model.parse_losses(losses)
    total.backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


def without_boxes(batch: dict, images: range) -> dict:
    batch = copy.deepcopy(batch)
    for index in images:
        sample = batch["data_samples"][index]
        sample.gt_instances = sample.gt_instances[:0]
    return batch


@pytest.mark.parametrize("amp", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("empty", [range(0), range(1), range(2)], ids=["boxes", "one without", "no boxes"])
def test_losses_are_finite_and_reach_every_parameter(model, empty, amp):
    """What gets no gradient in some step makes distributed training wait for ever."""
    losses, gradients = losses_and_gradients(model, without_boxes(detection_batch(CLASSES), empty), amp)
    assert all(torch.as_tensor(v).isfinite().all() for loss in losses.values() for v in _listed(loss))
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert all(gradient.isfinite().all() for gradient in gradients.values())


def test_candidates_keep_full_precision_under_autocast(model):
    """In bfloat16 a coordinate of 1000 pixels is good to 4 only, and in float16 large areas overflow."""
    maps = [torch.randn(2, model.embed_dims, 64 >> k, 64 >> k) for k in range(5)]
    data = model.data_preprocessor(detection_batch(CLASSES), training=True)
    with torch.autocast("cpu", torch.bfloat16):
        for head in model.auxiliary_heads:
            for assigned in head.loss_and_assignments(maps, data["data_samples"])[1]:
                assert assigned.candidates.dtype == torch.float32
                rounded = assigned.candidates.bfloat16().float()
                assert "ATSS" in type(head).__name__ or not torch.equal(rounded, assigned.candidates)


def test_auxiliary_heads_start_as_in_mmdet(config):
    """Rare objects: class logits start at those of 1 %, and layers near zero."""
    faster_rcnn, atss = build(config).auxiliary_heads
    assert torch.allclose(atss.atss_cls.bias.sigmoid(), torch.tensor(0.01))
    for layer in (faster_rcnn.rpn_head.rpn_cls, faster_rcnn.roi_head.bbox_head.fc_cls, atss.atss_cls):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.2)
    assert atss.cls_out_channels == CLASSES


def test_every_head_gives_queries(model):
    losses, _ = losses_and_gradients(model, detection_batch(CLASSES))
    layers = len(model.decoder.layers)
    for index in range(len(model.auxiliary_heads)):
        own = [name for name in losses if name.endswith(f"_aux{index}")]
        assert len(own) == 3 * layers
        assert all(losses[name] > 0 for name in own)


def test_recomputed_encoder_gives_the_same_gradients(config, model):
    recomputed = build(config, encoder=dict(config.encoder, num_cp=1))
    assert type(recomputed.encoder.layers[0]) is not type(model.encoder.layers[0])
    recomputed.load_state_dict(model.state_dict())
    batch = detection_batch(CLASSES)
    expected_losses, expected = losses_and_gradients(model, batch)
    losses, gradients = losses_and_gradients(recomputed, batch)
    torch.testing.assert_close(losses["loss_bbox_aux0"], expected_losses["loss_bbox_aux0"])
    torch.testing.assert_close(gradients, expected, rtol=1e-4, atol=1e-5)


def test_groups_do_not_see_one_another(model):
    """Decoded together, each group comes out as if it were alone."""
    from dense3d.detection2d.co_detr.positive_queries import PositiveQueries

    model.train()
    data = model.data_preprocessor(detection_batch(CLASSES), training=True)
    torch.manual_seed(1)
    groups = []
    for length in (9, 13):
        boxes = torch.rand(2, length, 4) * 0.5 + 0.1
        labels = torch.zeros(2, length, dtype=torch.long)
        groups.append(PositiveQueries(boxes, labels, labels.float(), boxes, labels.bool(), 0))
    with torch.no_grad():
        maps = model.extract_feat(data["inputs"])
        encoder_inputs, inputs = model.pre_transformer(maps, data["data_samples"])
        encoded = model.forward_encoder(**encoder_inputs)
        queries, _ = model.pre_decoder(**encoded, batch_data_samples=data["data_samples"])
        inputs |= queries
        together = model.decode_groups(inputs, groups)
        alone = [model.forward_decoder(**inputs)["hidden_states"]]
        for index, group in enumerate(groups):
            content = model.query_embeddings[index](
                model.get_proposal_pos_embed(group.boxes.logit(), model.embed_dims // 2)
            )
            own = dict(query=content, reference_points=group.boxes, dn_mask=None)
            alone.append(model.forward_decoder(**inputs | own)["hidden_states"])
    assert len(together) == 3
    for (states, references), expected in zip(together, alone):
        torch.testing.assert_close(states, expected, rtol=1e-4, atol=1e-5)
        assert len(references) == len(model.decoder.layers) + 1
        assert references[0].shape[1] == expected.shape[2]


def test_maps_of_the_encoder(model):
    """Each token goes to the cell that it came from, and one smaller map follows."""
    dim, shapes = model.embed_dims, [(2, 3), (1, 2)]
    memory = torch.arange(8.0).reshape(1, 8, 1).expand(1, 8, dim)
    first, second, smaller = model.encoded_maps(memory, shapes)
    assert first[0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert second[0, -1].tolist() == [[6, 7]]
    assert smaller.shape == (1, dim, 1, 1)


def test_heads_need_one_map_more_than_the_encoder(config):
    heads = copy.deepcopy(config.auxiliary_heads)
    heads[1].anchor_generator.strides = [8, 16, 32, 64]
    with pytest.raises(ConfigError, match=r"auxiliary_heads\[1\].*4 strides.*= 5"):
        build(config, auxiliary_heads=heads)


def test_vit_comer_under_its_neck_trains_a_step(repository):
    """The paper's config with a small ViT, and images of a size that 32 does not divide."""
    from dense3d.backbones.vit_architectures import TINY

    name = "co-dino_vit-comer-l-beitv2_5scale_16xb1-16e_coco"
    config = load_config(repository / f"configs/vit_comer/{name}.py").model
    config.backbone.vit = dict(
        arch=TINY["BEiT"], prefix_tokens=False, window_padding="bias", window_size=3, with_cp=True
    )
    config.backbone.update(num_heads=4, stem_width=8)
    config.num_queries = 20
    model = build(config)
    losses, gradients = losses_and_gradients(model, detection_batch(CLASSES, size=(70, 101)))
    assert [n for n, gradient in gradients.items() if gradient is None] == []
    assert losses["loss_cls_aux1"] > 0
    with torch.no_grad():
        results = model.eval().test_step(detection_batch(CLASSES, size=(70, 101)))
    assert all(r.pred_instances.bboxes.isfinite().all() for r in results)


def test_more_recomputed_layers_than_there_are(config):
    with pytest.raises(ConfigError, match=r"num_cp=4.*num_layers=1"):
        build(config, encoder=dict(config.encoder, num_cp=4))


def test_unknown_settings_of_the_test_are_refused(config):
    with pytest.raises(ConfigError, match="score_thr"):
        build(config, test_cfg=dict(score_thr=0.5))


def assignment(positives: int, background: int):
    """Candidates whose left side tells their index; positives first, of classes 0, 1, 2, 0, ..."""
    from dense3d.detection2d.co_detr.positive_queries import Assignment

    count = positives + background
    left = torch.arange(count).float()
    boxes = torch.stack([left, left * 0, left + 10, left * 0 + 20], 1)
    labels = torch.cat([torch.arange(positives) % 3, torch.full((background,), CLASSES)])
    return Assignment(boxes, labels, boxes + 1)


def test_rows_of_queries_are_as_long_as_the_most_positives():
    from dense3d.detection2d.co_detr.positive_queries import positive_queries

    size = (100, 200)
    queries = positive_queries([assignment(12, 40), assignment(3, 40)], [size] * 2, CLASSES, most=300)
    assert queries.boxes.shape == (2, 12, 4)
    assert queries.positive.sum(1).tolist() == [12, 3]
    assert queries.num_positive == 15
    # centre x = (index + 5) / 200
    index = (queries.boxes[..., 0] * 200 - 5).round().long()
    assert index[0].tolist() == list(range(12))
    assert index[1, :3].tolist() == [0, 1, 2]
    filled = index[1, 3:].tolist()
    assert min(filled) >= 3
    assert len(set(filled)) == 9
    assert (queries.labels[1, 3:] == CLASSES).all()
    torch.testing.assert_close(queries.targets[0, 0], torch.tensor([6 / 200, 0.11, 0.05, 0.2]))
    assert queries.label_weights.min() == 1


def test_more_positives_than_queries_are_drawn_at_random():
    from dense3d.detection2d.co_detr.positive_queries import positive_queries

    torch.manual_seed(0)
    drawn = positive_queries([assignment(50, 5)], [(100, 200)], CLASSES, most=20)
    index = (drawn.boxes[0, :, 0] * 200 - 5).round().long()
    assert len(index) == len(set(index.tolist())) == 20
    assert drawn.positive.all()
    assert drawn.num_positive == 20
    assert (drawn.labels[0] == index % 3).all()
    assert index.tolist() != list(range(20))


def test_too_few_candidates_leave_queries_without_weight():
    from dense3d.detection2d.co_detr.positive_queries import positive_queries

    queries = positive_queries([assignment(1, 2), assignment(0, 40)], [(100, 200)] * 2, CLASSES, most=300)
    assert queries.label_weights.tolist() == [[1.0] * 3 + [0.0] * 6, [1.0] * 9]
    assert queries.positive.sum(1).tolist() == [1, 0]
    assert queries.boxes.isfinite().all()


def test_loss_of_positive_queries_by_its_formulas(model):
    """Quality focal loss towards the IoU, L1 and GIoU, over the number of positives, in each layer."""
    from dense3d.detection2d.co_detr.positive_queries import positive_queries

    torch.manual_seed(3)
    sizes = [(64, 96), (48, 64)]
    queries = positive_queries([assignment(4, 20), assignment(1, 20)], sizes, CLASSES, most=300)
    layers, dim = len(model.decoder.layers), model.embed_dims
    hidden = torch.randn(layers, *queries.labels.shape, dim)
    references = [queries.boxes] * (layers + 1)
    metas = [dict(img_shape=size) for size in sizes]
    losses = model.bbox_head.loss_of_positive_queries(hidden, references, queries, metas)

    scores, boxes = model.bbox_head(hidden, references)
    found = queries.positive
    for layer in range(layers):
        prefix = "" if layer == layers - 1 else f"d{layer}."
        mine, target = boxes[layer][found], queries.targets[found]
        corners = [torchvision.ops.box_convert(b, "cxcywh", "xyxy") for b in (mine, target)]
        iou = torchvision.ops.box_iou(*corners).diagonal()
        quality = torch.zeros_like(scores[layer])
        quality[found, queries.labels[found]] = iou
        probability = scores[layer].sigmoid()
        entropy = F.binary_cross_entropy_with_logits(scores[layer], quality, reduction="none")
        focal = ((quality - probability).abs() ** 2 * entropy).sum() / 5
        giou = torchvision.ops.generalized_box_iou_loss(*corners, reduction="sum") / 5
        torch.testing.assert_close(losses[f"{prefix}loss_cls_aux"].squeeze(), focal, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(losses[f"{prefix}loss_iou_aux"], 2 * giou, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            losses[f"{prefix}loss_bbox_aux"], 5 * (mine - target).abs().sum() / 5, rtol=1e-4, atol=1e-5
        )


def test_duplicates_are_suppressed_within_a_class(model):
    """Linear soft NMS: a box's score falls by its IoU with a better one, here 0.9, of its own class."""
    head = model.bbox_head
    assert head.nms["type"] == "soft_nms"
    logits = torch.full((3, CLASSES), -20.0)
    logits[0, 1], logits[1, 1], logits[2, 2] = 2.0, 1.0, 0.5
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.4], [0.5, 0.5, 0.45, 0.4], [0.5, 0.5, 0.5, 0.4]])
    meta = dict(img_shape=(100, 200), scale_factor=(2.0, 2.0))
    found = head._predict_by_feat_single(logits, boxes, meta, rescale=True)
    kept = found.scores > 0.01
    expected = torch.tensor([2.0, 0.5, 1.0]).sigmoid() * torch.tensor([1.0, 1.0, 0.1])
    torch.testing.assert_close(found.scores[kept], expected, rtol=1e-4, atol=1e-6)
    assert found.labels[kept].tolist() == [1, 2, 1]
    torch.testing.assert_close(found.bboxes[0], torch.tensor([25.0, 15.0, 75.0, 35.0]))
    assert isinstance(found, InstanceData)


def test_detections_are_limited(model):
    batch = detection_batch(CLASSES)
    with torch.no_grad():
        results = model.eval().test_step(batch)
    assert all(len(r.pred_instances) <= model.bbox_head.max_per_img for r in results)
    assert all((r.pred_instances.scores.diff() <= 0).all() for r in results)


def _listed(value) -> list:
    return value if isinstance(value, (list, tuple)) else [value]
