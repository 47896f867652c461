"""mmdet's detectors with the position relation, made small from the configs that show them."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.structures import InstanceData

from dense3d.apis import build_model
from dense3d.config import load_config
from dense3d.errors import ConfigError

PLAIN = {
    "relation-dino_r50_8xb2-12e_coco": "DINO",
    "relation-deformable-detr_r50_16xb2-50e_coco": "DeformableDETR",
    "relation-dab-detr_r50_8xb2-50e_coco": "DABDETR",
    "relation-conditional-detr_r50_8xb2-50e_coco": "ConditionalDETR",
}
LAYERS = 3


def small(repository, name: str, plain: bool = False, **settings) -> torch.nn.Module:
    """The detector of a config with few layers and queries, seeded, its box heads not at zero."""
    cfg = load_config(repository / f"configs/relation_detr/{name}.py").model
    cfg.backbone.update(model_name="resnet18", pretrained=False)
    cfg.num_queries, cfg.encoder.num_layers, cfg.decoder.num_layers = 7, 1, LAYERS
    for coder in (cfg.encoder, cfg.decoder):
        coder.layer_cfg.ffn_cfg.feedforward_channels = 64
    cfg.update(settings)
    if plain:
        cfg.type = f"mmdet.{PLAIN[name]}"
        del cfg.relation
    torch.manual_seed(0)
    model = build_model(cfg)
    for parameter in model.bbox_head.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def batch(model: torch.nn.Module) -> dict:
    """Two images of different size, the smaller one padded, with three boxes and one."""
    from mmdet.structures import DetDataSample

    generator = torch.Generator().manual_seed(3)
    samples, images = [], []
    for (height, width), boxes in (((64, 96), [[4, 5, 30, 40], [20, 10, 60, 50], [0, 0, 9, 9]]),
                                   ((48, 64), [[10, 10, 40, 30]])):  # fmt: skip
        images.append(torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator))
        sample = DetDataSample(metainfo=dict(img_shape=(height, width), scale_factor=(1.0, 1.0)))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(boxes).float(), labels=torch.arange(len(boxes))
        )
        samples.append(sample)
    return model.data_preprocessor(dict(inputs=images, data_samples=samples), training=True)


def training_losses(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(4)  # of the denoising queries
    return model(**batch(model), mode="loss")


def without_dropout(model: torch.nn.Module) -> torch.nn.Module:
    for module in model.train().modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.0
    return model


def zero(relation: torch.nn.Module) -> None:
    for parameter in relation.parameters():
        torch.nn.init.zeros_(parameter)


@pytest.fixture(params=PLAIN)
def name(request) -> str:
    return request.param


def test_zero_relation_gives_the_plain_detector(repository, name):
    plain, ours = small(repository, name, plain=True), small(repository, name)
    missing = ours.load_state_dict(plain.state_dict(), strict=False)
    assert missing.missing_keys == ["relation.pos_proj.0.weight", "relation.pos_proj.0.bias"]
    assert not missing.unexpected_keys
    biased = predictions(ours)
    zero(ours.relation)
    expected, found = predictions(plain), predictions(ours)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected))
    assert not torch.allclose(biased[0], expected[0], atol=1e-3)

    expected, found = training_losses(without_dropout(plain)), training_losses(without_dropout(ours))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.allclose(torch.as_tensor(found[key]), torch.as_tensor(value), rtol=1e-4), key


@torch.no_grad()
def predictions(model: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and boxes of all layers."""
    return outputs(model.eval())[1:]


def outputs(model: torch.nn.Module) -> tuple[dict, torch.Tensor, torch.Tensor]:
    """The inputs of the head, and its logits and boxes of all layers."""
    data = batch(model)
    inputs = model.forward_transformer(model.extract_feat(data["inputs"]), data["data_samples"])
    logits, boxes = model.bbox_head(inputs["hidden_states"], inputs["references"])
    return inputs, logits, boxes


def test_without_a_relation_it_is_the_plain_detector(repository, name):
    plain, ours = small(repository, name, plain=True), small(repository, name, relation=None)
    assert list(ours.state_dict()) == list(plain.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(predictions(ours), predictions(plain)))


def test_relations_are_those_of_the_boxes_that_the_head_predicts(repository, name):
    model = small(repository, name)
    pairs = []
    model.relation.register_forward_pre_hook(lambda _module, boxes: pairs.append(boxes))
    with torch.no_grad():
        inputs, _, boxes = outputs(model)
    assert len(pairs) == LAYERS - 1
    first = inputs["references"] if name.startswith("relation-cond") else inputs["references"][0]
    first = first if first.shape[-1] == 4 else boxes[0]
    for index, (source, target) in enumerate(pairs):
        assert torch.allclose(target, boxes[index], atol=1e-5)
        assert torch.allclose(source, boxes[index - 1] if index else first, atol=1e-5)


def test_gradients_reach_the_relation_encoder(repository, name):
    model = small(repository, name).train()
    losses = training_losses(model)
    total, _ = model.parse_losses(losses)
    total.backward()
    for parameter in model.relation.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0


def test_denoising_queries_stay_behind_their_mask(repository):
    """What the matching queries predict does not depend on the labels, which only denoising queries see."""
    model = without_dropout(small(repository, "relation-dino_r50_8xb2-12e_coco"))
    results = []
    for scale in (1.0, -1.0):
        torch.nn.init.constant_(model.dn_query_generator.label_embedding.weight, scale)
        torch.manual_seed(4)
        with torch.no_grad():
            results.append(outputs(model)[2])
    denoising, matching = results[0][:, :, :-7], results[0][:, :, -7:]
    assert denoising.shape[2] > 0
    assert torch.allclose(results[1][:, :, -7:], matching, atol=1e-6)
    assert not torch.allclose(results[1][:, :, :-7], denoising, atol=1e-3)


def test_a_copy_remembers_its_own_boxes(repository):
    """The moving average of a model's weights is kept in a deep copy of it."""
    model = small(repository, "relation-dino_r50_8xb2-12e_coco")
    twin = copy.deepcopy(model)
    zero(twin.relation)
    before = predictions(model)
    changed = predictions(twin)
    assert all(torch.equal(a, b) for a, b in zip(predictions(model), before))
    assert not torch.allclose(changed[0], before[0])


def test_bfloat16_training(repository, name):
    model = small(repository, name).train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = training_losses(model)
    total, _ = model.parse_losses(losses)
    total.backward()
    assert model.relation.pos_proj[0].weight.grad.isfinite().all()


def test_another_number_of_heads_is_refused(repository):
    relation = dict(type="PositionRelation", num_heads=4)
    with pytest.raises(ConfigError, match="num_heads=4, the decoder's self-attention 8"):
        small(repository, "relation-dino_r50_8xb2-12e_coco", relation=relation)


def test_relation_in_a_decoder_of_one_layer_is_refused(repository, monkeypatch):
    monkeypatch.setattr(f"{__name__}.LAYERS", 1)
    with pytest.raises(ConfigError, match=r"num_layers=1, but .* 2 or more, or relation=None"):
        small(repository, "relation-dino_r50_8xb2-12e_coco")
    small(repository, "relation-dino_r50_8xb2-12e_coco", relation=None)
