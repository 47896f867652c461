"""ConViT: timm as a peer, positions of grids that are no square, the start as a convolution."""

from __future__ import annotations

import pytest
import torch
from timm.models.convit import GPSA, ConVit

from dense3d.backbones import ConViT
from dense3d.backbones.convit import GatedPositionalAttention
from dense3d.checkpoints import convert, convert_head
from dense3d.errors import CheckpointError, ConfigError

ARCH = dict(embed_dim=36, depth=3, num_heads=4, pretrain_size=64, local_layers=2)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return module.eval()


def test_timm_gives_the_same_logits_on_squares():
    peer = shaken(ConVit(img_size=64, embed_dim=9, num_heads=4, depth=3, local_up_to_layer=2, num_classes=5))
    vit = ConViT(dict(ARCH, norm_eps=peer.norm.eps)).eval()
    vit.load_state_dict(convert("convit", peer.state_dict()))
    head = vit.class_head(5).eval()
    head.load_state_dict(convert_head("convit", peer.state_dict()))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(head(vit.encode(images)), peer(images), rtol=1e-4, atol=1e-4)


def test_positions_of_any_grid_are_those_of_their_offsets():
    attention = shaken(GatedPositionalAttention(8, 4))
    grid = (3, 5)
    y, x = (axis.flatten() for axis in torch.meshgrid(torch.arange(3.0), torch.arange(5.0), indexing="ij"))
    dx, dy = x[None, :] - x[:, None], y[None, :] - y[:, None]
    offsets = torch.stack([dx, dy, dx**2 + dy**2], dim=2)
    expected = attention.pos_proj(offsets).permute(2, 0, 1).softmax(2)  # (M, N, N)
    rows, columns = attention.positions(grid)
    found = torch.einsum("mij,mkl->mikjl", rows, columns).flatten(3, 4).flatten(1, 2)
    torch.testing.assert_close(found, expected)
    tokens = torch.randn(2, 15, 8)
    with torch.no_grad():
        attention.gating_param.fill_(50.0)  # position alone
        value = attention.v(tokens).unflatten(2, (4, 2)).transpose(1, 2)
        attended = attention.proj((expected @ value).transpose(1, 2).flatten(2))
        torch.testing.assert_close(attention(tokens, grid), attended, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("heads", [4, 9, 16, 6])
def test_the_start_is_timms(heads):
    ours, peer = GatedPositionalAttention(8 * heads, heads, locality_strength=0.7), GPSA(8 * heads, heads)
    peer.locality_strength = 0.7
    peer.local_init()
    square = {4: 4, 9: 9, 16: 16, 6: 4}[heads]
    assert torch.equal(ours.pos_proj.weight[:square], peer.pos_proj.weight[:square])
    assert torch.equal(ours.v.weight, torch.eye(8 * heads))
    assert torch.equal(ours.gating_param, torch.ones(heads))


def test_strong_locality_is_a_shift():
    attention = GatedPositionalAttention(9, 9, locality_strength=200.0)
    rows, columns = attention.positions((5, 5))
    # the eighth head looks one column to the right, the first one row and one column back
    assert columns[7, 2].argmax() == 3 and rows[7, 2].argmax() == 2
    assert columns[0, 2].argmax() == 1 and rows[0, 2].argmax() == 1


def test_the_class_token_passes_local_blocks_untouched():
    vit = ConViT(ARCH).eval()
    tokens, grid = vit.embed(torch.randn(1, 3, 48, 64))
    with torch.no_grad():
        passed = vit.run_blocks(tokens, grid, 0, 2)
        assert torch.equal(passed[:, 0], tokens[:, 0]) and not torch.equal(passed[:, 1:], tokens[:, 1:])
        assert not torch.equal(vit.run_blocks(passed, grid, 2)[:, 0], tokens[:, 0])


def test_a_network_is_built_as_official():
    vit = ConViT(ARCH)
    assert torch.equal(vit.blocks[1].attn.v.weight, torch.eye(36))
    assert vit.blocks[2].attn.qkv.weight.detach().std().item() == pytest.approx(0.02, rel=0.1)
    with torch.device("meta"):
        assert [ConViT(name).embed_dims for name in ("tiny", "small", "base", "base_plus")] == [
            192,
            432,
            768,
            1024,
        ]


def test_bad_arguments_and_files_are_explained():
    with pytest.raises(ConfigError, match="local_layers=3 of a ConViT with 3 blocks"):
        ConViT(dict(ARCH, local_layers=3))
    with pytest.raises(CheckpointError, match="no block has a gating_param"):
        convert("convit", {"cls_token": torch.ones(1)})
