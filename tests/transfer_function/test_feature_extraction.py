"""Features of volumes: against the official order of work, with whole arrays and torch's own pooling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dense3d.backbones import VisionTransformer
from dense3d.backbones.vit_architectures import TINY
from dense3d.errors import ConfigError, DataError
from dense3d.transfer_function.features import (
    Extraction,
    FeatureSettings,
    KeyNetwork,
    extract_features,
    feature_cells,
    preset,
)
from dense3d.transfer_function.features.pooling import AxisPool, cell_ranges, coarse_to_fine, used_slices
from dense3d.transfer_function.features.slices import MEAN, STD, SliceImages

DINO = dict(name="dino_vits16", embed_dim=24, depth=2, num_heads=2, patch_size=4, pretrain_size=16)


def network(part: str = "k", **changes) -> KeyNetwork:
    torch.manual_seed(0)
    vit = VisionTransformer(DINO | changes)
    for parameter in vit.parameters():  # trained ones are no zeros either
        torch.nn.init.normal_(parameter, std=0.2)
    return KeyNetwork(vit, part)


def volume(shape=(9, 12, 7), kind="float32") -> np.ndarray:
    return (np.random.default_rng(0).random(shape) * 200 - 50).astype(kind)


def whole(values: np.ndarray, net: KeyNetwork, size: int, axes=(2, 1, 0)) -> torch.Tensor:
    """The official order of work: all qkv of an axis through a hook, cut, pooled as a whole, summed."""
    vit, p = net.network, net.patch_size
    ratio = sorted(values.shape)[1] / size
    images = [int(p * (d // ratio)) for d in values.shape]
    cells = [i // p for i in images]
    x = torch.from_numpy(values.astype(np.float32))
    x = (x - x.min()) / (x.max() - x.min())
    total, caught = 0, []
    last = vit.blocks[-1]
    handle = last.norm1.register_forward_hook(lambda m, i, o: caught.append(o))
    for axis in axes:
        rows, columns = (a for a in range(3) if a != axis)
        slices = x.permute(axis, rows, columns)[:, None].expand(-1, 3, -1, -1)
        slices = (slices - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        caught.clear()
        with torch.no_grad():
            vit(F.interpolate(slices, (images[rows], images[columns]), mode="nearest"))
            qkv = last.attn.qkv(caught[0])[:, vit.num_prefix :]
        keys = qkv.chunk(3, dim=-1)["qkv".index(net.part)]
        keys = keys.unflatten(1, (cells[rows], cells[columns]))  # (N, h, w, F)
        total = total + F.adaptive_avg_pool3d(keys.permute(3, 0, 1, 2).movedim(1, axis + 1), cells)
    handle.remove()
    return total


@pytest.mark.parametrize("part", ["q", "k", "v"])
@pytest.mark.parametrize(
    ("shape", "size", "kind"),
    [((9, 12, 7), 5, "float32"), ((5, 6, 21), 4, "int16"), ((3, 8, 8), 11, "uint8")],
)
def test_streaming_equals_whole_arrays(shape, size, kind, part):
    """Cells that share slices, more cells than slices, axes of any order, integers."""
    values, net = volume(shape, kind), network(part)
    settings = FeatureSettings(size=size, official_sizes=True, part=part)
    torch.testing.assert_close(
        extract_features(values, net, settings), whole(values, net, size), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("changes", [dict(qkv_bias="none"), dict(num_registers=3), dict(layer_scale=0.5)])
def test_other_networks(changes):
    values, net = volume(), network(**changes)
    settings = FeatureSettings(size=5, official_sizes=True, axes=(1,))
    torch.testing.assert_close(
        extract_features(values, net, settings), whole(values, net, 5, (1,)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("family", [name for name in TINY if name != "BEiT"])
def test_every_family_gives_keys(family):
    """Rotations, gates and key biases are no part of keys: the projection of what enters the last block."""
    vit = VisionTransformer(TINY[family])
    net, p = KeyNetwork(vit), vit.patch_size
    images = torch.randn(2, 3, 2 * p, 3 * p)
    entering = []
    vit.blocks[-1].norm1.register_forward_hook(lambda m, i, o: entering.append(o))
    with torch.no_grad():
        vit(images)
        found = net(images)
    attention = vit.blocks[-1].attn
    expected = F.linear(entering[0], attention.qkv.weight, attention._bias())[:, vit.num_prefix :]
    expected = expected.chunk(3, -1)[1].transpose(1, 2).unflatten(2, (2, 3))
    torch.testing.assert_close(found, expected)


def test_networks_of_timm():
    from dense3d.backbones import TimmBackbone

    backbone = TimmBackbone("vit_tiny_patch16_224", model_kwargs=dict(depth=3, embed_dim=24, num_heads=2))
    net = KeyNetwork(backbone)
    images, caught = torch.randn(1, 3, 32, 48), []
    vit = backbone.body.model
    vit.blocks[-1].attn.qkv.register_forward_hook(lambda m, i, o: caught.append(o))
    with torch.no_grad():
        vit.forward_features(images)
    expected = caught[0][:, vit.num_prefix_tokens :].chunk(3, -1)[1].transpose(1, 2).unflatten(2, (2, 3))
    torch.testing.assert_close(net(images), expected)
    assert (net.channels, net.patch_size) == (24, 16)
    with pytest.raises(ConfigError, match="resnet18 has no last block with one projection"):
        KeyNetwork(TimmBackbone("resnet18"))


def test_slices_of_one_axis_without_pooling():
    values, net = volume(), network()
    settings = FeatureSettings(size=5, axes=(1,), pooled=False)
    features = extract_features(values, net, settings)
    assert features.shape == (24, 5, 12, 3)
    pooled = extract_features(values, net, FeatureSettings(size=5, axes=(1,)))
    torch.testing.assert_close(F.adaptive_avg_pool3d(features, pooled.shape[1:]), pooled)


@pytest.mark.parametrize(("slices", "cells"), [(7, 3), (3, 7), (8, 8), (10, 1), (1, 4)])
def test_pooling_is_adaptive_average_pooling(slices, cells):
    maps = torch.randn(slices, 2, 3, 4)
    for axis in range(3):
        shape = [3, 4]
        shape.insert(axis, cells)
        pool = AxisPool(axis, slices, shape, 2)
        for index in np.random.default_rng(0).permutation(slices):
            pool.add(int(index), maps[index])
        expected = F.adaptive_avg_pool3d(maps.movedim(0, axis + 1), shape)
        torch.testing.assert_close(pool.mean(), expected)
    assert len(cell_ranges(slices, cells)) == cells


@pytest.mark.parametrize(("slices", "cells"), [(256, 32), (100, 96), (97, 32), (5, 9)])
def test_a_stride_leaves_each_cell_a_slice(slices, cells):
    for stride in (1, 2, 3, 7, 1000):
        used = np.array(used_slices(slices, cells, stride))
        assert used.max() < slices
        for low, high in cell_ranges(slices, cells):
            assert ((used >= low) & (used < high)).any()


def test_the_slice_that_is_looked_at_comes_first_and_each_cell_soon():
    order = coarse_to_fine(range(64), 8, first=21)
    assert order[0] == 21
    assert sorted(order) == list(range(64))
    cells = {index // 8 for index in order[1:9]}
    assert cells == set(range(8))
    run = Extraction(volume((12, 12, 12)), network(), FeatureSettings(size=4), first=(1, 7))
    assert run.axes[0] == 1
    assert run.order(1)[0] == 7


def test_sizes_guarded_and_by_millimetres():
    """S cells along the median axis whatever S is; one cell at least; equal millimetres if asked for."""
    for median in range(1, 400, 7):
        for size in (32, 48, 80, 96, 112):
            assert feature_cells((median, median, 3 * median), size) == (size, size, 3 * size)
    assert feature_cells((300, 300, 2), 32) == (32, 32, 1)
    assert feature_cells((300, 300, 2), 32, official=True)[2] == 0
    assert feature_cells((100, 100, 25), 20, spacing=(1, 1, 4)) == (20, 20, 20)
    with pytest.raises(ConfigError, match="has nothing in it"):
        feature_cells((3, 3, 3), 0)
    with pytest.raises(ConfigError, match="leave official_sizes off"):
        Extraction(volume((30, 30, 1)), network(), FeatureSettings(size=4, official_sizes=True))


def test_percentile_window_cuts_a_metal_voxel_off():
    values = volume((8, 8, 8))
    plain = SliceImages(values, (8, 8, 8))(2, [3])
    values[0, 0, 0] = 30000
    flat = SliceImages(values, (8, 8, 8))(2, [3])
    windowed = SliceImages(values, (8, 8, 8), window=(0.0, 99.0))(2, [3])
    assert flat.std() < 0.2 * plain.std()
    assert windowed.std() > 0.9 * plain.std()


def test_volumes_without_contrast_are_refused():
    with pytest.raises(DataError, match="all voxels have the value 3: there is nothing to tell apart"):
        SliceImages(np.full((4, 4, 4), 3), (4, 4, 4))
    with pytest.raises(DataError, match="no voxel of the volume has a finite value"):
        SliceImages(np.full((4, 4, 4), np.nan), (4, 4, 4))
    images = SliceImages(np.where(volume((4, 4, 4)) < -40, np.nan, volume((4, 4, 4))), (4, 4, 4))
    assert torch.isfinite(images(0, [0, 1, 2, 3])).all()


def test_half_precision_stays_near(monkeypatch):
    values, net = volume(), network()
    for pays, precision in ((True, "bfloat16"), (False, "float32")):
        module = "dense3d.transfer_function.features.extraction"
        monkeypatch.setattr(f"{module}.half_pays", lambda device, pays=pays: pays)
        assert Extraction(values, net, preset("quick")).settings.precision == precision
    exact = extract_features(values, net, FeatureSettings(size=5))
    half = extract_features(values, net, FeatureSettings(size=5, precision="bfloat16"))
    assert F.cosine_similarity(exact, half, dim=0).min() > 0.995


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (dict(size=0), "at least 1"),
        (dict(axes=(0, 0)), "some of 0, 1 and 2, each once"),
        (dict(part="x"), "part='x' of features: use one of q, k, v"),
        (dict(precision="int8"), "precision='int8'"),
        (dict(pooled=False), "pooled=False keeps the slices of one axis"),
        (dict(window=(99, 1)), "two ascending percentiles"),
        (dict(official_sizes=True, spacing_aware=True), "official sizes ignore the spacing"),
    ],
)
def test_settings_that_do_not_go_together(wrong, sentence):
    with pytest.raises(ConfigError, match=sentence):
        FeatureSettings(**wrong)


def test_presets():
    assert preset("quick").stride > 1
    with pytest.raises(ConfigError, match="did you mean 'quick'"):
        preset("quik")
    with pytest.raises(ConfigError, match="part='x' of an attention"):
        network("x")
