"""Point-MAE: masks, what the encoder may see, losses, reconstructed clouds, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from dense3d.errors import ConfigError, DataError
from dense3d.pointcloud.patch_masks import block_mask, random_patch_mask
from dense3d.pretraining import PointMAE

SMALL = dict(embed_dim=24, depth=2, num_heads=2, num_groups=10, group_size=4)
DECODER = dict(depth=1, num_heads=2)


def autoencoder(**settings) -> PointMAE:
    torch.manual_seed(0)
    return PointMAE(SMALL, DECODER, **settings).eval()


def test_the_published_size():
    parameters = sum(parameter.numel() for parameter in PointMAE({}).parameters())
    assert parameters == pytest.approx(29.006e6, rel=1e-4)  # as the official network has


def test_random_masks_follow_numpy_and_hide_equally_many():
    np.random.seed(3)
    masks = random_patch_mask(4, 64, 0.6)
    assert masks.sum(dim=1).tolist() == [38] * 4 and len({tuple(mask.tolist()) for mask in masks}) == 4
    np.random.seed(3)
    expected = np.hstack([np.zeros(26), np.ones(38)])
    np.random.shuffle(expected)
    assert masks[0].tolist() == expected.astype(bool).tolist()


def test_block_masks_are_the_patches_nearest_to_one():
    centres = torch.randn(3, 20, 3)
    seeds = torch.tensor([4, 0, 19])
    for cloud, mask, seed in zip(centres, block_mask(centres, 0.45, seeds), seeds):
        nearest = cKDTree(cloud.numpy()).query(cloud[seed].numpy(), k=9)[1]
        assert mask.sum() == 9 and mask[seed] and set(np.flatnonzero(mask)) == set(nearest)


def test_hidden_patches_do_not_reach_the_encoder():
    model, points = autoencoder(), torch.rand(1, 100, 3)
    found = model.reconstruct(points)
    patches, hidden = found.patches, found.mask
    moved = patches.points.clone()
    moved[hidden] += torch.randn_like(moved[hidden])
    tokens = model.encoder.patch_embed(patches.points, ~hidden)
    torch.testing.assert_close(model.encoder.patch_embed(moved, ~hidden), tokens)


@pytest.mark.parametrize("loss", ["cdl1", "cdl2"])
@pytest.mark.parametrize("mask_type", ["rand", "block"])
def test_the_loss_is_chamfer_between_hidden_patches(loss, mask_type):
    model, points = autoencoder(loss=loss, mask_type=mask_type), torch.rand(2, 60, 3)
    mask = model.draw_mask(model.encoder.group(points).centres)
    with torch.no_grad():
        value = model.reconstruct(points, mask=mask)
    predicted, truth = value.predicted, value.hidden(value.patches.points)
    both = []
    for mine, theirs in zip(predicted.flatten(0, 1), truth.flatten(0, 1)):
        there, back = (cKDTree(b.numpy()).query(a.numpy())[0] for a, b in ((mine, theirs), (theirs, mine)))
        power = 1 if loss == "cdl1" else 2
        both.append(((there**power).mean() + (back**power).mean()) / (2 if loss == "cdl1" else 1))
    assert model.loss(value.predicted, truth).item() == pytest.approx(np.mean(both), rel=1e-4)
    samples = model.samples(value, None)
    errors = np.array([float(sample.error) for sample in samples])
    assert errors == pytest.approx(np.mean(np.reshape(both, (2, -1)), axis=1), rel=1e-4)


def test_reconstructed_clouds_lie_in_the_frame_of_the_cloud():
    model, points = autoencoder(), torch.rand(2, 60, 3) + 5
    first = model(points, mode="predict")
    for sample, cloud in zip(first, points):
        known = {tuple(point) for point in cloud.mul(1e4).round().int().tolist()}
        for name, count in (("visible_points", 16), ("hidden_points", 24), ("reconstructed_points", 24)):
            assert sample.get(name).shape == (count, 3)
        for name in ("visible_points", "hidden_points"):
            assert {tuple(p) for p in sample.get(name).mul(1e4).round().int().tolist()} <= known
        assert sample.pred_centres.shape == (10, 3)


def test_predictions_repeat_and_do_not_depend_on_the_batch():
    model, points = autoencoder(), torch.rand(3, 60, 3)
    together = model(points, mode="predict")
    for cloud, sample in zip(points, together):
        alone = model(cloud[None], mode="predict")[0]
        torch.testing.assert_close(alone.reconstructed_points, sample.reconstructed_points)
        torch.testing.assert_close(alone.error, sample.error)


def test_clouds_of_several_sizes():
    model, clouds = autoencoder(), [torch.rand(60, 3), torch.rand(31, 3)]
    inputs = {"points": torch.cat(clouds), "lengths": torch.tensor([60, 31]), "features": None}
    for cloud, sample in zip(clouds, model(inputs, mode="predict")):
        alone = model(cloud[None], mode="predict")[0]
        torch.testing.assert_close(alone.reconstructed_points, sample.reconstructed_points)


def test_wrong_settings_are_one_sentence():
    for ratio, count in ((0.0, 0), (0.05, 0), (1.0, 10)):
        with pytest.raises(ConfigError, match=f"hides {count} of 10 patches"):
            autoencoder(mask_ratio=ratio)
    with pytest.raises(ConfigError, match="mask_type='random': use one of 'rand', 'block'"):
        autoencoder(mask_type="random")
    with pytest.raises(ConfigError, match="loss='emd': use one of 'cdl1', 'cdl2'"):
        autoencoder(loss="emd")
    with pytest.raises(ConfigError, match="no class token"):
        PointMAE(dict(SMALL, class_token=True), DECODER)
    with pytest.raises(DataError, match="a cloud of 9 points cannot be cut into 10 groups of 4"):
        autoencoder()(torch.rand(1, 9, 3), mode="loss")


def test_initial_weights_are_the_official_ones():
    model = PointMAE(dict(embed_dim=192, depth=1, num_heads=3), dict(depth=2, num_heads=3))
    fan = model.decoder.blocks[0].mlp.fc1.weight.detach()
    assert fan.abs().max() == pytest.approx((6 / (192 + 768)) ** 0.5, rel=1e-2)  # Xavier
    assert all((block.mlp.fc1.bias == 0).all() for block in model.decoder.blocks)
    assert model.encoder.blocks[0].mlp.fc1.weight.detach().std() == pytest.approx(0.02, rel=0.02)
    for layer in (model.decoder.predict, model.decoder.pos_embed[2]):  # PyTorch's own
        bound = layer.in_features**-0.5
        assert layer.weight.detach().abs().max() == pytest.approx(bound, rel=2e-2) and (layer.bias != 0).any()
    assert (model.decoder.norm.weight == 1).all() and model.decoder.mask_token.detach().std() < 0.03


def test_half_precision_on_a_cpu_gives_finite_gradients():
    model = autoencoder().train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(torch.rand(2, 60, 3), mode="loss")["loss"]
    loss.backward()
    assert loss.dtype == torch.float32 and loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_few_steps_learn():
    torch.manual_seed(0)
    np.random.seed(0)
    model = PointMAE(dict(SMALL, drop_path_rate=0.0), DECODER).train()
    directions = torch.nn.functional.normalize(torch.randn(4, 64, 3), dim=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = model(directions, mode="loss")["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
