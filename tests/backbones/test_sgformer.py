"""SG-Former: significance and bags beside their definitions, other sizes, freezing, checkpoints.

In float64 throughout: tokens are sorted by numbers that nearly agree.
"""

from __future__ import annotations

import math

import pytest
import torch

from dense3d.backbones import SGFormer
from dense3d.checkpoints import convert
from dense3d.checkpoints.sgformer import convert_head
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers.significance_attention import (
    BAGS,
    EnhancedAttention,
    GuidedAttention,
    HybridAttention,
    bag_places,
)

ARCH = SGFormer.tiny_variants[""]["arch"]


def build(**kwargs):
    torch.manual_seed(0)
    return SGFormer(ARCH, img_size=64, **kwargs).double()


def randomised(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
    return module.double().eval()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (65, 97), (33, 250), (7, 5), (224, 224)])
def test_maps_have_the_announced_channels_and_rounded_up_sizes(height, width):
    backbone = build().eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, height, width).double())
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, math.ceil(height / s), math.ceil(width / s))
        for c, s in zip(backbone.out_channels, backbone.out_strides)
    ]
    assert all(m.isfinite().all() for m in maps)


def test_a_batch_is_its_images_one_by_one():
    backbone, images = build().eval(), torch.randn(3, 3, 70, 90).double()
    with torch.no_grad():
        together, alone = backbone(images), [backbone(image[None]) for image in images]
    for level, maps in enumerate(together):
        torch.testing.assert_close(maps, torch.cat([m[level] for m in alone]), rtol=1e-6, atol=1e-8)


def test_checkpointing_changes_no_gradient_and_all_parameters_have_one():
    grads = []
    for with_cp in (False, True):
        backbone = build(with_cp=with_cp, drop_path_rate=0.3).train()
        torch.manual_seed(1)
        images = torch.randn(2, 3, 64, 64).double()
        sum((m * torch.linspace(-1, 1, m.numel()).view_as(m)).sum() for m in backbone(images)).backward()
        grads.append({n: p.grad for n, p in backbone.named_parameters()})
    assert [n for n, g in grads[0].items() if g is None] == []
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, msg=name)


def test_frozen_stages_take_their_norms_and_positions_along():
    for frozen in range(5):
        backbone = build(frozen_stages=frozen, drop_path_rate=0.5).train()
        maps = backbone(torch.randn(2, 3, 64, 64).double())
        assert [m.requires_grad for m in maps] == [index >= frozen for index in range(4)]
        assert not backbone.pos_embed.requires_grad
    part = build(out_indices=(0, 1))
    assert not any(p.requires_grad for n, p in part.named_parameters() if n.startswith("stages.2"))


def test_depths_of_parameters():
    ids = build().layer_ids()
    assert ids["pos_embed"] == ids["patch_embed.0.weight"] == ids["embed_norm.bias"] == 0
    assert ids["stages.0.blocks.1.norm1.weight"] == ids["stages.0.norm.weight"] == 2
    assert ids["stages.1.downsample.0.weight"] == ids["stages.1.blocks.0.norm1.bias"] == 3
    assert ids["stages.3.norm.bias"] == 7


def test_autocast_is_finite():
    backbone = SGFormer(ARCH, img_size=64).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert all(m.isfinite().all() for m in backbone(torch.randn(2, 3, 75, 61)))


@pytest.mark.parametrize("grid", [(14, 21), (9, 16)])
def test_significance_is_what_tokens_receive(grid):
    attention = randomised(HybridAttention(8, 4, reduction=2))
    x = torch.randn(1, *grid, 8).double()
    _, found = attention(x, None)
    height, width = grid
    query = attention.q(x)[0].flatten(0, 1).unflatten(-1, (4, 2)).transpose(0, 1)  # (4, N, 2)
    cells = attention.sr(x.permute(0, 3, 1, 2))
    reduced = torch.nn.functional.gelu(attention.norm(cells[0].flatten(1).t()))
    keys = attention.kv(reduced)[:, :4].unflatten(-1, (2, 2)).transpose(0, 1)
    received = (query[:2] @ keys.transpose(1, 2) / 2**0.5).softmax(-1).mean(dim=(0, 1)).view(cells.shape[2:])
    expected = torch.zeros(grid).double()
    for y in range(height):
        for x_place in range(width):
            row, column = y * cells.shape[2] // height, x_place * cells.shape[3] // width
            expected[y, x_place] += received[row, column]
    keys = attention.window_kv(x)[0, ..., :4].unflatten(-1, (2, 2))  # (h, w, 2, 2)
    queries = query[2:].unflatten(1, grid)
    for top in range(0, height, 7):
        for left in range(0, width, 7):
            window = slice(top, top + 7), slice(left, left + 7)
            for head in range(2):
                logits = queries[head][window].flatten(0, 1) @ keys[window][..., head, :].flatten(0, 1).t()
                weights = (logits / 2**0.5).softmax(-1).mean(0)
                expected[window] += weights.view(expected[window].shape) / 2
    torch.testing.assert_close(found[0].view(grid), expected)


@pytest.mark.parametrize("reduction", [8, 4, 2])
def test_least_significant_tokens_are_merged_most(reduction):
    attention = randomised(GuidedAttention(8, 2, reduction=reduction))
    count, bags = 784, BAGS[reduction]  # whole bags of every size
    tokens, significance = torch.randn(1, count, 8).double(), torch.rand(1, count).double()
    merged = attention.merge(tokens, significance)[0]
    ordered = tokens[0, significance[0].argsort()]
    parts = (0.5, 0.5) if len(bags) == 2 else (0.25, 0.5, 0.25)
    expected, start = [], 0
    for merger, bag, part in zip(attention.mergers, bags, parts):
        for first in range(start, start + round(part * count), bag):
            expected.append(merger.weight[0] @ ordered[first : first + bag] + merger.bias)
        start += round(part * count)
    torch.testing.assert_close(merged, torch.stack(expected))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 17, 195, 784, 1000])
@pytest.mark.parametrize("bags", BAGS.values())
def test_every_token_is_in_a_bag(count, bags):
    places = bag_places(count, list(bags))
    assert torch.equal(torch.cat([p.flatten() for p in places]).unique(), torch.arange(count))
    assert all(len(p) == 0 or p.shape[1] == bag for p, bag in zip(places, bags))


def test_initial_values_are_the_official_ones():
    torch.manual_seed(0)
    backbone = SGFormer(dict(ARCH, dims=(32, 48, 64, 128)))
    block = backbone.blocks(3)[0]
    assert float(block.attn.q.weight.std()) == pytest.approx(0.02, rel=0.05)
    assert block.attn.q.bias.abs().max() == 0
    assert float(block.mlp.conv.weight.std()) == pytest.approx((2 / 9) ** 0.5, rel=0.1)
    down = backbone.downsampling(3)
    assert float(down[6].weight.std()) == pytest.approx((2 / 128) ** 0.5, rel=0.05)
    assert down[6].bias is None
    table = backbone.pos_embed[0].unflatten(0, (56, 56))
    omega = 10000 ** (-torch.arange(8) / 8)
    angles = torch.cat([5 * omega, 3 * omega]).view(2, 8)  # column 5, row 3
    torch.testing.assert_close(table[3, 5], torch.cat([angles.sin(), angles.cos()], dim=1).flatten())
    assert (block.norm1.eps, backbone.stages[0].norm.eps, backbone.embed_norm.eps) == (1e-6, 1e-6, 1e-5)


@pytest.mark.parametrize(("name", "millions"), [("small", 22.6), ("medium", 38.7), ("base", 78.0)])
def test_released_sizes_have_the_counted_parameters(name, millions):
    with torch.device("meta"):
        backbone = SGFormer(name)
        parts = [*backbone.parameters(), *backbone.class_head(1000).parameters()]
    assert sum(p.numel() for p in parts) / 1e6 == pytest.approx(millions, abs=0.06)


def test_the_position_table_is_resized_to_images_and_checkpoints(tmp_path):
    backbone, file = build().float(), tmp_path / "other.pth"
    state = backbone.state_dict()
    state["pos_embed"] = torch.ones(1, 9, 16)
    torch.save(state, file)
    loaded = SGFormer(ARCH, img_size=64, init_cfg=dict(type="Pretrained", checkpoint=str(file)))
    loaded.init_weights()
    torch.testing.assert_close(loaded.pos_embed, torch.ones(1, 256, 16))


def test_official_names_are_all_accounted_for():
    with pytest.raises(CheckpointError, match="no official SG-Former checkpoint: 1 unexpected names"):
        convert("sgformer", {"block1.0.attn.q3.weight": torch.zeros(4, 4)})
    with pytest.raises(CheckpointError, match=r"has block1\.0\.attn\.kv1\.bias, but no block1\.0\.attn\.kv2"):
        convert("sgformer", {"block1.0.attn.kv1.bias": torch.zeros(4)})
    assert list(convert_head({"head.bias": torch.zeros(3), "norm4.bias": torch.zeros(3)})) == ["head.bias"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SGFormer("smal"), "SGFormer has no size 'smal'; did you mean 'small'"),
        (lambda: SGFormer(dict(ARCH, depths=(2, 3, 2, 1))), "stage 1 has 3 blocks, but .* they are pairs"),
        (lambda: SGFormer(dict(ARCH, reductions=(8, 4, 3, 1))), "stage 2 has the reduction 3"),
        (lambda: SGFormer(dict(ARCH, num_heads=(1, 2, 2, 4))), "1 heads: half of them attend inside windows"),
        (lambda: EnhancedAttention(8, 3), "8 channels cannot be shared by 3 heads"),
    ],
)
def test_what_cannot_be_built_is_explained(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
