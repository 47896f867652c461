"""Small MonoDETR and MonoDINO-DETR: shapes, groups, gradients, batches, frames without objects, faults."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement, InstanceData
from torchvision.ops import box_iou

from dense3d.apis import build_model
from dense3d.config import load_config
from dense3d.datasets.kitti.mono_targets import encode_mono_targets
from dense3d.datasets.kitti.objects import KittiObjects
from dense3d.datasets.kitti.warp import ImageWarp
from dense3d.detection3d.monodino_detr.detector import camera_of
from dense3d.errors import ConfigError, DataError
from dense3d.structures import Boxes3D, KittiCalibration
from dense3d.structures.projected_boxes import project_boxes

NAMES = ("Pedestrian", "Car", "Cyclist")
SIZE = (112, 84)  # width and height
CALIBRATION = KittiCalibration.pinhole(240.0, (56.0, 42.0))
PLACES = torch.tensor(
    [[-1.5, 1.0, 12.0, 1.5, 1.6, 3.9, -1.6], [2.0, 0.8, 9.0, 1.6, 1.7, 4.1, 1.5]]
)  # 3D boxes
VISIBLE = project_boxes(Boxes3D(PLACES, "camera"), torch.tensor(CALIBRATION.P2), SIZE).boxes
CARS = np.column_stack((np.zeros((2, 3)), VISIBLE, PLACES[:, 3:6], PLACES[:, :3], PLACES[:, 6:]))
VIT = dict(
    type="VisionTransformer",
    arch=dict(name="dinov2_vits14", embed_dim=32, depth=4, num_heads=2, pretrain_size=56),
    out_indices=(0, 1, 2, 3),
)
RELATION = dict(type="PositionRelation", embed_dims=16, num_heads=4)


@pytest.fixture(autouse=True)
def own_scope():
    with DefaultScope.overwrite_default_scope("dense3d"):
        yield


def build(kind: str = "MonoDETR", **settings):
    config = dict(
        type=kind,
        backbone=VIT,
        neck=dict(
            type="HierarchicalFeatureFusion",
            in_channels="backbone",
            hidden_channels=(32, 32),
            out_channels=32,
        ),
        depth_predictor=dict(source=dict(type="PyramidDepthSource"), num_heads=4, feedforward_channels=32),
        num_queries=6,
        num_groups=3,
        embed_dims=32,
        num_levels=3,
        num_heads=4,
        feedforward_channels=32,
        encoder_layers=1,
        decoder_layers=2,
        dropout=0.0,
    )
    if kind == "MonoDINODETR":
        config["depth_predictor"] = dict(
            source=dict(type="RelativeDepthSource"), num_heads=4, feedforward_channels=32
        )
        config["input_size"] = (56, 56)
        config["depth_head"] = dict(
            type="DPTHead", in_channels="backbone", hidden_channels=(8, 8, 16, 16), channels=8
        )
    torch.manual_seed(0)
    return build_model(config | settings).eval()


def frame(number: int = 2, size: tuple[int, int] = SIZE) -> BaseDataElement:
    warp = ImageWarp(SIZE, size)
    objects = KittiObjects(("Car",) * number, CARS[:number])
    targets = encode_mono_targets(objects, CALIBRATION, warp, NAMES)
    assert len(targets.rows) == number
    tensors = {name: torch.from_numpy(value) for name, value in vars(targets).items()}
    tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    meta = dict(frame="000000", ori_shape=SIZE[::-1], calibration=CALIBRATION, warp=warp)
    return BaseDataElement(metainfo=meta, gt_instances=InstanceData(**tensors))


def images(number: int, size: tuple[int, int] = SIZE) -> torch.Tensor:
    return torch.randn(number, 3, *size[::-1], generator=torch.Generator().manual_seed(1))


def total(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return sum(value for name, value in losses.items() if name.startswith("loss"))


VARIANTS = {
    "points": {},
    "anchors": dict(anchors=True),
    "relation": dict(relation=RELATION),
    "anchors and relation": dict(anchors=True, relation=RELATION),
    "dino": dict(kind="MonoDINODETR"),
    "dino with anchors and relation": dict(kind="MonoDINODETR", anchors=True, relation=RELATION),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_learns(variant):
    model = build(**VARIANTS[variant]).train()
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(
                parameter, std=0.1
            )  # zeros at first would keep gradients from what is behind
    if hasattr(model, "depth_head"):
        torch.nn.init.ones_(model.depth_head.output[2].bias)  # not on the dead side of the last ReLU
    losses = model(images(2), [frame(2), frame(1)], mode="loss")
    total(losses).backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    assert without == [], without
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert "class_error" in losses


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_first_group_predicts_and_sees_no_other(variant):
    model = build(**VARIANTS[variant])
    with torch.no_grad():
        alone = model(images(1), [frame(1)])
        camera = camera_of([frame(1)], torch.device("cpu"))
        together = model.predict_layers(images(1), camera, groups=3)[0][-1]
    assert together.logits.shape[1] == 18
    for name in ("logits", "boxes", "sizes", "headings", "depths"):
        torch.testing.assert_close(getattr(together, name)[:, :6], getattr(alone, name), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("variant", ["points", "dino"])
@pytest.mark.parametrize("size", [SIZE, (113, 85), (71, 99)])
def test_batches_equal_single_images_of_any_size(variant, size):
    model = build(**VARIANTS[variant]).double()  # random weights carry rounding of float32 to 1e-3
    pixels, samples = images(2, size), [frame(2), frame(1)]
    with torch.no_grad():
        both = model(pixels.double(), samples)
        single = [model(pixels[i : i + 1].double(), samples[i : i + 1]) for i in range(2)]
    for name in ("logits", "boxes", "depths"):
        expected = torch.cat([getattr(part, name) for part in single])
        torch.testing.assert_close(getattr(both, name), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("numbers", [(0,), (0, 2)])
def test_frames_without_objects(numbers):
    model = build().train()
    losses = model(images(len(numbers)), [frame(number) for number in numbers], mode="loss")
    total(losses).backward()
    assert all(torch.isfinite(value) for value in losses.values())


def test_predictions_are_objects_of_kitti():
    model = build(test_cfg=dict(score_thr=0.0, max_per_img=4))
    with torch.no_grad():
        samples = model(images(2), [frame(2), frame(0)], mode="predict")
    for sample in samples:
        objects = sample.to_dict()["predictions"]
        assert len(objects) == 4
        assert set(objects.names) <= set(NAMES)
        assert np.isfinite(objects.values).all()
    model.test_cfg["score_thr"] = 0.9
    with torch.no_grad():
        assert len(model(images(1), [frame(2)], mode="predict")[0].predictions) == 0


def test_spare_classes_name_nothing():
    model = build(num_classes=4, test_cfg=dict(score_thr=0.0, max_per_img=50))
    for head in model.heads:
        torch.nn.init.constant_(head.classes.bias[3:], 20.0)
    with torch.no_grad():
        objects = model(images(1), [frame(1)], mode="predict")[0].predictions
    assert len(objects) == 18


def test_a_relation_of_zero_weight_changes_nothing():
    plain, related = build(), build(relation=RELATION)
    related.load_state_dict(plain.state_dict(), strict=False)
    projection = related.decoder.relation.pos_proj[0]
    torch.nn.init.zeros_(projection.weight)
    torch.nn.init.zeros_(projection.bias)
    with torch.no_grad():
        expected, found = (model(images(1), [frame(1)]) for model in (plain, related))
        torch.testing.assert_close(found.logits, expected.logits)
        torch.nn.init.normal_(projection.weight, std=3.0)
        changed = related(images(1), [frame(1)])
    assert not torch.allclose(changed.logits, expected.logits)


def test_frozen_parts_stay():
    settings = dict(
        backbone=dict(VIT, frozen_stages=4),
        depth_head=dict(
            type="DPTHead", in_channels="backbone", hidden_channels=(8, 8, 16, 16), channels=8, frozen=True
        ),
    )
    model = build("MonoDINODETR", **settings).train()
    total(model(images(1), [frame(2)], mode="loss")).backward()
    for part in (model.backbone, model.depth_head):
        assert all(parameter.grad is None for parameter in part.parameters())


def test_overfitting_two_cars_finds_them():
    model = build(anchors=True, num_groups=1).train()
    pixels, sample = images(1), frame(2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=200)
    for _ in range(200):
        optimizer.zero_grad()
        total(model(pixels, [sample], mode="loss")).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = model.eval()(pixels, [sample], mode="predict")[0].predictions
    best = found.select(np.argsort(-found.scores)[:2])
    best = best.select(np.argsort(best.location[:, 0]))
    assert best.names == ("Car", "Car")
    np.testing.assert_allclose(best.location, CARS[:, 10:13], atol=0.4)
    np.testing.assert_allclose(best.dimensions, CARS[:, 7:10], atol=0.2)
    np.testing.assert_allclose(best.rotation_y, CARS[:, 13], atol=0.2)
    # A 2D box is as high as the nearest corners seen, a little more than its share in the fused depth.
    overlap = box_iou(*(torch.from_numpy(boxes) for boxes in (best.boxes2d, CARS[:, 3:7]))).diagonal()
    assert (overlap > 0.7).all()


def test_faults_are_named():
    with pytest.raises(ConfigError, match="num_levels is 4"):
        build(num_levels=4)(images(1), [frame(1)])
    with pytest.raises(ConfigError, match="num_heads=2"):
        build(relation=dict(RELATION, num_heads=2))
    with pytest.raises(ConfigError, match="decoder_layers=1"):
        build(relation=RELATION, decoder_layers=1)
    with pytest.raises(ConfigError, match="class_names has 3"):
        build(num_classes=2)
    with pytest.raises(ConfigError, match="none of"):
        build()(images(1), [frame(1)], mode="guess")
    with pytest.raises(DataError, match=r"a\.png has no calibration"):
        build()(images(1), [BaseDataElement(metainfo=dict(img_path="a.png", ori_shape=(4, 4)))])


CONFIGS = [
    "monodetr/monodetr_r50_1xb16-195e_kitti.py",
    "monodetr/monodetr_r50_1xb16-195e_kitti-car.py",
    "monodetr/monodetr_r50_1xb16-195e_kitti-car_relation.py",
    "monodetr/monodetr_convnext-t_1xb16-195e_kitti-car.py",
    "monodino_detr/monodino-detr_vitb_1xb8-195e_kitti.py",
    "monodino_detr/monodino-detr_vitb_1xb8-195e_kitti-car.py",
    "monodino_detr/monodino-detr-dab_vitb_1xb8-195e_kitti-car.py",
    "monodino_detr/monodino-detr-dab_vits_1xb8-195e_kitti-car.py",
    "monodino_detr/monodino-detr-dab_vitb_1xb8-195e_kitti-car_relation.py",
    "synthetic/monodetr_r18_synthetic-kitti.py",
    "monodetr/monodetr_r18_overfit_kitti-sample.py",
]


@pytest.mark.parametrize("path", CONFIGS)
def test_configs_build_models_whose_classes_are_those_of_the_data(repository, path):
    cfg = load_config(
        repository / "configs" / path, {"model.backbone.pretrained": False} if "dino" not in path else {}
    )
    with torch.device("meta"):
        model = build_model(cfg)
    classes = tuple(cfg.train_dataloader.dataset.classes)
    assert model.class_names == classes == tuple(cfg.val_dataloader.dataset.classes)
    encoder = next(t for t in cfg.train_dataloader.dataset.pipeline if t["type"] == "EncodeMonoTargets")
    assert tuple(encoder["classes"]) == classes
    assert len(model.heads[0].classes.bias) == len(classes)
