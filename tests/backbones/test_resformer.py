"""ResFormer: positions of grids that are no square, the local term against its formula, no sizes anywhere."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from dense3d.backbones import ResFormer
from dense3d.checkpoints import convert
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers.attention import SelfAttention
from dense3d.layers.image_position import LocalPosition, sine_table

ARCH = dict(embed_dim=32, depth=2, num_heads=4)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_sines_encode_rows_first_from_one_to_the_last():
    table = sine_table((3, 5), 8)[0].unflatten(0, (3, 5))
    turn = 2 / (3 + 1e-6) * 2 * math.pi  # of the second row
    expected = [math.sin(turn), math.cos(turn), math.sin(turn / 100), math.cos(turn / 100)]
    assert table[1, 4, :4].tolist() == pytest.approx(expected, abs=1e-6)
    turn = 4 / (5 + 1e-6) * 2 * math.pi  # of the fourth column
    expected = [math.sin(turn), math.cos(turn), math.sin(turn / 100), math.cos(turn / 100)]
    assert table[2, 3, 4:].tolist() == pytest.approx(expected, abs=1e-6)


def test_the_local_term_is_one_convolution_for_all_heads():
    attention, tokens = SelfAttention(8, 2), torch.randn(2, 1 + 15, 8)
    attention.get_v = LocalPosition(4)
    plain = SelfAttention(8, 2)
    plain.load_state_dict({n: v for n, v in attention.state_dict().items() if "get_v" not in n})
    with torch.no_grad():
        torch.testing.assert_close(attention(tokens, (3, 5), 1), plain(tokens))  # it starts at zero
        attention.get_v.weight.normal_()
        attention.get_v.bias.normal_()
        value = attention.qkv(tokens)[:, 1:, 16:].mT.unflatten(2, (3, 5))  # (B, 8, 3, 5)
        weight, bias = attention.get_v.weight.repeat(2, 1, 1, 1), attention.get_v.bias.repeat(2)
        local = F.conv2d(value, weight, bias, padding=1, groups=8).flatten(2).mT
        local = torch.cat([torch.zeros(2, 1, 8), local], dim=1)
        expected = plain(tokens) + F.linear(local, attention.proj.weight)
        torch.testing.assert_close(attention(tokens, (3, 5), 1), expected, rtol=1e-4, atol=1e-5)


def test_an_image_on_its_side_is_not_the_square_of_its_patches():
    """The official code takes 16 patches for 4 x 4; 2 x 8 and 8 x 2 differ from it and from one another."""
    encode = ResFormer(ARCH).pos_embed
    with torch.no_grad():
        tables = [encode(grid) for grid in ((4, 4), (2, 8), (8, 2))]
    assert len({tuple(table.shape) for table in tables}) == 1
    assert all((a - b).abs().max() > 0.1 for a, b in pairwise(tables))


def test_the_start_and_the_decay_are_official():
    vit = ResFormer(ARCH)
    assert not vit.blocks[0].attn.get_v.weight.any() and not vit.blocks[1].attn.get_v.bias.any()
    undecayed = vit.no_weight_decay()
    assert {"cls_token", "pos_embed.embed_layer.weight", "blocks.1.attn.get_v.weight"} <= undecayed
    assert "blocks.1.attn.qkv.weight" not in undecayed


def test_released_sizes_have_the_published_number_of_parameters():
    for name, millions in (("tiny", 5.7), ("small", 22.0), ("base", 86.4)):
        with torch.device("meta"):
            vit = ResFormer(name)
            count = sum(p.numel() for m in (vit, vit.class_head(1000)) for p in m.parameters())
        assert (count - 2 * vit.embed_dims) / 1e6 == pytest.approx(millions, abs=0.2), name


def test_bad_arguments_and_files_are_explained():
    with pytest.raises(ConfigError, match="no attribute 'pretrain_size'"):
        ResFormer(dict(ARCH, pretrain_size=224))
    with pytest.raises(ConfigError, match="give a multiple of 4 for its sines"):
        ResFormer(dict(ARCH, embed_dim=30, num_heads=2))
    with pytest.raises(CheckpointError, match="it lacks pos_embed"):
        convert("resformer", {"cls_token": torch.ones(1)})
