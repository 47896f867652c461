"""Cross-view completion beside its definition; on the kits it is compared with the official one."""

from __future__ import annotations

import math

import pytest
import torch

from dense3d.backbones import VisionTransformer
from dense3d.errors import ConfigError, DataError
from dense3d.pretraining.croco import CroCo, random_view_mask
from dense3d.registry import MODELS
from dense3d.structures.stereo_sample import StereoSample

NETWORK = dict(enc_embed_dim=24, enc_depth=2, enc_num_heads=2, dec_embed_dim=16, dec_depth=2, dec_num_heads=2)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def build(pos_embed: str = "RoPE100", **changes) -> CroCo:
    network = dict(NETWORK, pos_embed=pos_embed, img_size=64)
    return MODELS.build(dict(type="CroCo", network=network) | changes)


def views(batch: int = 2, size: tuple[int, int] = (64, 64)) -> dict[str, torch.Tensor]:
    return {"left": torch.randn(batch, 3, *size), "right": torch.randn(batch, 3, *size)}


def test_masks_have_their_size_and_differ_between_samples():
    noise = torch.rand(8, 196)
    mask = random_view_mask(noise, 0.9)
    assert mask.sum(1).tolist() == [176] * 8
    assert len({tuple(m.tolist()) for m in mask}) == 8
    for sample in range(8):  # by the definition: entries of the sorting permutation
        order = sorted(range(196), key=lambda i: float(noise[sample, i]))
        assert mask[sample].tolist() == [entry < 176 for entry in order]


@pytest.mark.parametrize("pos_embed", ["RoPE100", "cosine"])
def test_hidden_pixels_do_not_reach_the_prediction(pos_embed):
    model, pair, noise = build(pos_embed).eval(), views(1), torch.rand(1, 16)
    with torch.no_grad():
        predicted, hidden = model(pair, noise=noise)
        there = hidden.view(1, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3)
        other = torch.randn_like(pair["left"])
        again, _ = model(pair | {"left": torch.where(there, other, pair["left"])}, noise=noise)
        seen, _ = model(pair | {"left": torch.where(there, pair["left"], other)}, noise=noise)
        second, _ = model(pair | {"right": other}, noise=noise)
    assert torch.equal(predicted, again)
    assert not torch.allclose(predicted, seen)
    assert not torch.allclose(predicted, second)


@pytest.mark.parametrize("pos_embed", ["RoPE100", "cosine"])
def test_batches_equal_single_pairs_and_views_may_differ_in_size(pos_embed):
    model, noise = build(pos_embed, mask_ratio=0.75).eval(), torch.rand(3, 24)
    pair = {"left": torch.randn(3, 3, 64, 96), "right": torch.randn(3, 3, 32, 80)}
    with torch.no_grad():
        together, hidden = model(pair, noise=noise)
        for i in range(3):
            alone, mask = model({k: v[i : i + 1] for k, v in pair.items()}, noise=noise[i : i + 1])
            torch.testing.assert_close(together[i : i + 1], alone)
            assert torch.equal(hidden[i : i + 1], mask)


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_loss_is_the_mean_over_patches(normalised, masked):
    model, images = build(norm_pix_loss=normalised, masked_loss=masked), torch.randn(2, 3, 64, 64)
    predicted, hidden = torch.randn(2, 16, 768), torch.zeros(2, 16, dtype=torch.bool)
    hidden[0, 3] = hidden[1, 7] = hidden[1, 8] = True
    errors = []
    for sample in range(2):
        for patch in range(16):
            row, column = divmod(patch, 4)
            pixels = images[sample, :, row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
            target = pixels.permute(1, 2, 0).flatten()
            if normalised:
                target = (target - target.mean()) / (target.var(unbiased=True) + 1e-6).sqrt()
            if hidden[sample, patch] or not masked:
                errors.append((predicted[sample, patch] - target).square().mean())
    torch.testing.assert_close(model.loss(images, predicted, hidden), torch.stack(errors).mean())


def test_initial_weights_and_loss():
    model = build(network=dict(NETWORK, enc_embed_dim=48, dec_embed_dim=256, pos_embed="RoPE100"))
    assert model.mask_token.std().item() == pytest.approx(0.02, rel=0.2)
    limit = math.sqrt(6 / (256 + 768))
    assert 0.98 * limit < model.prediction_head.weight.abs().max() <= limit
    assert not model.prediction_head.bias.any()
    # targets have variance 1, predictions are Xavier weights times layer-normed tokens
    loss = model(views(4), mode="loss")["loss"].item()
    assert loss == pytest.approx(1 + 256 * limit**2 / 3, rel=0.1)


@pytest.mark.parametrize("pos_embed", ["RoPE100", "cosine"])
def test_training_reaches_every_weight_and_lowers_the_loss(pos_embed):
    model, noise = build(pos_embed, norm_pix_loss=False), torch.rand(4, 16)
    flat = torch.randn(4, 3, 1, 1).expand(-1, -1, 64, 64)
    pair = {"left": flat, "right": flat}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(25):
        loss = model(pair, mode="loss", noise=noise)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    assert losses[-1] < 0.2 * losses[0]


def test_half_precision_trains():
    model = build()
    with torch.autocast("cpu", torch.bfloat16):
        half = model(views(), mode="loss", noise=torch.rand(2, 16))["loss"]
    half.backward()
    assert half.dtype == torch.float32
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


def test_reconstruction_keeps_what_was_seen_at_the_unpadded_size():
    model, pair, noise = build().eval(), views(1, (64, 96)), torch.rand(1, 24)
    sample = StereoSample(metainfo=dict(img_shape=(60, 90)))
    with torch.no_grad():
        (sample,) = model(pair, [sample], mode="predict", noise=noise)
        _, hidden = model(pair, noise=noise)
        expected = model(pair, mode="loss", noise=noise)["loss"]
    hidden = (
        hidden.view(1, 4, 6).repeat_interleave(16, 1).repeat_interleave(16, 2)[:, :60, :90].expand(3, -1, -1)
    )
    assert sample.reconstruction.shape == sample.masked.shape == (3, 60, 90)
    assert torch.equal(sample.image, pair["left"][0, :, :60, :90])
    assert torch.equal(sample.second_view, pair["right"][0, :, :60, :90])
    torch.testing.assert_close(sample.reconstruction[~hidden], sample.image[~hidden])
    assert not torch.allclose(sample.reconstruction[hidden], sample.image[hidden])
    assert not sample.masked[hidden].any()
    torch.testing.assert_close(sample.error, expected)


def test_the_encoder_becomes_a_plain_backbone(tmp_path):
    for pos_embed, position in (("RoPE100", "grid_rope"), ("cosine", "sincos")):
        model = build(pos_embed).eval()
        torch.save({"state_dict": model.state_dict()}, tmp_path / "croco.pth")
        arch = dict(
            embed_dim=24, depth=2, num_heads=2, class_token=False, position=position, pretrain_size=64
        )
        init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "croco.pth"))
        backbone = VisionTransformer(arch, init_cfg=init_cfg).eval()
        backbone.init_weights()
        images = torch.randn(1, 3, 64, 96)
        with torch.no_grad():
            _, tokens, grid = model.network.encode(images)
            (features,) = backbone(images)
        torch.testing.assert_close(features, tokens.transpose(1, 2).unflatten(2, grid))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((50, 50), "images of 50 x 50 pixels are not made of whole patches of 16 x 16"),
        ((16, 16), "of the 1 patches in images of 16 x 16 pixels, mask_ratio=0.9 hides 0"),
    ],
)
@pytest.mark.parametrize("mode", ["loss", "predict", "tensor"])
def test_images_that_do_not_fit_are_refused(size, message, mode):
    with pytest.raises(DataError, match=message):
        build()(views(2, size), mode=mode)


@pytest.mark.parametrize("ratio", [-0.5, 0.0, 1.0, 90])
def test_ratios_are_between_0_and_1(ratio):
    with pytest.raises(ConfigError, match=f"mask_ratio={ratio}: .* between 0 and 1"):
        build(mask_ratio=ratio)
