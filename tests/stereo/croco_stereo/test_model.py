"""CroCo's models for stereo and flow."""

from __future__ import annotations

import itertools

import pytest
import torch

from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS
from dense3d.stereo.croco_stereo import CrocoFlow, CrocoMonocular, CrocoStereo, decoder_hooks, encoder_hooks
from dense3d.structures.stereo_sample import StereoSample

NETWORK = dict(
    pos_embed="RoPE100",
    enc_embed_dim=32,
    enc_depth=2,
    enc_num_heads=2,
    dec_embed_dim=24,
    dec_depth=3,
    dec_num_heads=2,
)
HEAD = dict(hidden_channels=(8, 8, 16, 16), channels=16, last_channels=8)
KINDS = pytest.mark.parametrize("kind", [CrocoStereo, CrocoFlow])


def build(kind=CrocoStereo, **options):
    torch.manual_seed(0)
    settings = dict(network=NETWORK, hooks=(1, 2, 3, 4), head=HEAD, crop_size=(32, 64)) | options
    return kind(**settings).eval()


def pairs(count: int, height: int, width: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(height * width)
    return {side: torch.randn(count, 3, height, width, generator=generator) for side in ("left", "right")}


def with_truth(model, count: int, height: int, width: int) -> list[StereoSample]:
    generator = torch.Generator().manual_seed(7)
    samples = []
    for _ in range(count):
        truth = 20 * torch.rand(model.channels, height, width, generator=generator)
        truth[:, 0] = float("inf")
        samples.append(StereoSample())
        samples[-1].set_data({f"gt_{model.field}": truth})
    return samples


@KINDS
def test_fields_and_their_ranges(kind):
    model = build(kind)
    sample = model(pairs(1, 45, 83), mode="predict")[0]
    assert sample.get(f"pred_{model.field}").shape == (model.channels, 45, 83)
    assert sample.pred_deviation.shape == sample.pred_confidence.shape == (1, 45, 83)
    assert sample.pred_deviation.min() > 0
    assert 0 < sample.pred_confidence.min() <= sample.pred_confidence.max() < 1


@pytest.mark.parametrize("mode", ["tiles", "whole"])
def test_batches_of_padded_pairs_equal_single_ones(mode):
    model = build(test_cfg=dict(mode=mode))
    sizes = [(40, 70), (33, 90), (40, 70)]
    singles = [pairs(3, *size) for size in sizes]
    batch = {side: torch.zeros(3, 3, 64, 96) for side in ("left", "right")}
    for i, ((height, width), single) in enumerate(zip(sizes, singles)):
        for side, image in single.items():
            batch[side][i, :, :height, :width] = image[i]
    samples = [StereoSample(metainfo=dict(img_shape=size)) for size in sizes]
    together = model(batch, samples, mode="predict")
    for i, single in enumerate(singles):
        alone = model({side: image[i : i + 1] for side, image in single.items()}, mode="predict")[0]
        for field in ("pred_disparity", "pred_deviation", "pred_confidence"):
            torch.testing.assert_close(together[i].get(field), alone.get(field), rtol=1e-4, atol=1e-5)


@KINDS
def test_tiles_in_batches_equal_tiles_one_by_one(kind):
    inputs, found = pairs(2, 50, 129), []
    for number in (1, 5, 1000):
        model = build(kind, test_cfg=dict(tile_batch_size=number))
        found.append(model(inputs, mode="predict"))
    for one, other in itertools.product(found[:1], found[1:]):
        for a, b in zip(one, other):
            for field in (f"pred_{model.field}", "pred_deviation", "pred_confidence"):
                torch.testing.assert_close(a.get(field), b.get(field), rtol=1e-4, atol=1e-5)


def test_an_image_of_one_tile_is_the_whole_image():
    inputs = pairs(1, 32, 64)
    tiles, whole = (
        build(test_cfg=dict(mode=mode))(inputs, mode="predict")[0].pred_disparity
        for mode in ("tiles", "whole")
    )
    torch.testing.assert_close(tiles, whole, rtol=1e-4, atol=1e-5)


def test_odd_sizes_are_continued_by_their_edges():
    model, inputs = build(), pairs(1, 37, 75)
    padded = {
        side: torch.nn.functional.pad(image, (0, 21, 0, 27), mode="replicate")
        for side, image in inputs.items()
    }
    values, raw = model(inputs)
    assert values.shape == raw.shape == (1, 1, 37, 75)
    torch.testing.assert_close(values, model(padded)[0][..., :37, :75])


@pytest.mark.parametrize("size", [(20, 100), (50, 40), (16, 16)])
def test_images_that_hold_no_tile(size, monkeypatch):
    """They are scaled up; what the network says of the larger images is brought back."""
    model = build(CrocoFlow)
    factor = max(32 / size[0], 64 / size[1])

    def regress(left, _right):
        assert left.shape[-2:] == model.crop_size
        values = left.new_tensor([8.0, -4.0]).view(1, 2, 1, 1).expand(len(left), 2, *left.shape[-2:])
        return values * factor, left.new_zeros(len(left), 1, *left.shape[-2:])

    monkeypatch.setattr(model, "regress", regress)
    sample = model(pairs(1, *size), mode="predict")[0]
    expected = torch.tensor([8.0, -4.0]).view(2, 1, 1).expand(2, *size)
    torch.testing.assert_close(sample.pred_flow, expected, rtol=0.03, atol=0)  # sizes are whole pixels
    middle = model.loss_function.deviation(torch.zeros(1)) / factor
    torch.testing.assert_close(sample.pred_deviation, middle.expand(1, *size), rtol=0.03, atol=0)
    torch.testing.assert_close(sample.pred_confidence, torch.full((1, *size), 0.5))


def test_the_right_camera_as_reference_is_a_mirrored_pair():
    model, inputs = build(), pairs(2, 40, 70)
    mirrored = {side: image.flip(-1) for side, image in inputs.items()}
    signs = [StereoSample(metainfo=dict(baseline_sign=sign)) for sign in (1, -1)]
    mixed = model(
        {side: torch.stack([a[0], b[1]]) for (side, a), b in zip(inputs.items(), mirrored.values())},
        signs,
        mode="predict",
    )
    plain = model(inputs, mode="predict")
    torch.testing.assert_close(mixed[0].pred_disparity, plain[0].pred_disparity, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        mixed[1].pred_disparity, plain[1].pred_disparity.flip(-1), rtol=1e-4, atol=1e-5
    )
    truth = with_truth(model, 1, 40, 70)
    turned = StereoSample(metainfo=dict(baseline_sign=-1), gt_disparity=truth[0].gt_disparity.flip(-1))
    losses = [
        model({side: x[:1] for side, x in images.items()}, samples, mode="loss")["loss"]
        for images, samples in ((inputs, truth), (mirrored, [turned]))
    ]
    torch.testing.assert_close(*losses)


@KINDS
def test_every_parameter_learns_from_the_first_step(kind):
    model = build(kind).train()
    losses = model(pairs(2, 32, 64), with_truth(model, 2, 32, 64), mode="loss")
    assert set(losses) == {"loss", "epe"}
    assert not losses["epe"].requires_grad
    model.parse_losses(losses)[0].backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # softmax does not see what is added to all keys
    assert [name for name in unused if not name.endswith("projk.bias")] == []


@KINDS
def test_initial_weights_start_near_zero_displacement(kind):
    """Errors are then those of guessing 0: weights that are loaded would hide bad initial ones."""
    model = build(kind, head=None, network=dict(NETWORK, enc_embed_dim=64, dec_embed_dim=48))
    values, raw = model(pairs(1, 64, 64))
    assert values.abs().max() < 2
    assert raw.abs().max() < 2


@KINDS
def test_half_precision(kind):
    model = build(kind).train()
    inputs, samples = pairs(2, 32, 64), with_truth(model, 2, 32, 64)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(inputs, samples, mode="loss")
        predicted = model.eval()(inputs, mode="predict")[0]
    losses["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert predicted.get(f"pred_{model.field}").dtype == torch.float32
    torch.testing.assert_close(
        losses["loss"], model(inputs, samples, mode="loss")["loss"], rtol=0.05, atol=0.05
    )


def test_ground_truth_in_larger_units():
    """Losses are those of displacements divided by ``target_scale``; predictions are in pixels again."""
    plain, scaled = build(), build(target_scale=8.0)
    scaled.load_state_dict(plain.state_dict())
    inputs, samples = pairs(1, 32, 64), with_truth(plain, 1, 32, 64)
    torch.testing.assert_close(scaled(inputs)[0], 8 * plain(inputs)[0])
    small = StereoSample(gt_disparity=samples[0].gt_disparity / 8)
    torch.testing.assert_close(
        scaled(inputs, samples, mode="loss")["loss"], plain(inputs, [small], mode="loss")["loss"]
    )
    a, b = (model(inputs, mode="predict")[0] for model in (plain, scaled))
    torch.testing.assert_close(b.pred_deviation, 8 * a.pred_deviation)
    torch.testing.assert_close(b.pred_confidence, a.pred_confidence)


def test_without_confidence():
    model = build(loss=dict(type="DenseL1Loss"), test_cfg=dict(mode="whole"))
    sample = model(pairs(1, 40, 70), mode="predict")[0]
    assert sample.pred_disparity.shape == (1, 40, 70)
    assert "pred_confidence" not in sample
    with pytest.raises(ConfigError, match="whole"):
        build(loss=dict(type="DenseL1Loss"))


@KINDS
def test_exported_programs_equal_eager_ones(kind):
    model, images = build(kind), tuple(pairs(2, 45, 70).values())

    class Graph(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, left, right):
            return self.model({"left": left, "right": right})

    program = torch.export.export(Graph().eval(), images, strict=False)
    for exported, eager in zip(program.module()(*images), model(dict(zip(("left", "right"), images)))):
        torch.testing.assert_close(exported, eager)


def test_hooks():
    assert decoder_hooks(12, 24) == (11, 19, 27, 35)
    assert encoder_hooks(24) == (5, 11, 17, 23)
    with pytest.raises(ConfigError, match="give hooks"):
        decoder_hooks(12, 6)
    with pytest.raises(ConfigError, match="give hooks"):
        encoder_hooks(3)
    for hooks in ((0, 1, 2), (3, 2, 1, 0), (1, 2, 3, 5), (0, 0, 1, 2), (-1, 0, 1, 2), (0.5, 1, 2, 3)):
        with pytest.raises(ConfigError, match="hooks="):
            build(hooks=hooks)


def test_tokens_that_the_head_reads():
    """Of the encoder's blocks the last is normed, others are not."""
    model, inputs = build(), pairs(2, 32, 64)
    tokens, grid = model.tokens(*inputs.values())
    blocks, normed, _ = model.network.encode(inputs["left"])
    assert len(tokens) == 5
    assert grid == (2, 4)
    torch.testing.assert_close(tokens[0], blocks[0])
    torch.testing.assert_close(tokens[1], normed)
    assert tokens[2].shape == (2, 8, 24)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(crop_size=(33, 64)), "multiples of 32"),
        (dict(crop_size=320), "height and a width"),
        (dict(target_scale=0), "positive"),
        (dict(test_cfg=dict(overlaps=0.5)), "overlaps"),
        (dict(test_cfg=dict(mode="slide")), "slide"),
        (dict(test_cfg=dict(tile_conf_mode="conf")), "conf_exp"),
        (dict(test_cfg=dict(small_images="pad")), "cover"),
        (dict(test_cfg=dict(tile_batch_size=0)), "tile_batch_size"),
        (dict(test_cfg=dict(overlap=1)), "overlap"),
        (dict(head=dict(out_channels=3)), "out_channels"),
        (dict(head=dict(HEAD, head_type="semseg")), "only head_type='regression'"),
        (dict(head=dict(HEAD, output_width_ratio=2)), "only output_width_ratio=1"),
        (dict(head=dict(HEAD, use_bn=True)), "only use_bn=False"),
    ],
)
def test_wrong_settings_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        build(**options)


def test_wrong_inputs_are_named():
    model, inputs = build(), pairs(1, 32, 64)
    with pytest.raises(DataError, match="one size"):
        model(dict(inputs, right=inputs["right"][..., :32]))
    with pytest.raises(DataError, match="gt_disparity"):
        model(inputs, [StereoSample(metainfo=dict(left_path="a.png"))], mode="loss")
    empty = StereoSample(gt_disparity=torch.full((1, 32, 64), float("inf")))
    losses = model(inputs, [empty], mode="loss")
    assert losses["loss"].item() == losses["epe"].item() == 0


def test_the_encoder_alone():
    network = dict(NETWORK, enc_depth=4)
    model = MODELS.build(
        dict(type="CrocoMonocular", network=network, head=HEAD, loss=dict(type="LaplacianLoss"))
    )
    assert not [name for name, _ in model.named_parameters() if "dec" in name]
    inputs = pairs(2, 40, 70)
    depth = 5 + torch.rand(1, 40, 70)
    depth[:, :8] = 0
    losses = model(inputs, [StereoSample(gt_depth=depth) for _ in range(2)], mode="loss")
    losses["loss"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    sample = model.eval()(inputs, [StereoSample(metainfo=dict(img_shape=(33, 60)))] * 2, mode="predict")[0]
    assert sample.pred_inverse_depth.shape == (1, 33, 60)
    maps = CrocoMonocular(network, out_channels=3, head=HEAD)(inputs)
    assert maps[0].shape == (2, 3, 40, 70)
    assert maps[1] is None
