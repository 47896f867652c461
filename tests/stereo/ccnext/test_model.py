"""The model: every family of backbones, sizes, batches, precision, learning, predictions and export."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from dense3d.backbones import ConvNeXt, FocalNet, Swin, TimmBackbone, VisionTransformer
from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS
from dense3d.stereo.ccnext import CCNeXt
from dense3d.stereo.ccnext.encoder import PairEncoder
from dense3d.structures import RectifiedRig, StereoSample

BACKBONE = dict(
    type="ConvNeXt",
    arch=dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1)),
    output_norm="none",
    layer_scale=1e-6,
)
CHANNELS = (4, 8, 8, 16, 16)
HIERARCHICAL = [(kind, v) for kind in (ConvNeXt, FocalNet, Swin, TimmBackbone) for v in kind.tiny_variants]


def small(kind: type, variant: str) -> dict:
    return dict(copy.deepcopy(kind.tiny_variants[variant]), type=f"dense3d.{kind.__name__}")


def tiny(backbone: dict = BACKBONE, decoder: dict | None = None, **settings) -> CCNeXt:
    """A small model with batch norms that do something."""
    torch.manual_seed(0)
    settings = dict(normalised_focal=0.58) | settings
    model = CCNeXt(copy.deepcopy(backbone), decoder=dict(channels=CHANNELS, **(decoder or {})), **settings)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.1)
    return model.eval()


def pair(height: int = 64, width: int = 96, number: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(height + width)
    return dict(left=torch.rand(number, 3, height, width), right=torch.rand(number, 3, height, width))


def samples(number: int = 1, **meta) -> list[StereoSample]:
    return [StereoSample(metainfo=meta) for _ in range(number)]


def total(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return sum(value for name, value in losses.items() if "loss" in name)


@pytest.mark.parametrize(("kind", "variant"), HIERARCHICAL)
def test_every_hierarchical_backbone_is_an_encoder(kind, variant):
    """Gradients reach the whole backbone, its output norms included, and all of the attention."""
    model = tiny(small(kind, variant)).train()
    losses = model(pair(70, 100, 2), samples(2), mode="loss")
    total(losses).backward()
    without = [n for n, p in model.encoder.named_parameters() if p.grad is None and p.requires_grad]
    assert without == []
    assert torch.isfinite(total(losses))
    for attention in model.encoder.attentions:
        assert attention.query.weight.grad.abs().max() > 0


def test_the_attention_learns_from_the_loss_as_it_starts():
    """The recommended start moves W's norm first, the official one none of the weights of all four."""
    gradients = {}
    for init in ("recommended", "official"):
        torch.manual_seed(0)
        model = CCNeXt(
            copy.deepcopy(BACKBONE),
            encoder=dict(attention_init=init),
            decoder=dict(channels=CHANNELS),
            normalised_focal=0.58,
        ).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=10.0)
        for _ in range(2):
            optimizer.zero_grad()
            total(model(pair(), samples(), mode="loss")).backward()
            optimizer.step()
        gradients[init] = max(a.query.weight.grad.abs().max().item() for a in model.encoder.attentions)
    assert gradients["recommended"] > 1e3 * gradients["official"]


def test_features_before_the_attention_go_to_the_decoder():
    """The map of stride 4 never sees the other image; those behind it do."""
    encoder = tiny().encoder
    images = pair()
    with torch.no_grad():
        plain, _ = encoder(images["left"], images["right"])
        other, _ = encoder(images["left"], images["right"].flip(-1))
    assert [torch.equal(a, b) for a, b in zip(plain, other)] == [True, True, False, False, False]


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (97, 130), (20, 200)])
def test_any_size(size):
    model = tiny()
    maps = model(pair(*size))
    for branch in maps:
        for scale, x in branch.items():
            assert x.shape == (1, 1, -(-size[0] // 2**scale), -(-size[1] // 2**scale))
    found = model(pair(*size), mode="predict")[0]
    assert found.pred_disparity.shape == (1, *size)


def test_batched_equals_single_for_pairs_of_different_size():
    """Padded into one batch, each is predicted as it is alone."""
    model, sizes = tiny(), [(60, 90), (64, 96), (40, 96)]
    singles = [model(pair(*size), mode="predict")[0].pred_disparity for size in sizes]
    batch = dict(left=torch.zeros(3, 3, 64, 96), right=torch.zeros(3, 3, 64, 96))
    for i, size in enumerate(sizes):
        for side, images in pair(*size).items():
            batch[side][i, :, : size[0], : size[1]] = images[0]
    together = model(batch, [StereoSample(metainfo=dict(img_shape=size)) for size in sizes], mode="predict")
    for one, other in zip(singles, together):
        torch.testing.assert_close(one, other.pred_disparity, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    """As weights, and by autocast with a backward pass; maps keep more than eight bits."""
    images, model = pair(), tiny()
    full = model(images)[0][0]
    half = copy.deepcopy(model).to(dtype)({k: v.to(dtype) for k, v in images.items()})[0][0]
    assert half.dtype == torch.float32
    assert (half - full).abs().max() < 0.05
    model.train()
    with torch.autocast("cpu", dtype):
        loss = total(model(images, samples(), mode="loss"))
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert len(half.unique()) > 0.5 * half.numel()


def test_the_first_loss_is_that_of_middling_disparity():
    """Before anything is learned, maps are near 0.5 and the photometric term is that of unrelated pixels."""
    torch.manual_seed(0)
    model = CCNeXt(copy.deepcopy(BACKBONE), decoder=dict(channels=CHANNELS), normalised_focal=0.58).train()
    maps = model(pair())
    assert all((x - 0.5).abs().max() < 0.35 for branch in maps for x in branch.values())
    losses = model(pair(), samples(), mode="loss")
    assert 0.05 < total(losses) < 0.6
    assert 0 <= losses["painted_0"] <= 1


def test_predictions_in_pixels_and_metres():
    """disparity = nominal baseline * focal * inverse depth, metres through the true baseline."""
    rig = RectifiedRig(focal=70.0, baseline=0.54, cx=47.5, cy=31.5, width=96, height=64)
    model, images = tiny(normalised_focal=None), pair()
    found = model(images, samples(rig=rig), mode="predict")[0]
    nominal = model.inverse_depth(images["left"], images["right"])[0]
    torch.testing.assert_close(found.pred_disparity, 0.1 * 70 * nominal)
    torch.testing.assert_close(found.pred_depth, 5.4 / nominal)
    torch.testing.assert_close(found.pred_depth, rig.depth(found.pred_disparity))
    torch.testing.assert_close(found.pred_inverse_depth * found.pred_depth, torch.ones_like(nominal))
    shifted = model(
        images, samples(rig=RectifiedRig(70.0, 0.54, 47.5, 31.5, 96, 64, doffs=2.0)), mode="predict"
    )
    torch.testing.assert_close(shifted[0].pred_disparity, found.pred_disparity - 2)
    torch.testing.assert_close(shifted[0].pred_depth, found.pred_depth)
    official = tiny(metric_scale=5.4)(images, samples(), mode="predict")[0]
    torch.testing.assert_close(official.pred_depth, 5.4 / nominal)
    torch.testing.assert_close(official.pred_disparity, 0.1 * 0.58 * 96 * nominal)
    assert "pred_depth" not in tiny()(images, samples(), mode="predict")[0]


def test_another_camera_than_that_of_training_changes_metres_but_not_pixels():
    """What was learned is displacement in pixels: 0.1 * 50 * inverse depth, whatever the rig."""
    model, images = tiny(normalised_focal=None, trained_focal=50.0), pair()
    pixels = 0.1 * 50 * model.inverse_depth(images["left"], images["right"])[0]
    for focal, offset in ((50.0, 0.0), (70.0, 0.0), (70.0, 2.0)):
        rig = RectifiedRig(focal, 0.54, 47.5, 31.5, 96, 64, doffs=offset)
        found = model(images, samples(rig=rig), mode="predict")[0]
        torch.testing.assert_close(found.pred_disparity, pixels)
        torch.testing.assert_close(found.pred_depth, focal * 0.54 / (pixels + offset))
    torch.testing.assert_close(model.predict_images(**images)["pred_disparity"][0], pixels)
    with pytest.raises(ConfigError, match="trained_focal says nothing"):
        tiny(trained_focal=50.0)


def test_right_disparity_by_the_second_branch_or_by_mirroring():
    images = pair()
    dual = tiny(predict_right=True)
    found = dual(images, samples(), mode="predict")[0]
    maps = dual.inverse_depth(images["left"], images["right"])
    torch.testing.assert_close(found.pred_right_disparity, 0.1 * 0.58 * 96 * maps[0, 1:])
    torch.testing.assert_close(
        tiny()(images, samples(), mode="predict")[0].pred_disparity,
        found.pred_disparity,
        rtol=1e-4,
        atol=1e-5,
    )
    single = tiny(decoder=dict(dual=False), predict_right=True)
    found = single(images, samples(), mode="predict")[0]
    mirrored = dict(left=images["right"].flip(-1), right=images["left"].flip(-1))
    other = tiny(decoder=dict(dual=False))(mirrored, samples(), mode="predict")[0]
    torch.testing.assert_close(
        found.pred_right_disparity, other.pred_disparity.flip(-1), rtol=1e-4, atol=1e-4
    )


def test_flip_post_processing_is_monodepths_blend():
    images, plain, flipping = pair(), tiny(), tiny(flip_post_process=True)
    mirrored = {side: image.flip(-1) for side, image in images.items()}
    first = plain(images, mode="predict")[0].pred_disparity
    second = plain(mirrored, mode="predict")[0].pred_disparity.flip(-1)
    column = torch.linspace(0, 1, 96)
    left_mask = 1 - (20 * (column - 0.05)).clamp(0, 1)
    right_mask = left_mask.flip(0)
    expected = right_mask * first + left_mask * second + (1 - left_mask - right_mask) * (first + second) / 2
    torch.testing.assert_close(
        flipping(images, mode="predict")[0].pred_disparity, expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("meta", [dict(reference="right"), dict(flipped=True)])
def test_the_loss_follows_the_side_of_the_matches(meta):
    """Exchanged images of the right camera, or mirrored ones, cost what the plain pair costs."""
    model = tiny(loss=dict(noise=0.0, exact_sampling=True)).train()
    images = pair()
    changed = (
        {side: image.flip(-1) for side, image in images.items()}
        if "flipped" in meta
        else dict(left=images["right"], right=images["left"])
    )
    constant = [{s: torch.full((1, 1, 64 >> s, 96 >> s), 0.02) for s in range(4)} for _ in range(2)]
    model._decode = lambda *_: constant
    plain = total(model(images, samples(), mode="loss"))
    torch.testing.assert_close(total(model(changed, samples(**meta), mode="loss")), plain)
    wrong = total(model(changed, samples(), mode="loss"))
    assert (wrong - plain).abs() > 1e-4
    both = {side: image.flip(-1) for side, image in changed.items()} if "reference" in meta else None
    if both is not None:
        again = model(both, samples(reference="right", flipped=True), mode="loss")
        torch.testing.assert_close(total(again), plain)


def test_a_pyramid_of_the_pipeline_is_used():
    model, images = tiny().train(), pair()
    levels = [torch.rand(1, 3, 64 >> s, 96 >> s) for s in range(4)]
    found = model._pyramid(dict(images, left_pyramid=levels), "left", (0, 1, 2, 3))
    assert torch.equal(found[0], images["left"])
    assert all(torch.equal(found[s], levels[s]) for s in (1, 2, 3))
    made = model._pyramid(images, "left", (0, 3))
    assert made[3].shape == (1, 3, 8, 12)


def test_export_equals_eager():
    class Predictor(nn.Module):
        def __init__(self, model: CCNeXt) -> None:
            super().__init__()
            self.model = model

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return self.model.inverse_depth(left, right)

    images = tuple(pair(50, 90).values())
    predictor = Predictor(tiny(flip_post_process=True)).eval()
    exported = torch.export.export(predictor, images).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(*images), predictor(*images), rtol=1e-4, atol=1e-5)


def test_pretrained_weights_reach_a_backbone_whose_first_convolution_is_replaced(tmp_path):
    whole = MODELS.build(copy.deepcopy(BACKBONE))
    torch.save(whole.state_dict(), tmp_path / "convnext.pth")
    config = dict(BACKBONE, init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "convnext.pth")))
    encoder = PairEncoder(config)
    assert encoder.stem_kind == "replaced"
    encoder.init_weights()
    assert isinstance(encoder.backbone.body.stem[0], nn.Identity)
    for name, value in encoder.backbone.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name


def test_bad_settings_and_pairs_are_named():
    with pytest.raises(ConfigError, match="VisionTransformer gives maps of strides"):
        tiny(small(VisionTransformer, "DeiT"))
    with pytest.raises(ConfigError, match="stem='replaced' needs a ConvNeXt"):
        PairEncoder(small(Swin, "V1"), stem="replaced")
    with pytest.raises(
        ConfigError, match="stem='own' needs a backbone with a map of stride 2, which ConvNeXt"
    ):
        PairEncoder(copy.deepcopy(BACKBONE), stem="own")
    with pytest.raises(ConfigError, match="stem='none', but there are replaced, beside, own"):
        PairEncoder(copy.deepcopy(BACKBONE), stem="none")
    with pytest.raises(ConfigError, match=r"predicts by scale 0, which scales=\(1, 2\) leave out"):
        tiny(decoder=dict(scales=(1, 2)))
    with pytest.raises(ConfigError, match=r"scales=\(0, 4\) must be some of 0, 1, 2, 3"):
        tiny(decoder=dict(scales=(0, 4)))
    with pytest.raises(ConfigError, match="nominal_baseline=0 must be positive"):
        tiny(nominal_baseline=0)
    model = tiny(normalised_focal=None)
    with pytest.raises(DataError, match=r"a.png has no calibration, .* set model.normalised_focal"):
        model(pair(), samples(left_path="a.png"), mode="predict")
    rig = RectifiedRig(700.0, 0.54, 600, 180, 1242, 375)
    with pytest.raises(DataError, match="96 pixels wide, but its rig is of images that are 1242 pixels wide"):
        model(pair(), samples(rig=rig), mode="predict")
    images = pair()
    with pytest.raises(DataError, match=r"left images are \(1, 3, 64, 96\) and right ones \(1, 3, 64, 95\)"):
        model(dict(images, right=images["right"][..., 1:]))
    with pytest.raises(DataError, match="takes images of 3 channels, not 1; repeat"):
        model({side: image[:, :1] for side, image in images.items()})
    with pytest.raises(DataError, match=r"images in \[0, 1\], not torch.uint8"):
        model({side: image.byte() for side, image in images.items()})
    with pytest.raises(DataError, match="keys left and right"):
        model(images["left"])
