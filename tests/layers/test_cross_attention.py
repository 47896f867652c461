"""Attention to a memory beside its formula and PyTorch's own module, and the block around it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dense3d.errors import ConfigError
from dense3d.layers import CrossAttention, CrossAttentionBlock, GridRope, rotate


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_attention_is_torchs():
    ours, theirs = CrossAttention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        parts = (ours.projq, ours.projk, ours.projv)
        theirs.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        theirs.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
        theirs.out_proj.load_state_dict(ours.proj.state_dict())
    tokens, memory = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    torch.testing.assert_close(ours(tokens, memory), theirs(tokens, memory, memory)[0])


def test_queries_and_keys_turn_by_their_own_positions():
    attention, rope = CrossAttention(8, 2), GridRope(4)
    tokens, memory = torch.randn(1, 6, 8), torch.randn(1, 4, 8)
    heads = [
        layer(x).unflatten(2, (2, 4)).transpose(1, 2)
        for layer, x in ((attention.projq, tokens), (attention.projk, memory), (attention.projv, memory))
    ]
    weights = rotate(heads[0], rope((2, 3))) @ rotate(heads[1], rope((2, 2))).transpose(2, 3) / 4**0.5
    expected = attention.proj((weights.softmax(-1) @ heads[2]).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(tokens, memory, rope((2, 3)), rope((2, 2))), expected)


@pytest.mark.parametrize("norm_memory", [True, False])
def test_block_is_its_three_steps(norm_memory):
    block, rope = CrossAttentionBlock(16, 2, 2.0, norm_memory), GridRope(8)
    for norm in (m for m in block.modules() if isinstance(m, nn.LayerNorm)):
        nn.init.normal_(norm.weight, 1.0, 0.1)
    x, y = torch.randn(2, 6, 16), torch.randn(2, 4, 16)
    at, to = rope((2, 3)), rope((2, 2))
    before = y.clone()
    found = block(x, y, at, to)
    x = x + block.attn(block.norm1(x), rotation=at)
    memory = block.norm_y(y) if norm_memory else y
    x = x + block.cross_attn(block.norm2(x), memory, at, to)
    torch.testing.assert_close(found, x + block.mlp(block.norm3(x)))
    assert torch.equal(y, before)
    names = {name for name, _ in block.named_parameters() if name.startswith("norm_y")}
    assert names == ({"norm_y.weight", "norm_y.bias"} if norm_memory else set())
    assert block.mlp.fc1.out_features == 32


def test_heads_share_the_channels():
    with pytest.raises(ConfigError, match="10 channels cannot be shared by 4 heads"):
        CrossAttention(10, 4)
