"""S2AFormer: reduced attention as its oracle, the cost of its products, sizes, refusals."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from dense3d.backbones import S2AFormer
from dense3d.backbones.s2aformer import ARCHITECTURES
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers.strip_attention import StripAttention

ARCH = S2AFormer.tiny_variants[""]["arch"]


def test_full_width_is_the_reduced_attention_of_pvt():
    torch.manual_seed(0)
    attention, x = (
        StripAttention(12, 3, reduction=2, affinity_dim=4).double(),
        torch.randn(2, 6, 8, 12).double(),
    )
    reduced = F.conv2d(
        x.permute(0, 3, 1, 2),
        attention.reduction.conv.weight,
        attention.reduction.conv.bias,
        stride=2,
        groups=12,
    )
    reduced = attention.reduction.norm(attention.reduction.linear(reduced.flatten(2).transpose(1, 2)))
    attended = torch.nn.MultiheadAttention(12, 3, batch_first=True).double()
    with torch.no_grad():
        parts = attention.q, attention.k, attention.v
        attended.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        attended.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        attended.out_proj.load_state_dict(attention.proj.state_dict())
    expected = attended(x.flatten(1, 2), reduced, reduced)[0].view_as(x)
    torch.testing.assert_close(attention(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("affinity_dim", [1, 2, 4])
def test_heads_weigh_by_products_of_strips_with_a_learned_factor(affinity_dim):
    torch.manual_seed(0)
    attention, x = StripAttention(8, 2, affinity_dim=affinity_dim).double(), torch.randn(1, 3, 4, 8).double()
    with torch.no_grad():
        attention.scale.copy_(torch.tensor([0.5, 3.0]).view(2, 1, 1))
    tokens, outputs = x[0].flatten(0, 1), []
    for head in range(2):
        part = slice(head * affinity_dim, (head + 1) * affinity_dim)
        logits = attention.q(tokens)[:, part] @ attention.k(tokens)[:, part].t() * [0.5, 3.0][head]
        weights = logits.softmax(-1)
        torch.testing.assert_close(weights.sum(-1), torch.ones(12).double())
        outputs.append(weights @ attention.v(tokens)[:, head * 4 : head * 4 + 4])
    expected = attention.proj(torch.cat(outputs, -1)).view_as(x)
    torch.testing.assert_close(attention(x), expected)


def test_products_cost_a_share_of_those_of_full_width():
    x = torch.zeros(1, 16, 16, 32)

    def flops(affinity_dim):
        with FlopCounterMode(display=False) as counter:
            StripAttention(32, 4, reduction=4, affinity_dim=affinity_dim)(x)
        return counter.get_total_flops()

    tokens, cells = 256, 16
    for affinity_dim in (1, 2):
        saved = 2 * tokens * cells * 4 * (8 - affinity_dim)  # N * N / s^2 * heads * (d - p) products
        saved += 2 * (tokens + cells) * 32 * 4 * (8 - affinity_dim)  # and the layers that give them
        assert flops(8) - flops(affinity_dim) == saved


def test_padding_of_a_batch_stays_where_it_is():
    """Far from the border of an image, what it is padded with on the right has no effect on early maps."""
    torch.manual_seed(0)
    backbone = S2AFormer(dict(ARCH, reductions=(1, 1, 1, 1))).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        stem = backbone.stem(F.pad(x, (0, 64)))
        torch.testing.assert_close(stem[:, :, :14], backbone.stem(x)[:, :, :14])


@pytest.mark.parametrize("side", [33, 100, 255])
def test_any_size_gives_rounded_up_maps(side):
    backbone = S2AFormer(ARCH).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, side, 70))
    assert [m.shape[2] for m in maps] == [-(-side // s) for s in (4, 8, 16, 32)]


def test_autocast_is_close_and_finite():
    torch.manual_seed(0)
    backbone, images = S2AFormer(ARCH).eval(), torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps = backbone(images)
        with torch.autocast("cpu", torch.bfloat16):
            low = backbone(images)
    for a, b in zip(maps, low):
        assert b.isfinite().all()
        assert (a - b).abs().mean() < 0.05 * a.abs().mean()


def test_initial_values():
    torch.manual_seed(0)
    attention = S2AFormer(ARCH, affinity_dim=4).blocks(3)[0].branches[0]
    assert float(attention.v.weight.std()) == pytest.approx(0.02, rel=0.1)
    assert torch.equal(attention.scale, torch.full((4, 1, 1), 0.5))
    assert isinstance(S2AFormer(ARCH).blocks(3)[0].branches[0].reduction, torch.nn.Identity)


def test_all_sizes_build_with_heads_of_32_channels():
    for name, sizes in ARCHITECTURES.items():
        assert [d // h for d, h in zip(sizes["dims"], sizes["num_heads"])] == [32] * 4
        with torch.device("meta"):
            assert S2AFormer(name).out_channels == sizes["dims"]


def test_what_does_not_fit_is_explained(tmp_path):
    with pytest.raises(ConfigError, match="S2AFormer has no size 'tinny'; did you mean 'tiny'"):
        S2AFormer("tinny")
    with pytest.raises(ConfigError, match="affinity_dim=0 of strip attention: give 1 or more"):
        S2AFormer(ARCH, affinity_dim=0)
    file = tmp_path / "other.pth"
    torch.save({"layer1.0.conv1.weight": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError, match="is no file of this model, of which no other layout is known"):
        S2AFormer(ARCH, init_cfg=dict(type="Pretrained", checkpoint=str(file))).init_weights()
