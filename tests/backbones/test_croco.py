"""The network of two views: what it may depend on, positions of any grid, initial weights, precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from dense3d.backbones import CrocoNetwork
from dense3d.errors import ConfigError, DataError
from dense3d.layers import grid_positions, resize_position_table

SMALL = dict(enc_embed_dim=24, enc_depth=2, enc_num_heads=2, dec_embed_dim=16, dec_depth=3, dec_num_heads=2)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def build(**changes) -> CrocoNetwork:
    return CrocoNetwork(**dict(pos_embed="RoPE100", img_size=32, **SMALL) | changes).eval()


@torch.no_grad()
def run(network: CrocoNetwork, first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
    (_, x, at), (_, y, to) = network.encode(first), network.encode(second)
    return network.decode(x, at, y, to)


@pytest.mark.parametrize("pos_embed", ["RoPE100", "cosine"])
def test_batches_equal_single_pairs_on_any_grid(pos_embed):
    network = build(pos_embed=pos_embed)
    first, second = torch.randn(3, 3, 32, 64), torch.randn(3, 3, 48, 32)
    together = run(network, first, second)
    assert [x.shape for x in together] == [(3, 8, 16)] * 3
    for i in range(3):
        for a, b in zip(together, run(network, first[i : i + 1], second[i : i + 1])):
            torch.testing.assert_close(a[i : i + 1], b)


def test_only_the_last_tokens_are_normed():
    network, images = build(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        blocks, final, grid = network.encode(images)
        torch.testing.assert_close(network.enc_norm(blocks[-1]), final)
        decoded = network.decode(final, grid, final, grid)
    deviation = [x.std(dim=-1, unbiased=False) for x in decoded]
    torch.testing.assert_close(deviation[-1], torch.ones_like(deviation[-1]), rtol=1e-3, atol=1e-3)
    assert (deviation[0] - 1).abs().max() > 0.05


@pytest.mark.parametrize("norm_im2_in_dec", [True, False])
def test_the_second_view_reaches_the_first_through_cross_attention_alone(norm_im2_in_dec):
    network = build(norm_im2_in_dec=norm_im2_in_dec)
    first, second = torch.randn(1, 3, 32, 32), torch.randn(2, 3, 32, 32)
    a, b = (run(network, first, view[None])[-1] for view in second)
    assert not torch.allclose(a, b)
    for block in network.dec_blocks:
        nn.init.zeros_(block.cross_attn.proj.weight)
    a, b = (run(network, first, view[None])[-1] for view in second)
    torch.testing.assert_close(a, b)
    has_norm = [isinstance(block.norm_y, nn.LayerNorm) for block in network.dec_blocks]
    assert has_norm == [norm_im2_in_dec] * 3


def test_rotary_positions_are_relative_to_nothing_but_each_other():
    network = build()
    tokens, positions = torch.randn(1, 6, 24), grid_positions((2, 3))
    with torch.no_grad():
        _, expected = network.encode_tokens(tokens, (2, 3))
        _, listed = network.encode_tokens(tokens, positions[None])
        _, shifted = network.encode_tokens(tokens, positions + torch.tensor([4, 9]))
        _, mirrored = network.encode_tokens(tokens, positions.flip(1))
    torch.testing.assert_close(listed, expected)
    torch.testing.assert_close(shifted, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(mirrored, expected, atol=1e-2)


def test_tables_of_another_grid_are_resized_when_used_and_when_loaded():
    trained, other = build(pos_embed="cosine", img_size=64), build(pos_embed="cosine", img_size=(32, 96))
    assert other.enc_pos_embed.shape == (12, 24) and trained.enc_pos_embed.shape == (16, 24)
    images = torch.randn(1, 3, 32, 96), torch.randn(1, 3, 32, 96)
    expected = run(trained, *images)
    state = trained.state_dict()
    other.load_state_dict(state)
    assert state["enc_pos_embed"].shape == (16, 24)  # the caller's own dict stays
    table = resize_position_table(trained.dec_pos_embed[None], (4, 4), (2, 6))[0]
    assert torch.equal(other.dec_pos_embed, table)
    for a, b in zip(run(other, *images), expected):
        torch.testing.assert_close(a, b)
    with pytest.raises(RuntimeError, match="size mismatch for enc_pos_embed"):
        build(pos_embed="cosine").load_state_dict(other.state_dict())  # 12 rows are of no square


def test_initial_weights():
    network = build(enc_embed_dim=96, enc_num_heads=3)
    limit = math.sqrt(6 / (96 + 3 * 16 * 16))  # Xavier's, of the patch kernel as a matrix
    weight = network.patch_embed.proj.weight
    assert 0.95 * limit < weight.abs().max() <= limit
    assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.05)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            limit = math.sqrt(6 / (module.in_features + module.out_features))
            assert 0.8 * limit < module.weight.abs().max() <= limit
            assert not module.bias.any()
        elif isinstance(module, nn.LayerNorm):
            assert module.eps == 1e-6 and bool((module.weight == 1).all()) and not module.bias.any()


@pytest.mark.parametrize("pos_embed", ["RoPE100", "cosine"])
def test_checkpointing_and_half_precision_reach_every_weight(pos_embed):
    plain, saving = build(pos_embed=pos_embed), build(pos_embed=pos_embed, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 32, 48)

    def gradients(network: CrocoNetwork) -> list[torch.Tensor]:
        network.zero_grad()
        _, tokens, grid = network.encode(images)
        first, second = tokens.chunk(2)
        network.decode(first, grid, second, grid)[-1].square().sum().backward()
        return [p.grad for p in network.parameters()]

    for a, b in zip(gradients(plain), gradients(saving)):
        torch.testing.assert_close(a, b)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(bool(g.isfinite().all()) for g in gradients(plain))


def test_exported_network_equals_eager():
    class Pair(nn.Module):
        def __init__(self, network: CrocoNetwork) -> None:
            super().__init__()
            self.network = network

        def forward(self, first, second):
            _, tokens, grid = self.network.encode(torch.cat([first, second]))
            x, y = tokens.chunk(2)
            return self.network.decode(x, grid, y, grid)[-1]

    pair, images = Pair(build()).eval(), (torch.randn(1, 3, 32, 48), torch.randn(1, 3, 32, 48))
    program = torch.export.export(pair, images)
    torch.testing.assert_close(program.module()(*images), pair(*images))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(pos_embed="sine"), "pos_embed='sine': use 'cosine', or 'RoPE' and a base"),
        (dict(pos_embed="RoPE"), "pos_embed='RoPE': use"),
        (dict(pos_embed="RoPE-1"), "pos_embed='RoPE-1': use"),
        (dict(enc_num_heads=4), "multiple of 4 channels, not 6"),
        (dict(dec_num_heads=3), "16 channels cannot be shared by 3 heads"),
        (dict(pos_embed="cosine", img_size=40), "img_size=40 is not made of whole patches of 16 x 16"),
        (dict(pos_embed="cosine", enc_embed_dim=22), "multiple of 4 channels, not enc_embed_dim=22"),
        (dict(dec_depth=0), "dec_depth=0: both need at least one block"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        build(**changes)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 32, 40), "images of 32 x 40 pixels are not made of whole patches of 16 x 16"),
        ((1, 3, 0, 16), "images of 0 x 16 pixels are not"),
        ((1, 1, 32, 32), r"images of shape \(1, 1, 32, 32\) are no RGB images"),
    ],
)
def test_images_that_do_not_fit_are_refused(shape, message):
    with pytest.raises(DataError, match=message):
        build().encode(torch.zeros(shape))
