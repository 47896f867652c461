"""T2T-ViT: token layers against their formulas, the fixed table, overlapping windows, half precision."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from dense3d.backbones import T2TViT
from dense3d.backbones.t2t_vit import (
    WINDOWS,
    TokenPerformer,
    TokenTransformer,
    resized_table,
    sinusoid_table,
    unfold,
)
from dense3d.checkpoints import convert
from dense3d.errors import CheckpointError, ConfigError

ARCH = dict(embed_dim=32, depth=2, num_heads=4, pretrain_size=64, token_dim=8)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_performer_is_attention_with_its_kernel():
    layer, tokens = TokenPerformer(12, 8).eval(), torch.randn(2, 7, 12)
    with torch.no_grad():
        key, query, value = layer.kqv(layer.norm1(tokens)).chunk(3, dim=2)
        phi = lambda x: (x @ layer.w.t() - x.square().sum(2, keepdim=True) / 2).exp() / math.sqrt(4)  # noqa: E731
        weights = phi(query) @ phi(key).mT  # (B, N, N)
        attended = weights @ value / (weights.sum(2, keepdim=True) + 1e-8)
        expected = value + layer.proj(attended)
        expected = expected + layer.mlp(layer.norm2(expected))
        torch.testing.assert_close(layer(tokens), expected, rtol=1e-4, atol=1e-5)


def test_random_features_are_orthogonal_and_fixed():
    layer = TokenPerformer(12, 64)
    torch.testing.assert_close(layer.w @ layer.w.t(), 32 * torch.eye(32), rtol=1e-4, atol=1e-3)
    assert not layer.w.requires_grad and "w" in layer.state_dict()


def test_the_transformer_scales_by_its_input_and_skips_with_values():
    layer, tokens = TokenTransformer(18, 8).eval(), torch.randn(2, 7, 18)
    with torch.no_grad():
        query, key, value = layer.attn.qkv(layer.norm1(tokens)).chunk(3, dim=2)
        weights = (query @ key.mT * 18**-0.5).softmax(2)
        expected = value + layer.attn.proj(weights @ value)
        expected = expected + layer.mlp(layer.norm2(expected))
        torch.testing.assert_close(layer(tokens), expected, rtol=1e-4, atol=1e-5)


def test_performers_compute_in_float32_under_autocast():
    layer, tokens = TokenPerformer(12, 8).eval(), torch.randn(2, 7, 12)
    with torch.no_grad():
        exact = layer(tokens)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(layer(tokens), exact)


def test_performers_drop_in_training_alone():
    layer, tokens = TokenPerformer(12, 8), torch.randn(2, 7, 12)
    assert not torch.equal(layer.train()(tokens), layer(tokens))
    assert torch.equal(layer.eval()(tokens), layer(tokens))


def test_three_windows_make_strides_of_16():
    x = torch.randn(1, 3, 48, 80)
    for window in WINDOWS:
        tokens, grid = unfold(x, *window)
        x = tokens[:, :, :3].mT.unflatten(2, grid)
    assert grid == (3, 5)


def test_windows_are_channel_then_row_then_column():
    x = torch.arange(2 * 4 * 4.0).view(1, 2, 4, 4)
    tokens, grid = unfold(x, 3, 2, 1)
    padded = F.pad(x, (1, 1, 1, 1))
    assert grid == (2, 2)
    assert torch.equal(tokens[0, 3], padded[0, :, 2:5, 2:5].flatten())


def test_the_table_is_of_the_flat_index():
    table = sinusoid_table(5, 4)
    assert table[0, 3].tolist() == pytest.approx(
        [math.sin(3), math.cos(3), math.sin(0.03), math.cos(0.03)], abs=1e-6
    )
    vit = T2TViT(ARCH)
    assert torch.equal(vit.pos_embed, sinusoid_table(17, 32)) and not vit.pos_embed.requires_grad
    assert torch.equal(vit.position_table((4, 4)), vit.pos_embed)
    resized = resized_table(vit.pos_embed, (4, 4), (3, 7))
    assert resized.shape == (1, 22, 32) and torch.equal(resized[:, 0], vit.pos_embed[:, 0])


def test_released_sizes_have_the_published_number_of_parameters():
    published = {"7": 4.3, "10": 5.9, "12": 6.9, "14": 21.5, "19": 39.2, "24": 64.1}
    published |= {"t_14": 21.5, "14_wide": 25.2}
    for name, millions in published.items():
        with torch.device("meta"):
            vit = T2TViT(name)
            count = sum(p.numel() for m in (vit, vit.class_head(1000)) for p in m.parameters())
        count -= 2 * vit.embed_dims  # the norm is in both
        assert count / 1e6 == pytest.approx(millions, abs=0.12), name


def test_other_files_and_arguments_are_refused():
    with pytest.raises(CheckpointError, match="no official T2T-ViT checkpoint"):
        convert("t2t-vit", {"cls_token": torch.ones(1)})
    state = {"module.tokens_to_token.project.weight": torch.ones(1), "module.aux_head.bias": torch.ones(1)}
    assert list(convert("t2t-vit", state)) == ["tokens_to_token.project.weight"]
    with pytest.raises(ConfigError, match="token_layer='convolution' of a T2T-ViT"):
        T2TViT(dict(ARCH, token_layer="convolution"))
    with pytest.raises(ConfigError, match="patch_size=8"):
        T2TViT(dict(ARCH, patch_size=8))
