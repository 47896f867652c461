"""PPMA: its paths and its two forms beside their definitions, initialisation, checkpoints, large maps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dense3d.backbones import PPMA
from dense3d.backbones.ppma import PathDecay, polyline_mask
from dense3d.checkpoints import convert
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers import decay_attention
from dense3d.layers.rotary import rotate

ARCH = PPMA.tiny_variants[""]["arch"]


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    backbone = PPMA(ARCH, layer_scale=1.0).eval()
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if "attn" in name:  # decays and logits of a size that shows
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return backbone


def decays_of(module, heads):
    """Decays along the row and along the column of every token, as the paper writes them."""
    steps = heads @ module.dt_linear.weight.t() + module.dt_bias[:, None]
    return -module.A_log.exp()[:, None] * torch.log1p(steps.exp())


def test_masks_add_up_the_decays_of_a_path():
    torch.manual_seed(0)
    module, heads = PathDecay(2, 4), torch.randn(1, 3, 4, 2, 4)
    across, down = module(heads)
    mask = polyline_mask(across, down, slice(0, 3)).unflatten(3, (3, 4)).unflatten(2, (3, 4))
    decays = decays_of(module, heads)[0]  # (h, w, M, 2)

    def along(values, a, b):
        return values[min(a, b) + 1 : max(a, b) + 1].sum()

    for head in range(2):
        for y in range(3):
            for x in range(4):
                for y2 in range(3):
                    for x2 in range(4):
                        row = along(decays[y, :, head, 0], x, x2)  # in the row of the query
                        column = along(decays[:, x2, head, 1], y, y2)  # in the column of the key
                        torch.testing.assert_close(mask[0, head, y, x, y2, x2], row + column)


def test_the_other_path_is_the_transposed_mask():
    torch.manual_seed(0)
    across, down = PathDecay(2, 4)(torch.randn(2, 3, 5, 2, 4))
    one = polyline_mask(across, down, slice(0, 3))
    other = polyline_mask(across, down, slice(0, 3), along_key_row=True)
    torch.testing.assert_close(other, one.transpose(2, 3))
    for mask, way in ((one, False), (other, True)):
        part = polyline_mask(across, down, slice(1, 3), way)
        assert torch.equal(part, mask[:, :, 5:])


def parts_of(attention, x, rotation):
    """Logits ``(M, N, N)`` without a mask, values and local enhancement of one image."""
    query, key, value = attention.qkv(x).flatten(1, 2).unflatten(-1, (3, attention.num_heads, -1)).unbind(2)
    query, key, value = (
        p[0].transpose(0, 1) for p in (rotate(query, rotation), rotate(key, rotation), value)
    )
    local = attention.lepe(attention.qkv(x).chunk(3, -1)[2])
    return query @ key.transpose(1, 2) / attention.head_dim**0.5, value, local


def test_whole_attention_averages_two_paths(backbone):
    x = torch.randn(1, 3, 5, backbone.channels[2])
    attention, rotation = backbone.blocks(2)[0].attn, backbone.rotation(2, x)
    logits, value, local = parts_of(attention, x, rotation)
    mask = polyline_mask(*attention.path_masks(x), slice(0, 3))[0]
    weights = ((logits + mask).softmax(-1) + (logits + mask.transpose(1, 2)).softmax(-1)) / 2
    attended = (weights @ value).transpose(0, 1).reshape(1, 3, 5, -1)
    torch.testing.assert_close(attention(x, rotation), attention.proj(attended + local), rtol=1e-4, atol=1e-5)


def test_criss_cross_attention_averages_two_orders(backbone):
    height, width = 3, 5
    x = torch.randn(1, height, width, backbone.channels[0])
    attention, rotation = backbone.blocks(0)[0].attn, backbone.rotation(0, x)
    logits, value, local = parts_of(attention, x, rotation)
    across, down = attention.path_masks(x)
    row, column = torch.arange(15) // width, torch.arange(15) % width
    rows, columns = torch.full_like(logits, -torch.inf), torch.full_like(logits, -torch.inf)
    for a in range(15):
        for b in range(15):
            if row[a] == row[b]:
                rows[:, a, b] = logits[:, a, b] + across[0, row[a], :, column[a], column[b]]
            if column[a] == column[b]:
                columns[:, a, b] = logits[:, a, b] + down[0, column[a], :, row[a], row[b]]
    rows, columns = rows.softmax(-1), columns.softmax(-1)
    attended = ((columns @ rows + rows @ columns) / 2 @ value).transpose(0, 1).reshape(1, height, width, -1)
    torch.testing.assert_close(attention(x, rotation), attention.proj(attended + local), rtol=1e-4, atol=1e-5)


def test_large_maps_by_groups_of_rows_are_the_same_with_their_gradients(backbone, monkeypatch):
    images, results = torch.randn(1, 3, 70, 90), []
    for most in (2**26, 100):
        monkeypatch.setattr(decay_attention, "MOST_LOGITS", most)
        backbone.zero_grad()
        maps = backbone(images)
        sum(m.square().sum() for m in maps).backward()
        results.append([*maps, *(p.grad for p in backbone.parameters())])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_masks_are_summed_in_float32_whatever_the_precision(backbone):
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps = backbone(images)
        with torch.autocast("cpu", torch.bfloat16):
            low = backbone(images)
            heads = torch.zeros(1, 2, 300, 2, 8)
            assert backbone.blocks(0)[0].attn.path_embed(heads)[0].dtype == torch.float32
    for a, b in zip(maps, low):
        assert b.isfinite().all()
        assert (a - b).abs().mean() < 0.05 * a.abs().mean() + 0.01


def test_initial_values_are_the_official_ones():
    torch.manual_seed(0)
    module = PathDecay(4000, 8)
    with torch.no_grad():
        rates, steps = module.A_log.exp(), F.softplus(module.dt_bias)
    assert 1 <= rates.min() < 1.001 < 1.099 < rates.max() <= 1.1
    assert 1e-3 - 1e-6 <= steps.min() < 1.1e-3 < 0.09 < steps.max() <= 0.1 + 1e-6
    assert float(steps.log10().mean()) == pytest.approx(-2, abs=0.05)
    backbone = PPMA(dict(ARCH, dims=(32, 48, 64, 512)))
    block = backbone.blocks(3)[0]
    assert float(block.attn.path_embed.dt_linear.weight.std()) == pytest.approx(0.02, rel=0.2)
    assert float(block.attn.qkv.weight.std()) == pytest.approx(0.02, rel=0.05)
    assert float(block.ls1.gamma.max()) == pytest.approx(1e-6)
    assert not hasattr(backbone.blocks(1)[0].ls1, "gamma")
    assert (block.norm1.eps, backbone.norm3.eps) == (1e-6, 1e-5)


@pytest.mark.parametrize(("name", "millions"), [("tiny", 14.3), ("small", 27.0), ("base", 54.2)])
def test_released_sizes_have_the_published_parameters(name, millions):
    with torch.device("meta"):
        backbone = PPMA(name)
        parts = [backbone, backbone.class_head(1000)]
    count = sum(p.numel() for part in parts for n, p in part.named_parameters() if n[:4] != "norm")
    assert count / 1e6 == pytest.approx(millions, abs=0.1)


def test_files_and_sizes_that_do_not_fit_are_explained():
    with pytest.raises(CheckpointError, match="no official PPMA checkpoint"):
        convert("ppma", {"layers.0.Relpos.decay": torch.zeros(4)})  # of RMT
    with pytest.raises(ConfigError, match="PPMA has no size 'bas'; did you mean 'base'"):
        PPMA("bas")
    with pytest.raises(ConfigError, match="arch has no key 'heads_ranges'"):
        PPMA(dict(ARCH, heads_ranges=4))
