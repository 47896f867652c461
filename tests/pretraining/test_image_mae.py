"""The masked autoencoder beside its definition; on the kit it is compared with the official one."""

from __future__ import annotations

import pytest
import torch

from dense3d.backbones import VisionTransformer
from dense3d.errors import ConfigError, DataError
from dense3d.layers.pixel_patches import patchify, unpatchify
from dense3d.pretraining.image_mae import MaskedAutoencoder
from dense3d.pretraining.image_mae.masking import random_masking
from dense3d.registry import MODELS

ENCODER = dict(arch=dict(name="mae_base_patch16", embed_dim=48, depth=2, num_heads=3, pretrain_size=64))
DECODER = dict(dim=32, depth=1, num_heads=2)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def build(**kwargs) -> MaskedAutoencoder:
    return MODELS.build(dict(type="MaskedAutoencoder", encoder=ENCODER, decoder=DECODER) | kwargs)


def test_a_quarter_of_the_patches_is_kept_at_random():
    tokens = torch.arange(50.0).view(1, 50, 1).expand(4, -1, -1)
    kept, mask, restore = random_masking(tokens, 0.75)
    assert kept.shape == (4, 12, 1)
    assert mask.sum(1).tolist() == [38.0] * 4
    for sample in range(4):
        assert set(kept[sample, :, 0].long().tolist()) == set((mask[sample] == 0).nonzero()[:, 0].tolist())
        order = restore[sample].argsort()
        assert torch.equal(kept[sample, :, 0], tokens[sample, order[:12], 0])
    assert len({tuple(m.tolist()) for m in mask}) == 4


def test_patch_vectors_are_row_column_channel():
    images = torch.randn(2, 3, 32, 48)
    patches = patchify(images, 16)
    assert torch.equal(patches[1, 4].view(16, 16, 3), images[1, :, 16:32, 16:32].permute(1, 2, 0))
    assert torch.equal(unpatchify(patches, (2, 3), 16), images)


@pytest.mark.parametrize("normalised", [False, True])
def test_loss_is_the_mean_over_removed_patches(normalised):
    model = build(norm_pix_loss=normalised)
    images, predicted = torch.randn(2, 3, 64, 64), torch.randn(2, 16, 768)
    mask = torch.zeros(2, 16)
    mask[0, 3] = mask[1, 7] = mask[1, 8] = 1
    errors = []
    for sample, patch in ((0, 3), (1, 7), (1, 8)):
        row, column = divmod(patch, 4)
        pixels = images[sample, :, row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
        target = pixels.permute(1, 2, 0).flatten()
        if normalised:
            target = (target - target.mean()) / (target.var(unbiased=True) + 1e-6).sqrt()
        errors.append((predicted[sample, patch] - target).square().mean())
    torch.testing.assert_close(model.loss(images, predicted, mask), torch.stack(errors).mean())


def test_removed_pixels_do_not_reach_the_prediction():
    model, images, noise = build().eval(), torch.randn(1, 3, 64, 64), torch.rand(1, 16)
    with torch.no_grad():
        predicted, mask = model(images, noise=noise)
        removed = mask.view(1, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3)
        again, _ = model(torch.where(removed > 0, torch.randn_like(images), images), noise=noise)
        other, _ = model(torch.where(removed > 0, images, torch.randn_like(images)), noise=noise)
    assert torch.equal(predicted, again)
    assert not torch.allclose(predicted, other)


def test_reconstruction_keeps_what_was_seen():
    model, images, noise = build().eval(), torch.randn(1, 3, 64, 96), torch.rand(1, 24)
    with torch.no_grad():
        sample = model(images, mode="predict", noise=noise)[0]
        _, mask = model(images, noise=noise)
    seen = mask.view(1, 1, 4, 6).repeat_interleave(16, 2).repeat_interleave(16, 3).expand(-1, 3, -1, -1) == 0
    painted, masked = sample.reconstruction[None], sample.masked[None]
    assert painted.shape == images.shape
    torch.testing.assert_close(painted[seen], images[seen])
    torch.testing.assert_close(masked[seen], images[seen])
    assert not torch.allclose(painted[~seen], images[~seen])
    assert not masked[~seen].any()
    torch.testing.assert_close(sample.image, images[0])
    expected = model(images, mode="loss", noise=noise)["loss"]
    torch.testing.assert_close(sample.error, expected, check_dtype=False)


def test_training_reaches_every_weight_and_lowers_the_loss():
    model = build(norm_pix_loss=False)
    images, noise = torch.randn(4, 3, 1, 1).expand(-1, -1, 64, 64), torch.rand(4, 16)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = model(images, mode="loss", noise=noise)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    assert losses[-1] < 0.1 * losses[0]


def test_the_encoder_becomes_a_backbone():
    model = build()
    backbone = VisionTransformer(**ENCODER)
    backbone.load_state_dict(model.encoder.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        latent, mask, _, grid = model.eval().encode(images, 0.0, torch.arange(16.0)[None])
        expected = backbone.eval()(images)[0]
    assert not mask.any() and grid == (4, 4)
    torch.testing.assert_close(latent[:, 1:].transpose(1, 2).unflatten(2, grid), expected)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 50, 50), "images of 50 x 50 pixels are not made of whole patches of 16 x 16"),
        ((4, 64, 64), r"images of shape \(2, 4, 64, 64\) do not fit a ViT that takes \(B, 3, H, W\)"),
        ((3, 8, 32), "an image of 8 x 32 pixels is smaller than one patch of 16 x 16"),
        ((3, 16, 32), "of the 2 patches in images of 16 x 32 pixels, mask_ratio=0.75 keeps 0"),
    ],
)
@pytest.mark.parametrize("mode", ["loss", "predict", "tensor"])
def test_images_that_do_not_fit_are_refused(shape, message, mode):
    with pytest.raises(DataError, match=message):
        build()(torch.zeros(2, *shape), mode=mode)


def test_a_ratio_that_removes_nothing_is_refused():
    with pytest.raises(DataError, match=r"of the 16 patches .* mask_ratio=1e-17 keeps 16"):
        build(mask_ratio=1e-17)(torch.zeros(1, 3, 64, 64), mode="loss")


@pytest.mark.parametrize("ratio", [-0.5, 0.0, 1.0, 75])
def test_ratios_are_between_0_and_1(ratio):
    with pytest.raises(ConfigError, match=f"mask_ratio={ratio}: .* between 0 and 1"):
        build(mask_ratio=ratio)


@pytest.mark.parametrize(
    ("changes", "arch", "message"),
    [
        (dict(prefix_tokens=False), {}, r"no class token \(prefix_tokens=False\);"),
        (dict(window_size=(2, None)), {}, r"windows \(window_size\);"),
        ({}, dict(name="dinov2_vits14_reg"), "registers;"),
        ({}, dict(name="beit_base_patch16"), "relative or rotary positions;"),
        ({}, dict(name="dinov3_vits16"), "registers, relative or rotary positions;"),
        ({}, dict(residual_blocks=(1,)), r"convolutions \(residual_blocks\);"),
    ],
)
def test_encoders_that_need_a_whole_image_are_refused(changes, arch, message):
    with pytest.raises(ConfigError, match=f"cannot have {message}"):
        build(encoder=dict(arch=ENCODER["arch"] | arch, **changes))
