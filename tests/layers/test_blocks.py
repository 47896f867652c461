"""Feed-forward networks, stochastic depth, layer scale, norms over channels, patch embedding."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dense3d.errors import ConfigError
from dense3d.layers.feature_maps import ChannelLayerNorm, ConvBottleneck
from dense3d.layers.mlp import SwiGlu, swiglu_hidden_dim
from dense3d.layers.patch_embed import PatchEmbed, map_to_tokens, tokens_to_map
from dense3d.layers.transformer_block import DropPath, LayerScale, TransformerBlock


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    drop = DropPath(0.25).train()
    x = torch.ones(4000, 2, 3)
    out = drop(x)
    per_sample = out.flatten(1)
    assert bool((per_sample == per_sample[:, :1]).all())
    assert sorted(set(per_sample[:, 0].tolist())) == [0.0, pytest.approx(1 / 0.75)]
    assert out.mean().item() == pytest.approx(1.0, abs=0.05)
    assert drop.eval()(x) is x


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan")])
def test_drop_path_refuses_what_is_no_probability_below_one(rate):
    with pytest.raises(ConfigError, match=r"drop path rate .* from 0 to below 1"):
        DropPath(rate)


def test_swiglu_is_its_formula():
    ffn = SwiGlu(6, 8)
    x = torch.randn(2, 3, 6)
    gate, value = x @ ffn.w1.weight.t() + ffn.w1.bias, x @ ffn.w2.weight.t() + ffn.w2.bias
    expected = (gate * gate.sigmoid() * value) @ ffn.w3.weight.t() + ffn.w3.bias
    torch.testing.assert_close(ffn(x), expected)


@pytest.mark.parametrize(
    ("dim", "ratio", "multiple", "width"),
    [(384, 6, 8, 1536), (1280, 6, 8, 5120), (4096, 3, 64, 8192), (1536, 4, 8, 4096), (192, 4, 8, 512)],
)
def test_swiglu_widths_of_released_models(dim, ratio, multiple, width):
    assert swiglu_hidden_dim(dim, ratio, multiple) == width


def test_block_is_pre_norm_with_scaled_branches():
    block = TransformerBlock(12, 3, layer_scale=0.3).eval()
    x = torch.randn(2, 5, 12)
    middle = x + 0.3 * block.attn(F.layer_norm(x, (12,), eps=1e-6))
    expected = middle + 0.3 * block.mlp(F.layer_norm(middle, (12,), eps=1e-6))
    torch.testing.assert_close(block(x), expected)


def test_block_with_drop_path_near_one_is_the_identity_while_training():
    block = TransformerBlock(12, 3, drop_path=1 - 1e-6).train()
    x = torch.randn(4, 5, 12)
    assert torch.equal(block(x), x)


def test_layer_scale_is_learnt_per_channel():
    scale = LayerScale(3, 2.0)
    scale(torch.ones(4, 3)).sum().backward()
    assert scale.gamma.grad.tolist() == [4.0] * 3


def test_channel_norm_normalises_each_pixel():
    x = torch.randn(2, 6, 3, 4)
    expected = F.layer_norm(x.permute(0, 2, 3, 1), (6,), eps=1e-6).permute(0, 3, 1, 2)
    torch.testing.assert_close(ChannelLayerNorm(6)(x), expected)


def test_conv_bottleneck_starts_as_the_identity_and_can_learn():
    block, x = ConvBottleneck(8), torch.randn(1, 8, 4, 4)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert bool((block.norm3.weight.grad != 0).any())


def test_patches_are_row_major():
    embed = PatchEmbed(2, 1, 1)
    torch.nn.init.ones_(embed.proj.weight)
    torch.nn.init.zeros_(embed.proj.bias)
    image = torch.arange(24.0).view(1, 1, 4, 6)
    tokens, grid = embed(image)
    assert grid == (2, 3)
    assert tokens.flatten().tolist() == [14.0, 22.0, 30.0, 62.0, 70.0, 78.0]
    torch.testing.assert_close(map_to_tokens(tokens_to_map(tokens, grid)), tokens)
