"""Both mask transformers as models of mmengine: training losses, predictions, bad input."""

from __future__ import annotations

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS

BACKBONE = dict(type="ConvNeXt", arch=dict(dims=(8, 16, 16, 16), depths=(1, 1, 1, 1)), drop_path_rate=0.0)
KMAX = dict(
    type="KMaXDeepLab",
    backbone=BACKBONE,
    num_classes=4,
    thing_classes=(0, 1),
    num_queries=6,
    pixel_decoder=dict(base_channels=(8, 8, 8, 8), num_blocks=(1, 1, 1, 1)),
    layers_per_map=(1, 1, 1),
    criterion=dict(discrimination_pixels=64, semantic_pixels=64),
)
MASK2FORMER = dict(
    type="Mask2Former",
    backbone=BACKBONE,
    num_classes=4,
    thing_classes=(0, 1),
    head=dict(
        num_queries=6,
        embed_dims=64,
        encoder_layers=1,
        encoder_channels=64,
        decoder_layers=3,
        decoder_channels=64,
    ),
    criterion=dict(num_points=64),
)
EVERYTHING = dict(panoptic_on=True, instance_on=True, semantic_on=True)


def build(config: dict, **changes):
    torch.manual_seed(0)
    model = MODELS.build({**config, **changes})
    model.init_weights()
    return model


def sample(size: tuple[int, int], things: int, stuff: tuple[int, ...], original=None) -> DetDataSample:
    """An image with boxes of thing class 0 and stripes of the stuff classes."""
    height, width = size
    masks = torch.zeros(things, height, width, dtype=torch.bool)
    for i in range(things):
        masks[i, 8 * i : 8 * i + 8, 4:20] = True
    classes = torch.full((1, height, width), 255)
    for i, label in enumerate(stuff):
        classes[:, height // 2 + 4 * i :] = label
    classes[:, masks.any(0)] = 0
    found = DetDataSample(metainfo=dict(img_shape=size, ori_shape=original or size))
    found.gt_instances = InstanceData(masks=masks, labels=torch.zeros(things, dtype=torch.long))
    found.gt_sem_seg = PixelData(sem_seg=classes)
    return found


@pytest.mark.parametrize("config", [KMAX, MASK2FORMER], ids=["kmax", "mask2former"])
@pytest.mark.parametrize(("things", "stuff"), [((2, 1), (2, 3)), ((0, 0), (2,)), ((2, 0), ()), ((0, 0), ())])
def test_every_parameter_learns_whatever_is_annotated(config, things, stuff):
    model = build(config).train()
    for module in model.modules():  # branches that start at zero hide what lies behind them
        if hasattr(module, "norm") and getattr(module.norm, "weight", None) is not None:
            torch.nn.init.ones_(module.norm.weight)
    size = (64, 96)
    losses = model(torch.randn(2, 3, *size), [sample(size, n, stuff) for n in things], mode="loss")
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    if sum(things) and stuff:
        without = {n for n, p in model.named_parameters() if p.grad is None}
        assert without == set()


@pytest.mark.parametrize("config", [KMAX, MASK2FORMER], ids=["kmax", "mask2former"])
@pytest.mark.parametrize("size", [(65, 97), (64, 96), (70, 51)])
def test_results_have_the_size_of_the_original_image(config, size):
    if config is MASK2FORMER:
        size = tuple(-(-n // 32) * 32 for n in size)
    model = build(config, test_cfg=EVERYTHING | LOW[config["type"]]).eval()
    content = (size[0] - 5, size[1] - 3)
    samples = [sample(content, 1, (2,), original=(40, 61)), sample(size, 0, ())]
    first, second = model(torch.randn(2, 3, *size), samples, mode="predict")
    for found, shape in ((first, (40, 61)), (second, size)):
        assert found.pred_panoptic_seg.sem_seg.shape == (1, *shape)
        assert found.pred_sem_seg.sem_seg.shape == (1, *shape)
        assert found.pred_instances.masks.shape[1:] == shape
        assert (found.pred_instances.labels < 2).all()
        codes = set((found.pred_panoptic_seg.sem_seg % 1000).unique().tolist())
        assert codes <= {0, 1, 2, 3, 4}
        assert {s.category for s in found.segments} == codes - {4}


LOW = {
    "KMaXDeepLab": dict(thing_threshold=0.0, stuff_threshold=0.0, pixel_threshold=0.05),
    "Mask2Former": dict(score_threshold=0.0),
}


@pytest.mark.parametrize("config", [KMAX, MASK2FORMER], ids=["kmax", "mask2former"])
def test_a_batch_gives_what_single_images_give(config):
    model = build(config).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        together = model(images)
        alone = [model(image[None]) for image in images]
    masks = (lambda p: p[-1].masks) if config is KMAX else (lambda p: p[1][-1])
    torch.testing.assert_close(masks(together), torch.cat([masks(p) for p in alone]), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("config", [KMAX, MASK2FORMER], ids=["kmax", "mask2former"])
def test_losses_are_reproducible(config):
    model = build(config)
    if config is KMAX:
        model.semantic_head.aspp.dropout.p = 0.0
    totals = []
    for _ in range(2):
        model.eval()
        torch.manual_seed(7)
        inputs = torch.randn(1, 3, 64, 64)
        totals.append(sum(model(inputs, [sample((64, 64), 2, (2,))], mode="loss").values()))
    assert torch.equal(*totals)


@pytest.mark.parametrize("config", [KMAX, MASK2FORMER], ids=["kmax", "mask2former"])
def test_labels_that_are_no_class_are_refused(config):
    bad = sample((64, 64), 1, (2,))
    bad.gt_instances.labels[:] = 4
    with pytest.raises(DataError, match=r"class 4, but there are 4 classes"):
        build(config).eval()(torch.randn(1, 3, 64, 64), [bad], mode="loss")


@pytest.mark.parametrize("config", [KMAX, MASK2FORMER], ids=["kmax", "mask2former"])
def test_backbones_without_a_stride_are_refused(config):
    with pytest.raises(ConfigError, match=r"strides"):
        build(config, backbone=BACKBONE | dict(out_indices=(1, 2, 3)))


def test_kmax_pads_to_its_input_size():
    model = build(KMAX, input_size=(65, 97)).eval()
    assert model.pad(torch.ones(1, 3, 40, 97)).shape[-2:] == (65, 97)
    final = model(torch.randn(1, 3, 40, 97))[-1]
    assert final.masks.shape[-2:] == (17, 25)


def test_kmax_pads_before_losses_and_results():
    """Zeros at the right and at the bottom: what a batch that is padded already gives."""
    images, samples = torch.randn(2, 3, 40, 97), [sample((40, 97), 1, (2,)), sample((40, 97), 0, (3,))]
    padded = torch.nn.functional.pad(images, (0, 0, 0, 25))
    model = build(KMAX, input_size=(65, 97), test_cfg=EVERYTHING | LOW["KMaXDeepLab"]).eval()
    losses, results = [], []
    for inputs in (images, padded):
        torch.manual_seed(2)
        losses.append(model(inputs, samples, mode="loss"))
        results.append([s.pred_panoptic_seg.sem_seg.clone() for s in model(inputs, samples, mode="predict")])
    assert losses[0] == losses[1]
    for found, wanted in zip(*results):
        assert found.shape == (1, 40, 97) and torch.equal(found, wanted)


@pytest.mark.parametrize("config", [KMAX, MASK2FORMER], ids=["kmax", "mask2former"])
def test_results_at_the_size_of_the_input(config):
    """Not rescaled, they leave out the padding and nothing else."""
    model = build(config, test_cfg=LOW[config["type"]]).eval()
    images, found = torch.randn(1, 3, 64, 96), sample((50, 90), 1, (2,), original=(25, 45))
    found = model.predict(images, [found], rescale=False)[0]
    assert found.pred_panoptic_seg.sem_seg.shape == (1, 50, 90)


@pytest.mark.parametrize("config", [KMAX, MASK2FORMER], ids=["kmax", "mask2former"])
def test_unknown_modes_are_refused(config):
    with pytest.raises(ConfigError, match="mode='train' is none of"):
        build(config)(torch.zeros(1, 3, 64, 64), mode="train")


def test_kmax_gives_all_batch_norms_its_constants():
    model = build(KMAX, backbone=dict(type="TimmBackbone", model_name="resnet18", out_strides=(4, 8, 16, 32)))
    assert {(m.eps, m.momentum) for m in model.modules() if hasattr(m, "running_var")} == {(1e-3, 0.01)}


def test_kmax_refuses_unknown_semantic_heads():
    with pytest.raises(ConfigError, match="semantic_head='fcn'"):
        build(KMAX, semantic_head="fcn")


def test_mask2former_starts_xavier_uniform():
    head = build(MASK2FORMER).panoptic_head
    weight = head.transformer_decoder.layers[0].ffn.layers[0][0].weight  # (64, 64)
    bound = (6 / 128) ** 0.5
    assert weight.abs().max() <= bound and weight.abs().max() > 0.95 * bound
    assert (head.pixel_decoder.encoder.layers[0].self_attn.sampling_offsets.weight == 0).all()


@pytest.mark.parametrize(
    "backbone",
    [
        dict(type="ResNetWithStem", model_name="resnet18"),
        dict(type="KMaXConvNeXt", arch=BACKBONE["arch"], with_stem=True, drop_path_rate=0.0),
    ],
    ids=["resnet", "convnext"],
)
def test_kmax_of_cityscapes(backbone):
    """Five stages, the stem among the maps, a semantic head at stride 32, all pixels in its loss."""
    stages = dict(base_channels=(8,) * 5, num_blocks=(1,) * 5, kinds=("axial",) * 2 + ("bottleneck",) * 3)
    model = build(
        KMAX,
        backbone=backbone,
        pixel_decoder=stages,
        semantic_head="coarse",
        criterion=dict(discrimination_pixels=64, semantic_pixels=0),
    )
    strides = [model.backbone.out_strides[i] for i in model.order]
    assert strides == [32, 16, 8, 4, 4]
    # The stem comes before the first stage's map in the ResNet, and last in ConvNeXt.
    assert model.order[-2:] == [0, 1]
    inputs = torch.randn(2, 3, 65, 129)
    losses = model(inputs, [sample((65, 129), 2, (2, 3)), sample((60, 100), 1, (3,))], mode="loss")
    assert torch.isfinite(sum(losses.values())) and losses["loss_aux_semantic"] > 0
    assert model.eval()(inputs)[-1].masks.shape == (2, 6, 17, 33)
