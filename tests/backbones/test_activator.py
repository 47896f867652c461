"""Activator: that nothing mixes tokens as published, that something does with ``local``, and the contract."""

from __future__ import annotations

import math

import pytest
import torch

from dense3d.backbones import Activator
from dense3d.checkpoints import convert
from dense3d.errors import CheckpointError, ConfigError, DataError
from dense3d.layers.gated_unit import GatedUnit

ONE = dict(dims=(16,), hidden_dims=(24,), depths=(3,))
FOUR = dict(dims=(8, 12, 16, 24), hidden_dims=(16, 24, 32, 48), depths=(1, 1, 2, 1))


def shuffled(image: torch.Tensor, patch: int, order: torch.Tensor) -> torch.Tensor:
    height, width = image.shape[-2:]
    patches = torch.nn.functional.unfold(image, patch, stride=patch)[..., order]
    return torch.nn.functional.fold(patches, (height, width), patch, stride=patch)


def test_moving_patches_moves_the_map_and_leaves_the_scores():
    torch.manual_seed(0)
    backbone = Activator(ONE).eval()
    head, image, order = backbone.class_head(5), torch.randn(1, 3, 16, 24), torch.randperm(24)
    with torch.no_grad():
        (before,), (after,) = backbone(image), backbone(shuffled(image, 4, order))
        torch.testing.assert_close(after.flatten(2), before.flatten(2)[..., order])
        torch.testing.assert_close(head(after), head(before))
        mixing = Activator(ONE, local=True).eval()
        (before,), (after,) = mixing(image), mixing(shuffled(image, 4, order))
    assert (after.flatten(2) - before.flatten(2)[..., order]).abs().max() > 1e-3


@pytest.mark.parametrize(("local", "pixels"), [(False, 16), (True, 16 * 9)])
def test_receptive_field(local, pixels):
    torch.manual_seed(0)
    backbone = Activator(dict(ONE, depths=(1,)), local=local).eval()
    image = torch.randn(1, 1 * 3, 20, 20, requires_grad=True)
    backbone(image)[0][0, :, 2, 2].sum().backward()
    assert int((image.grad.abs().sum(1) > 0).sum()) == pixels


def test_the_gate_in_closed_form():
    torch.manual_seed(0)
    unit, x = GatedUnit(6, 10), torch.randn(4, 6)
    gate = torch.nn.functional.gelu(unit.proj_1(x))
    standard = [
        (v - v.mean(-1, keepdim=True)) / (v.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        for v in (gate, unit.proj_2(x))
    ]
    torch.testing.assert_close(unit(x), unit.proj_3(standard[0] * standard[1]), rtol=1e-4, atol=1e-5)


def test_one_norm_serves_unit_and_mlp():
    block = Activator(ONE).blocks(0)[0]
    assert sum(isinstance(m, torch.nn.LayerNorm) for m in block.modules()) == 2  # the unit's own is the other
    assert Activator(ONE, mlp=False).blocks(0)[0].mlp is None


@pytest.mark.parametrize(("height", "width"), [(32, 32), (65, 97), (33, 50), (7, 5)])
def test_contract(height, width):
    torch.manual_seed(0)
    backbone = Activator(FOUR, local=True).eval()
    images = torch.randn(2, 3, height, width)
    with torch.no_grad():
        maps, alone = backbone(images), backbone(images[:1])
    assert backbone.out_strides == (4, 8, 16, 32)
    assert [tuple(m.shape) for m in maps] == [
        (2, c, math.ceil(height / s), math.ceil(width / s))
        for c, s in zip(backbone.out_channels, backbone.out_strides)
    ]
    for a, b in zip(maps, alone):
        torch.testing.assert_close(a[:1], b, rtol=1e-4, atol=1e-5)


def test_frozen_stages_and_checkpointing():
    grads = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = Activator(FOUR, local=True, frozen_stages=1, with_cp=with_cp).train()
        sum(m.square().sum() for m in backbone(torch.ones(1, 3, 64, 64))).backward()
        grads.append({n: p.grad for n, p in backbone.named_parameters()})
    frozen = {n for n, g in grads[0].items() if g is None}
    assert frozen == {n for n in grads[0] if n.startswith("stages.0.")}
    for name, grad in grads[0].items():
        if grad is not None:
            torch.testing.assert_close(grads[1][name], grad, rtol=1e-4, atol=1e-5)
    ids = Activator(FOUR).layer_ids()
    assert ids["stages.0.embed.weight"] == 0 and ids["stages.2.embed.weight"] == 3
    assert ids["stages.2.blocks.1.norm.weight"] == 4


def test_half_precision_is_close():
    torch.manual_seed(0)
    backbone, images = Activator(FOUR, local=True).eval(), torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        exact = backbone(images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone(images)
    for a, b in zip(exact, rough):
        assert b.isfinite().all()
        assert (a - b.float()).abs().mean() < 0.05 * a.abs().mean()


def test_bad_input_is_explained():
    for build, message in (
        (lambda: Activator("publish"), "no size 'publish'; did you mean 'published'"),
        (lambda: Activator(dict(dims=(8,))), "arch needs dims, hidden_dims, depths, but has dims"),
        (lambda: Activator(dict(ONE, dims=(8, 8))), "arch has 2 dims, 1 hidden_dims, 1 depths"),
    ):
        with pytest.raises(ConfigError, match=message):
            build()
    with pytest.raises(DataError, match=r"takes images of shape \(B, 3, H, W\)"):
        Activator(ONE)(torch.zeros(1, 1, 32, 32))
    with pytest.raises(CheckpointError, match="no official Activator checkpoint: 1 unexpected name"):
        convert("activator", {"model.0.attn.weight": torch.zeros(1)})
