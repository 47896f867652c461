"""Swin against torchvision, and its own rules: shifts of small maps, masks, tables, depths."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2

from dense3d.backbones import Swin
from dense3d.backbones.swin import resize_bias_table
from dense3d.backbones.window_attention import SwinAttention, SwinAttentionV2, shifted_window_mask
from dense3d.checkpoints import convert
from dense3d.errors import ConfigError

SIZES = dict(embed_dim=32, depths=(2, 2, 2), num_heads=(2, 4, 4))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def torchvision_peer(version: int, window: int) -> SwinTransformer:
    peer = SwinTransformer(
        patch_size=[4, 4],
        embed_dim=32,
        depths=[2, 2, 2],
        num_heads=[2, 4, 4],
        window_size=[window, window],
        **(dict(block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2) if version == 2 else {}),
    )
    for parameter in peer.parameters():  # biases and tables that are not zero
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    return peer.eval()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("size", "window"), [((64, 96), 4), ((44, 100), 5), ((16, 12), 7)])
def test_equals_torchvision(version, size, window):
    peer = torchvision_peer(version, window)
    ours = Swin(
        SIZES, version, window, shift_small_maps=False, output_norm=False, out_indices=(0, 1, 2)
    ).eval()
    ours.load_state_dict(convert("swin-torchvision", peer.state_dict()))
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        maps, expected = ours(x), []
        for layer in peer.features:
            x = layer(x)
            expected.append(x.permute(0, 3, 1, 2))
    for ours_map, theirs in zip(maps, expected[1::2]):
        torch.testing.assert_close(ours_map, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("version", [1, 2])
def test_gradients_equal_torchvision(version):
    peer = torchvision_peer(version, 4)
    ours = Swin(SIZES, version, 4, shift_small_maps=False, output_norm=False, out_indices=(0, 1, 2)).eval()
    ours.load_state_dict(convert("swin-torchvision", peer.state_dict()))
    x = torch.randn(1, 3, 40, 56)
    ours(x)[-1].square().sum().backward()
    peer.features(x).square().sum().backward()
    gradients = {name: p.grad for name, p in peer.named_parameters() if p.grad is not None}
    for name, gradient in convert("swin-torchvision", gradients).items():
        own = ours.get_parameter(name).grad
        torch.testing.assert_close(
            own, gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max()), msg=name
        )


def plain_window_attention(module: SwinAttention, x: torch.Tensor) -> torch.Tensor:
    """One pair of tokens at a time: shift, window and region of each by arithmetic on its position."""
    side, shift, heads = module.window_size[0], module.shift_size[0], module.num_heads
    height, width, channels = x.shape
    rows, columns = -(-height // side) * side, -(-width // side) * side
    padded = x.new_zeros(rows, columns, channels)
    padded[:height, :width] = x
    position = [(r, c) for r in range(rows) for c in range(columns)]
    rolled = {p: ((p[0] - shift) % rows, (p[1] - shift) % columns) for p in position}

    def region(where: int, length: int) -> int:
        return (where >= length - side) + (where >= length - shift) if shift else 0

    query, key, value = (
        module.qkv(padded).unflatten(-1, (3, heads, -1)).unbind(2)
    )  # (rows, columns, heads, d)
    table = module.relative_position_bias_table
    out = torch.zeros_like(padded)
    for p in position:
        a = rolled[p]
        others = [q for q in position if all(rolled[q][i] // side == a[i] // side for i in (0, 1))]
        logits = []
        for q in others:
            b = rolled[q]
            product = (query[p] * key[q]).sum(-1) * query.shape[-1] ** -0.5
            product = product + table[(a[0] - b[0] + side - 1) * (2 * side - 1) + a[1] - b[1] + side - 1]
            apart = any(region(a[i], (rows, columns)[i]) != region(b[i], (rows, columns)[i]) for i in (0, 1))
            logits.append(product - 100.0 * apart)
        weights = torch.stack(logits).softmax(0)  # (others, heads)
        out[p] = sum(w[:, None] * value[q] for w, q in zip(weights, others)).flatten()
    return module.proj(out)[:height, :width]


@pytest.mark.parametrize("size", [(3, 2), (5, 4), (6, 3)])
@pytest.mark.parametrize("shift", [0, 1])
def test_window_attention_pair_by_pair(size, shift):
    module = SwinAttention(8, [3, 3], [shift, shift], 2).eval()
    module.relative_position_bias_table.data.normal_()
    x = torch.randn(*size, 8)
    with torch.no_grad():
        torch.testing.assert_close(module(x[None])[0], plain_window_attention(module, x))


def test_small_maps_are_shifted_by_default_only_in_version_1():
    for version in (1, 2):
        block = Swin(SIZES, version, out_indices=(0, 1, 2)).layers[0].blocks[1].attn
        assert block.shift_small_maps == (version == 1)


def test_mask_of_no_shift_is_zero_and_keeps_its_count_of_regions():
    assert not shifted_window_mask((6, 9), (3, 3), (0, 0), torch.device("cpu")).any()
    mask = shifted_window_mask((6, 9), (3, 3), (1, 1), torch.device("cpu"))
    assert mask.shape == (6, 9, 9)
    assert torch.equal(mask, mask.transpose(1, 2))
    assert [len(set(map(tuple, m.tolist()))) for m in mask] == [1, 1, 2, 2, 2, 4]


def test_pretrained_window_scales_the_coordinates_of_version_2():
    enlarged = SwinAttentionV2(8, [16, 16], [0, 0], 2, pretrained_window=8).relative_coords_table
    own = SwinAttentionV2(8, [8, 8], [0, 0], 2).relative_coords_table
    torch.testing.assert_close(enlarged[:, 8:23, 8:23], own)
    torch.testing.assert_close(own[0, -1, -1], torch.full((2,), 3.1699250 / 3))  # log2(1 + 8) / 3


def test_a_pretrained_window_of_0_is_the_window_itself():
    """As the configurations of the official code write it."""
    options = dict(version=2, window_size=4, out_indices=(0, 1, 2))
    found = dict(Swin(SIZES, pretrained_window_sizes=(0, 3, 0), **options).named_buffers())
    own = dict(Swin(SIZES, **options).named_buffers())
    tables = [f"layers.{i}.blocks.0.attn.relative_coords_table" for i in (0, 1)]
    assert [torch.equal(found[name], own[name]) for name in tables] == [True, False]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(window_size=0), "window_size=0, but the side of a window of V1 has 1 token or more"),
        (dict(version=2, window_size=1), "window_size=1, but the side of a window of V2 has 2 tokens"),
        (dict(version=2, pretrained_window_sizes=(8,)), r"\(8,\): give one for each of the 2 stages"),
        (dict(version=2, pretrained_window_sizes=(8, 1)), "2 or more, or 0 for window_size"),
    ],
)
def test_windows_that_cannot_be_are_explained(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        Swin(dict(embed_dim=16, depths=(1, 1), num_heads=(2, 2)), out_indices=(0, 1), **kwargs)


def test_absolute_table_is_resized_to_the_image():
    backbone = Swin(
        dict(embed_dim=8, depths=(1,), num_heads=(1,)), absolute_position_size=6, out_indices=(0,)
    )
    images = torch.randn(1, 3, 40, 24)
    with torch.no_grad():
        table = F.interpolate(backbone.absolute_pos_embed, size=(10, 6), mode="bicubic", align_corners=False)
        expected = backbone.patch_embed(images) + table.permute(0, 2, 3, 1)
        torch.testing.assert_close(backbone.stem(images), expected)
    assert backbone.no_weight_decay() == {
        "absolute_pos_embed",
        "layers.0.blocks.0.attn.relative_position_bias_table",
    }
    assert not Swin(
        SIZES, absolute_position_size=6, frozen_stages=0, out_indices=(0,)
    ).absolute_pos_embed.requires_grad


def test_tables_of_another_window_keep_constants_and_order():
    torch.testing.assert_close(resize_bias_table(torch.full((25, 2), 3.0), 169), torch.full((169, 2), 3.0))
    ramp = torch.arange(9.0).repeat_interleave(9)[:, None]  # grows with dy, not with dx
    resized = resize_bias_table(ramp, 25).reshape(5, 5)
    assert (resized.diff(dim=0) > 0).all()
    torch.testing.assert_close(resized, resized[:, :1].expand(5, 5))


def test_depths_follow_the_blocks():
    ids = Swin(dict(embed_dim=8, depths=(2, 1), num_heads=(1, 1)), out_indices=(0, 1)).layer_ids()
    expected = {
        "patch_embed.proj.weight": 0,
        "layers.0.blocks.0.attn.qkv.weight": 1,
        "layers.0.blocks.1.mlp.3.bias": 2,
        "layers.0.downsample.reduction.weight": 2,
        "layers.1.blocks.0.norm1.weight": 3,
        "norm0.weight": 4,
        "norm1.bias": 4,
    }
    assert {name: ids[name] for name in expected} == expected


def test_half_precision_stays_finite():
    backbone = Swin(SIZES, window_size=4, out_indices=(0, 1, 2)).bfloat16().eval()
    assert all(
        m.isfinite().all() and m.dtype == torch.bfloat16
        for m in backbone(torch.randn(1, 3, 50, 70).bfloat16())
    )
    with torch.autocast("cpu", torch.bfloat16):
        for version in (1, 2):
            maps = Swin(SIZES, version, 4, out_indices=(0, 1, 2))(torch.randn(1, 3, 50, 70))
            assert all(m.isfinite().all() for m in maps)


def test_released_torchvision_network_converts():
    official = torchvision.models.swin_t().state_dict()
    backbone = Swin("tiny", output_norm=False)
    backbone.load_state_dict(convert("swin-torchvision", official))
    assert torch.equal(backbone.patch_embed.proj.weight, official["features.0.0.weight"])
