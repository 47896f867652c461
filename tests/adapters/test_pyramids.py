"""Simple pyramids around plain transformers."""

from __future__ import annotations

import math

import pytest
import torch

from dense3d.adapters import RescaledPyramid, SimplePyramid, ViTCoMer
from dense3d.errors import ConfigError, DataError

SMALL = dict(embed_dim=64, depth=4, num_heads=2, pretrain_size=70)
VITS = {
    "deit": dict(name="deit_tiny_patch16", **SMALL),
    "mae": dict(name="mae_base_patch16", **SMALL),
    "beit": dict(name="beit_base_patch16", **SMALL),
    "dinov2": dict(name="dinov2_vits14", **SMALL),
    "dinov2-reg-swiglu": dict(name="dinov2_vitg14_reg", **SMALL),
    "dinov3": dict(name="dinov3_vits16", **SMALL),
}
ADAPTERS = {
    "simple": lambda vit: SimplePyramid(vit, out_channels=24),
    "rescaled-group": lambda vit: RescaledPyramid(vit, token_norm=True),
    "rescaled-batch": lambda vit: RescaledPyramid(vit, norm="batch"),
    "comer": lambda vit: ViTCoMer(vit, stem_width=8, num_heads=4, gamma_init=0.1),
    "comer-seg": lambda vit: ViTCoMer(vit, stem_width=8, num_heads=4, stagewise=True, mrfp_ratio=1.0),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("vit", VITS)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_contract_with_every_transformer(adapter, vit):
    model = ADAPTERS[adapter](dict(arch=VITS[vit])).eval()
    assert model.out_strides == (4, 8, 16, 32) and len(model.out_channels) == 4
    for height, width in ((32, 32), (65, 97)):
        with torch.no_grad():
            maps = model(torch.randn(1, 3, height, width))
        expected = [
            (1, c, math.ceil(height / s), math.ceil(width / s))
            for c, s in zip(model.out_channels, model.out_strides)
        ]
        assert [tuple(m.shape) for m in maps] == expected
        assert all(bool(m.isfinite().all()) for m in maps)


@pytest.mark.parametrize("vit", ["deit", "beit", "dinov3"])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_parameter_has_a_depth_and_a_gradient(adapter, vit):
    model = ADAPTERS[adapter](dict(arch=VITS[vit])).train()
    ids = model.layer_ids()
    assert set(ids) == {name for name, _ in model.named_parameters()}
    assert model.num_layers == 4
    assert {i for n, i in ids.items() if not n.startswith("vit.")} == {5}
    assert max(i for n, i in ids.items() if n.startswith("vit.")) == 4
    sum(m.square().sum() for m in model(torch.randn(2, 3, 64, 96))).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_checkpointing_changes_neither_gradients_nor_statistics(adapter):
    images, results = torch.randn(2, 3, 64, 96), []
    plain = ADAPTERS[adapter](dict(arch=VITS["dinov3"]))
    for with_cp in (False, True):
        model = ADAPTERS[adapter](dict(arch=VITS["dinov3"], with_cp=with_cp, drop_path_rate=0.3)).train()
        model.load_state_dict(plain.state_dict())
        torch.manual_seed(7)
        sum(m.square().sum() for m in model(images)).backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        results.append(gradients | {n: b for n, b in model.named_buffers() if "running" in n})
    assert results[0].keys() == results[1].keys()
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, msg=name)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_bad_images_are_explained(adapter):
    model = ADAPTERS[adapter](dict(arch=VITS["deit"]))
    with pytest.raises(DataError, match="8 x 64 pixels is smaller than one patch"):
        model(torch.zeros(1, 3, 8, 64))
    with pytest.raises(DataError, match=r"\(1, 1, 64, 64\) do not fit"):
        model(torch.zeros(1, 1, 64, 64))


def test_patches_of_14_see_the_resized_image():
    model = SimplePyramid(dict(arch=VITS["dinov2"])).eval()
    images = torch.randn(1, 3, 64, 96)
    tokens, grid = model.embed(images)
    assert grid == (4, 6)
    smaller = torch.nn.functional.interpolate(images, size=(56, 84), mode="bilinear", antialias=True)
    assert torch.equal(tokens, model.vit.embed(smaller)[0])


def test_rescaled_maps_are_those_of_their_blocks():
    model = RescaledPyramid(dict(arch=VITS["deit"]), blocks=[0, 1, 2, 3]).eval()
    images = torch.randn(1, 3, 64, 64)
    tokens, grid = model.vit.embed(images)
    with torch.no_grad():
        third = model(images)[2]
        tokens = model.vit.run_blocks(tokens, grid, 0, 3)
    torch.testing.assert_close(third.flatten(2).transpose(1, 2), tokens[:, 1:])


@pytest.mark.parametrize("blocks", [(0, 1, 1, 2), (1,)])
def test_blocks_after_the_last_one_taken_neither_run_nor_train(blocks):
    model = RescaledPyramid(dict(arch=VITS["deit"]), blocks=blocks)
    sum(m.square().sum() for m in model(torch.randn(2, 3, 64, 64))).backward()
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert {n for n, p in model.named_parameters() if p.grad is not None} == trained
    last = blocks[-1]
    assert not any(p.requires_grad for p in model.vit.blocks[last + 1 :].parameters())
    assert all(p.requires_grad for p in model.vit.blocks[: last + 1].parameters())


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_images_of_four_channels(adapter):
    model = ADAPTERS[adapter](dict(arch=dict(VITS["deit"], in_channels=4))).train()
    images = torch.randn(2, 4, 64, 64, requires_grad=True)
    sum(m.square().sum() for m in model(images)).backward()
    assert bool((images.grad.abs().sum((0, 2, 3)) > 0).all())  # every channel is seen


def test_one_block_serves_all_scales():
    model = RescaledPyramid(dict(arch=VITS["deit"]), blocks=[3]).eval()
    with torch.no_grad():
        maps = model(torch.randn(1, 3, 64, 64))
    torch.testing.assert_close(torch.nn.functional.max_pool2d(maps[2], 2), maps[3])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(blocks=[0, 1, 2]), r"blocks=\(0, 1, 2\).*one or four of 0\.\.3"),
        (dict(blocks=[0, 1, 2, 4]), r"one or four of 0\.\.3"),
        (dict(blocks=[3, 2, 1, 0]), "ascending"),
        (dict(norm="layer"), "norm='layer'.*'group' or 'batch'"),
    ],
)
def test_bad_arguments_are_explained(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        RescaledPyramid(dict(arch=VITS["deit"]), **kwargs)


def test_only_plain_transformers_are_wrapped():
    with pytest.raises(
        ConfigError,
        match="SimplePyramid wraps a VisionTransformer or another plain backbone, not 'TimmBackbone'",
    ):
        SimplePyramid(dict(type="TimmBackbone", model_name="resnet18"))
